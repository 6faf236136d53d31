//! The start, step by step.

use std::net::{TcpListener as StdListener, UdpSocket};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::join::Joined;
use super::state::State;
use super::workers::{Inboxes, Opened, Workers};
use super::{Inputs, ServeError};
use crate::access_log::AccessLog;
use crate::admin::control::{Control, Parts};
use crate::admin::socket::AdminSocket;
use crate::config::{Config, SteeringMode};
use crate::descriptors::Descriptors;
use crate::next_hop;
use crate::nodes::NodeTable;
use crate::preflight::{self, Severity};
use crate::proxy::files::read::OpenFiles;
use crate::quic::socket::bind_group;
use crate::relay::{Relay, RelayHandle};
use crate::sandbox::{self, Duties};
use crate::steering::{Steering, SteeringError, remove_other_links};
use crate::tcp;
use crate::tcp::listener::Listening;
use crate::tcp::tally::Tally;
use crate::tls::Acceptor;
use fleet_wire::secrets::Secrets;

/// A process that runs. Dropping it ends nothing but the admin socket.
pub(super) struct Edge {
    pub(super) control: Arc<Control>,
    pub(super) nodes: Arc<NodeTable>,
    pub(super) workers: Workers,
    pub(super) relay: Option<RelayHandle>,
    pub(super) listener: TcpListener,
    pub(super) socket: AdminSocket,
    /// With a controller.
    pub(super) joined: Option<Joined>,
    /// Holds the lock of the state directory.
    _state: State,
}

/// Starts everything, in the order of the room's doc. Called in the context of the control runtime.
pub(super) fn start(mut inputs: Inputs, state: State) -> Result<Edge, ServeError> {
    let config = Arc::clone(&inputs.config);
    let (node, name, site) = (config.node, &config.our_node().name, &config.site);
    tracing::info!(node, name, site, nodes = config.nodes.len(), "this node");
    for warning in inputs.warnings() {
        tracing::warn!("{warning}");
    }
    let joined = inputs.joined.take();
    let generation = state.generation;
    tracing::info!(generation, directory = %config.state_directory.display(), "state is ours");
    check_host(&config)?;
    let listener = admin_listener(&config)?;
    let socket = AdminSocket::bind(&config.admin.socket)
        .map_err(|error| ServeError::AdminSocket(config.admin.socket.clone(), error))?;
    let port = config.listen.port;
    let sockets =
        bind_group(port, config.listen.workers).map_err(|error| ServeError::Bind(port, error))?;
    tracing::info!(port, sockets = sockets.len(), "UDP port is bound");
    let tally = Arc::<Tally>::default();
    let clear = tcp::ClearPort::bind(&config.listen)?;
    let descriptors = Descriptors::raise();
    let listenings = listenings(&inputs, &tally, descriptors.connections)?;
    let files = OpenFiles::at_most(descriptors.files);
    let access_log = access_log(&config)?;
    let opened = Opened { sockets, listenings, files, access_log: access_log.clone() };

    let nodes = Arc::new(NodeTable::new(&config.nodes));
    let inboxes = Inboxes::new(config.listen.workers);
    let senders = inboxes.senders.clone();
    let relay = relay(&config, &inputs.secrets, generation)?;
    let steering = steer(&inputs, generation, &opened.sockets)?;
    let rules = watch::Sender::new(inputs.rules.clone());
    // Everything is bound and attached. Threads that start from here on have no more than this one.
    let started = sandbox::enter(&inputs.reaches(), duties(&config, steering.as_ref()))
        .map_err(ServeError::from)
        .and_then(|landlock| {
            let relay = relay.map(|relay| start_relay(relay, &inboxes)).transpose()?;
            let to_relay = relay.as_ref().map(|relay| &relay.inbox);
            let workers =
                Workers::start(&inputs, generation, &nodes, opened, inboxes, to_relay, &rules)?;
            serve_clear(clear, &inputs, &tally)?;
            Ok((landlock, relay, workers))
        });
    let (landlock, relay, workers) = match started {
        Ok(started) => started,
        Err(error) => {
            // There would be no workers behind the programs.
            if let Some(steering) = steering {
                detach_now(steering);
            }
            return Err(error);
        }
    };
    inputs.distributions.borrow().start();
    let control = Arc::new(Control::new(Parts {
        config,
        nodes: Arc::clone(&nodes),
        steering,
        workers: senders,
        relay: relay.clone(),
        rules,
        distributions: inputs.distributions,
        given: inputs.given,
        landlock,
        generation,
        secrets: Secrets::clone(&inputs.secrets),
        tickets: Arc::clone(&inputs.tls.tickets),
        certificates: Arc::clone(&inputs.tls.certificates),
        challenges: Arc::clone(&inputs.tls.challenges),
        tcp: tally,
        controller: joined.as_ref().map(Joined::view),
        access_log,
    }));
    Ok(Edge { control, nodes, workers, relay, listener, socket, joined, _state: state })
}

/// Opens the file, as long as that can be said before anybody is served.
fn access_log(config: &Config) -> Result<Option<Arc<AccessLog>>, ServeError> {
    let Some(log) = &config.access_log else { return Ok(None) };
    let opened = AccessLog::open(log, config.listen.workers);
    let opened = opened.map_err(|error| ServeError::AccessLog(log.path.clone(), error))?;
    Ok(Some(Arc::new(opened)))
}

/// What each worker serves TCP by, where that is wished: so many connections in the whole process.
fn listenings(
    inputs: &Inputs,
    tally: &Arc<Tally>,
    connections: usize,
) -> Result<Vec<Option<Listening>>, ServeError> {
    let listen = &inputs.config.listen;
    let nothing = || (0..listen.workers).map(|_| None).collect();
    if !listen.tcp {
        return Ok(nothing());
    }
    let tls = &inputs.tls;
    let bounds = tcp::group::share(connections, listen.workers);
    let listeners = tcp::group::bind(listen.port, listen.workers)?;
    tracing::info!(port = listen.port, listeners = listeners.len(), "TCP port is bound");
    let listenings = listeners.into_iter().map(|listener| {
        Some(Listening {
            listener,
            acceptor: Acceptor::new(&tls.certificates, &tls.tickets, &tls.challenges),
            tally: Arc::clone(tally),
            bounds,
        })
    });
    Ok(listenings.collect())
}

fn serve_clear(
    port: Option<tcp::ClearPort>,
    inputs: &Inputs,
    tally: &Arc<Tally>,
) -> Result<(), ServeError> {
    let Some(port) = port else { return Ok(()) };
    let answers = tcp::Answers {
        challenges: Arc::clone(&inputs.tls.challenges),
        certificates: Arc::clone(&inputs.tls.certificates),
        tally: Arc::clone(tally),
    };
    port.serve(answers).map_err(ServeError::Tcp)
}

/// Says what on this host would lose packets.
fn check_host(config: &Config) -> Result<(), ServeError> {
    let facts = match preflight::read(config) {
        Ok(facts) => facts,
        Err(error) => {
            tracing::warn!(%error, "the host cannot be checked");
            return Ok(());
        }
    };
    let mut fit = true;
    for finding in preflight::examine(config, &facts) {
        match finding.severity {
            Severity::Warning => tracing::warn!(change = finding.change, "{}", finding.what),
            Severity::Error => {
                fit = false;
                tracing::error!(change = finding.change, "{}", finding.what);
            }
        }
    }
    if fit { Ok(()) } else { Err(ServeError::Host) }
}

fn admin_listener(config: &Config) -> Result<TcpListener, ServeError> {
    let address = config.admin.listen;
    // The standard library sets SO_REUSEADDR, so that a restart isn't kept waiting.
    let bind = || {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    bind().map_err(|error| ServeError::AdminListener(address, error))
}

/// Attaches what the mode asks for. Without XDP the reuseport program is still tried: a kernel or
/// a user that does not allow it costs hand-overs between workers, nothing else.
fn steer(
    inputs: &Inputs,
    generation: u8,
    sockets: &[UdpSocket],
) -> Result<Option<Steering>, ServeError> {
    let Inputs { config, secrets, rules, .. } = inputs;
    let attach = || {
        let mut steering = Steering::attach(config, secrets, generation, config.listen.workers)?;
        let admission = steering.set_admission(rules);
        match admission.and_then(|()| attach_workers(&mut steering, sockets)) {
            Ok(()) => Ok(steering),
            Err(error) => {
                detach_now(steering);
                Err(error)
            }
        }
    };
    match config.steering.mode {
        SteeringMode::Native | SteeringMode::Generic => Ok(Some(attach()?)),
        SteeringMode::UserSpace => match attach() {
            Ok(steering) => Ok(Some(steering)),
            Err(error) => {
                tracing::warn!(%error, "no steer_worker: the kernel's hash chooses the worker");
                remove_links_of_others(config);
                Ok(None)
            }
        },
        SteeringMode::Off => {
            remove_links_of_others(config);
            Ok(None)
        }
    }
}

/// What a crashed process left attached would go on with what it knew then.
fn remove_links_of_others(config: &Config) {
    if let Err(error) = remove_other_links(config, &[]) {
        tracing::error!(%error, "programs of an earlier process may still steer");
    }
}

fn attach_workers(steering: &mut Steering, sockets: &[UdpSocket]) -> Result<(), SteeringError> {
    for (worker, socket) in (0..).zip(sockets) {
        steering.set_worker_socket(worker, socket)?;
    }
    if let Some(socket) = sockets.first() {
        steering.attach_workers(socket)?;
        tracing::info!("steer_worker is attached");
    }
    Ok(())
}

fn duties(config: &Config, steering: Option<&Steering>) -> Duties {
    match steering {
        Some(_) if config.steering.mode.has_xdp() => Duties::Xdp,
        Some(_) => Duties::Maps,
        None => Duties::None,
    }
}

/// Takes the encapsulation port, where XDP does not.
fn relay(
    config: &Config,
    secrets: &Secrets,
    generation: u8,
) -> Result<Option<(Relay, RelayHandle)>, ServeError> {
    if config.steering.mode != SteeringMode::UserSpace {
        return Ok(None);
    }
    let workers = config.listen.workers;
    let bound = Relay::bind(config, secrets, generation, workers).map_err(ServeError::Relay)?;
    tracing::info!(port = config.steering.encapsulation_port, "relay is bound in user space");
    Ok(Some(bound))
}

/// Runs the relay on a thread of its own.
fn start_relay(
    (relay, handle): (Relay, RelayHandle),
    inboxes: &Inboxes,
) -> Result<RelayHandle, ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ServeError::Relay)?;
    let workers = inboxes.senders.clone();
    let run = move || {
        sandbox::keep_no_capability();
        if let Err(error) = runtime.block_on(relay.run(workers)) {
            tracing::error!(%error, "the relay cannot go on");
        }
    };
    std::thread::Builder::new().name("relay".into()).spawn(run).map_err(ServeError::Relay)?;
    Ok(handle)
}

/// Waits until the relay has ended; for ever where there is none.
pub(super) async fn relay_ended(relay: Option<&RelayHandle>) {
    match relay {
        Some(relay) => relay.inbox.closed().await,
        None => std::future::pending().await,
    }
}

/// Keeps the ways to other nodes in the kernel's map, for as long as the process runs.
pub(super) async fn follow_next_hops(control: Arc<Control>, nodes: Arc<NodeTable>) {
    let config = Arc::clone(control.config());
    if !matches!(config.steering.mode, SteeringMode::Native | SteeringMode::Generic) {
        return;
    }
    let store = |node, ipv4, ipv6| {
        if let Some(steering) = control.steering().as_mut()
            && let Err(error) = steering.set_next_hops(node, ipv4, ipv6)
        {
            tracing::warn!(node, %error, "the way to a node cannot be noted");
        }
    };
    loop {
        let fleet = control.watch_nodes();
        let Err(error) = next_hop::follow(config.node, fleet, Arc::clone(&nodes), store).await;
        tracing::warn!(%error, "the ways to other nodes are not followed: trying again");
        tokio::time::sleep(crate::limits::NEXT_HOP_REFRESH).await;
    }
}

/// The end of steering at a clean stop.
pub(super) fn detach(control: &Control) {
    if let Some(steering) = control.steering().take() {
        detach_now(steering);
    }
}

fn detach_now(steering: Steering) {
    match steering.detach() {
        Ok(()) => tracing::info!("steering is detached"),
        Err(error) => tracing::warn!(%error, "steering stays attached"),
    }
}

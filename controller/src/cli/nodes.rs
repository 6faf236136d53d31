//! `nodes`: who belongs to the fleet.

use std::net::{Ipv4Addr, Ipv6Addr};

use clap::Subcommand;
use controller::config::Config;
use controller::limits;
use controller::operator::message::{Invite, NodeName, NodesRequest};

use super::ask::{answer, connect, done, show as shown};
use super::{Form, Outcome, show};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Invite a node, and print the token that it joins with.
    ///
    /// The token works once, for this node, for a limited time. Whoever has it becomes the node:
    /// bring it there by a way that keeps it secret.
    Invite {
        /// What it is called; unique in the fleet.
        #[arg(long)]
        name: String,
        /// The router or place it stands behind.
        #[arg(long)]
        site: String,
        /// Its own IPv4 address, by which other nodes reach it. Not anycast.
        #[arg(long, required_unless_present = "ipv6")]
        ipv4: Option<Ipv4Addr>,
        /// Its own IPv6 address.
        #[arg(long)]
        ipv6: Option<Ipv6Addr>,
        /// Its ID, 0 to 4095; unless said otherwise the one that has been nobody's for longest.
        #[arg(long, value_parser = clap::value_parser!(u32).range(0..=4095))]
        id: Option<u32>,
        /// A name whose certificates it gets, `*.` for one label. May be given several times; all
        /// where none is given.
        #[arg(long, value_name = "NAME")]
        serves: Vec<String>,
        /// For how long the token is good.
        #[arg(long, value_name = "SECONDS", default_value_t = limits::DEFAULT_INVITATION.as_secs())]
        #[arg(value_parser = clap::value_parser!(u64).range(1..=limits::MAX_INVITATION.as_secs()))]
        valid_seconds: u64,
        #[command(flatten)]
        form: Form,
    },
    /// List the nodes and invitations.
    List(Form),
    /// Remove a node or an invitation: its identity opens nothing from now on.
    ///
    /// Stop the node first: it would go on serving with what it has.
    Remove {
        /// What it is called.
        name: String,
        #[command(flatten)]
        form: Form,
    },
}

pub(super) async fn run(config: &Config, command: Command) -> Outcome {
    let mut controller = connect(config).await?;
    match command {
        Command::Invite { name, site, ipv4, ipv6, id, serves, valid_seconds, form } => {
            let ipv4 = ipv4.map(|it| it.to_string()).unwrap_or_default();
            let ipv6 = ipv6.map(|it| it.to_string()).unwrap_or_default();
            let invite = Invite { name, site, ipv4, ipv6, id, serves, valid_seconds };
            let invited = controller.invite_node(invite).await;
            shown(form, &answer(invited)?, show::invited)
        }
        Command::List(form) => {
            let nodes = controller.list_nodes(NodesRequest {}).await;
            shown(form, &answer(nodes)?, show::nodes)
        }
        Command::Remove { name, form } => {
            done(form, &answer(controller.remove_node(NodeName { name }).await)?)
        }
    }
}

//! Puts what the controller gives in force, item by item.

use std::sync::Arc;
use std::time::SystemTime;

use distributions::Served;
use fleet_wire::key;
use fleet_wire::message::item::Body;
use fleet_wire::message::{Certificate, Item, Refused, TlsAlpn01};

use super::item::{self, Value};
use super::last_good::LastGood;
use super::state::{Change, Step};
use crate::admin::control::Control;
use crate::tls::{Candidate, Source};

/// Puts steps in force in one process.
pub struct Force {
    control: Arc<Control>,
    /// The account whose challenges are answered without a token: its thumbprint is the one answer
    /// to every token, so there is only one such account.
    account: Option<String>,
}

impl Force {
    /// Into the process of `control`.
    #[must_use]
    pub const fn new(control: Arc<Control>) -> Self {
        Self { control, account: None }
    }

    /// Puts `step` in force: everything of it that is not among the answers is, when this returns,
    /// in the kernel's maps and with every worker. Of what is refused the old stays in force.
    /// `now` is for the validity of certificates.
    pub async fn put(&mut self, step: &Step, now: SystemTime) -> Vec<Refused> {
        let mut refused = Vec::new();
        let mut certificates = Vec::new();
        for change in &step.changes {
            let put = match change {
                Change::Put { key, value: Value::Certificate(certificate), .. } => {
                    certificates.push(candidate(key, certificate));
                    continue;
                }
                Change::Put { key, value, .. } => self.one(key, value).await,
                Change::Remove { key } => self.remove(key).await,
            };
            if let Err(reason) = put {
                refused.push(Refused { key: change.key().to_owned(), reason });
            }
        }
        // All at once, because each call copies the index, and not here, because ten thousand take
        // seconds.
        if !certificates.is_empty() {
            let live = Arc::clone(self.control.certificates());
            let put = move || live.put(Source::Controller, certificates, now);
            let bad = tokio::task::spawn_blocking(put).await.expect("no candidate panics");
            refused.extend(bad.into_iter().map(|bad| {
                let reason = bad.reason.to_string();
                Refused { key: format!("{}{}", key::CERTIFICATE, bad.id), reason }
            }));
        }
        refused
    }

    async fn one(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let challenges = self.control.challenges();
        match value {
            Value::Node(node, _) => {
                let put = self.control.put_node(node).await;
                put.map_err(|error| error.to_string())
            }
            Value::Secrets(secrets) => {
                let changed = self.control.change_secrets(secrets.as_ref().clone()).await;
                let words = changed.map_err(|error| error.to_string())?;
                words.iter().for_each(|change| tracing::info!("by the controller: {change}"));
                Ok(())
            }
            Value::Http01(answer) => challenges
                .set_http01(&answer.token, &answer.key_authorization)
                .map_err(|refused| refused.to_string()),
            Value::TlsAlpn01(TlsAlpn01 { name, certificate, key }) => challenges
                .set_tls_alpn01(name, vec![certificate.to_vec()], key.to_vec())
                .map_err(|refused| refused.to_string()),
            Value::Account(account) => {
                if let Some(other) = self.account.as_ref().filter(|other| *other != key) {
                    return Err(format!("challenges are answered for {other} already"));
                }
                let set = challenges.set_thumbprint(Some(&account.thumbprint));
                set.map_err(|refused| refused.to_string())?;
                self.account = Some(key.to_owned());
                Ok(())
            }
            Value::Distributions(given) => self.distributions(given.as_ref().clone()).await,
            // Those of a step go together.
            Value::Certificate(_) => Ok(()),
        }
    }

    async fn distributions(&self, given: Served) -> Result<(), String> {
        let changed = self.control.change_distributions(given).await;
        let words = changed.map_err(|error| error.to_string())?;
        words.iter().for_each(|change| tracing::info!("by the controller: {change}"));
        Ok(())
    }

    async fn remove(&mut self, key: &str) -> Result<(), String> {
        let challenges = self.control.challenges();
        if key == key::DISTRIBUTIONS {
            self.distributions(Served::default()).await?;
        } else if let Some(id) = key.strip_prefix(key::CERTIFICATE) {
            self.control.certificates().remove(Source::Controller, &[id]);
        } else if let Some(token) = key.strip_prefix(key::HTTP_01) {
            challenges.remove_http01(token);
        } else if let Some(name) = key.strip_prefix(key::TLS_ALPN_01) {
            challenges.remove_tls_alpn01(name);
        } else if self.account.take_if(|account| account == key).is_some() {
            challenges.set_thumbprint(None).map_err(|refused| refused.to_string())?;
        } else if let Some(id) = key.strip_prefix(key::NODE).and_then(|id| id.parse().ok()) {
            let removed = self.control.remove_node(id).await;
            removed.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// What a state has answered under which names, for a start, which alone can open its files.
pub(crate) fn distributions(state: &LastGood) -> Served {
    let item = state.items.iter().find(|item| item.key == key::DISTRIBUTIONS);
    match item.map(|item| item::check(item)) {
        Some(Ok(Value::Distributions(served))) => Served::clone(&served),
        _ => Served::default(),
    }
}

/// The certificates of a state, for those who serve before all of it is in force.
pub(crate) fn certificates(state: &LastGood) -> Vec<Candidate> {
    let of = |item: &Arc<Item>| match &item.body {
        Some(Body::Certificate(certificate)) => Some(candidate(&item.key, certificate)),
        _ => None,
    };
    state.items.iter().filter_map(of).collect()
}

fn candidate(key: &str, certificate: &Certificate) -> Candidate {
    let id = key.strip_prefix(key::CERTIFICATE).unwrap_or(key);
    let chain = certificate.chain.iter().map(|der| der.to_vec()).collect();
    Candidate::new(id, chain, certificate.key.to_vec())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fleet_wire::message::{self, Applied, Bundle, Position};
    use fleet_wire::secrets::{IdMode, Secrets, to_text};
    use tokio::sync::mpsc;

    use super::super::state::State;
    use super::*;
    use crate::admin::control::Parts;
    use crate::admin::samples::parts;
    use crate::config::NodeConfig;
    use crate::relay::{RelayHandle, RelayOrder};
    use crate::steering::tables::samples;

    /// A process without workers that follows.
    struct Follower {
        control: Arc<Control>,
        force: Force,
        state: State,
        serial: u64,
    }

    impl Follower {
        fn new(secrets: &Secrets) -> Self {
            Self::of(parts(samples::config(1), secrets))
        }

        fn of(parts: Parts) -> Self {
            let control = Arc::new(Control::new(parts));
            let force = Force::new(Arc::clone(&control));
            Self { control, force, state: State::new(1), serial: 0 }
        }

        /// Takes changes and says what was refused, by key.
        async fn take(&mut self, items: Vec<Item>, removed: &[&str]) -> Vec<String> {
            self.serial += 1;
            let position = Some(Position { epoch: 1, term: 1, serial: self.serial });
            let removed = removed.iter().map(|key| (*key).to_owned()).collect();
            let bundle = Bundle { position, whole: false, last: true, items, removed };
            let step = self.state.take(bundle).expect("followed");
            let refused = self.force.put(&step, SystemTime::now()).await;
            let applied: Applied =
                self.state.settle(step, refused).expect("said").expect("the last part");
            applied.refused.into_iter().map(|refused| refused.key).collect()
        }
    }

    fn item(key: &str, body: Body) -> Item {
        Item { key: key.to_owned(), body: Some(body) }
    }

    fn of_controller(secrets: &Secrets) -> Item {
        let fleet_file = to_text(secrets).into_bytes().into();
        item(key::SECRETS, Body::Secrets(message::Secrets { fleet_file }))
    }

    fn certificate(name: &str) -> Item {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a key");
        let chain = vec![Bytes::copy_from_slice(made.cert.der())];
        let key = made.signing_key.serialize_der().into();
        let certificate = Certificate { chain, key };
        item(&format!("{}{name}", key::CERTIFICATE), Body::Certificate(certificate))
    }

    #[tokio::test]
    async fn challenges_and_certificates_are_in_force_when_they_are_answered() {
        let secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
        let mut follower = Follower::new(&secrets);
        let token = "t".repeat(43);
        let answer = format!("{token}.{}", "p".repeat(43));
        let http01 = |answer: &str| {
            let answer = message::Http01 { token: token.clone(), key_authorization: answer.into() };
            item(&format!("{}{token}", key::HTTP_01), Body::Http01(answer))
        };
        let bad = item(
            "certificate/b.example",
            Body::Certificate(Certificate { chain: Vec::new(), key: Bytes::new() }),
        );
        let items = vec![bad, http01(&answer), certificate("a.example")];
        assert_eq!(follower.take(items, &[]).await, ["certificate/b.example"]);
        assert_eq!(follower.control.challenges().http01(&token).as_deref(), Some(&answer[..]));
        assert_eq!(follower.control.certificates().in_force(Source::Controller).len(), 1);
        // What is bad leaves the old.
        assert_eq!(follower.take(vec![http01("x.y")], &[]).await, [http01("").key]);
        assert_eq!(follower.control.challenges().http01(&token).as_deref(), Some(&answer[..]));
        let removed = [&http01("").key[..], "certificate/a.example"];
        assert_eq!(follower.take(Vec::new(), &removed).await, [""; 0]);
        assert_eq!(follower.control.challenges().http01(&token), None);
        assert_eq!(follower.control.certificates().in_force(Source::Controller), []);
    }

    #[tokio::test]
    async fn secrets_change_as_by_a_reload_and_those_that_break_connections_are_refused() {
        let secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
        let mut follower = Follower::new(&secrets);
        let mut next = secrets.clone();
        next.tickets.next = Some([7; 32]);
        assert_eq!(follower.take(vec![of_controller(&next)], &[]).await, [""; 0]);
        let in_force = follower.control.change_secrets(next.clone()).await.expect("the same");
        assert!(in_force.is_empty(), "{in_force:?}");
        let other = Secrets { worker_hash: [9; 16], ..next.clone() };
        assert_eq!(follower.take(vec![of_controller(&other)], &[]).await, [key::SECRETS]);
        let in_force = follower.control.change_secrets(next).await.expect("still the same");
        assert!(in_force.is_empty(), "{in_force:?}");
    }

    #[tokio::test]
    async fn nodes_come_change_and_go() {
        let secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
        let mut follower = Follower::new(&secrets);
        let ours = follower.control.config().our_node().clone();
        let liveness = |follower: &Follower, id| {
            let nodes = follower.control.nodes();
            nodes.iter().find(|node| node.id == id).map(|node| node.ipv4)
        };
        let other = |last| NodeConfig {
            name: "other".into(),
            ipv4: Some([198, 51, 100, last].into()),
            ipv6: None,
            ..ours.clone()
        };
        assert_eq!(follower.take(vec![entry(99, &other(9))], &[]).await, [""; 0]);
        assert_eq!(liveness(&follower, 99), Some(Some([198, 51, 100, 9].into())));
        assert_eq!(follower.take(vec![entry(99, &other(10))], &[]).await, [""; 0]);
        assert_eq!(liveness(&follower, 99), Some(Some([198, 51, 100, 10].into())));
        assert_eq!(follower.take(Vec::new(), &["node/99"]).await, [""; 0]);
        assert_eq!(liveness(&follower, 99), None);
        // Where clients arrive is nobody's own address.
        let anycast = NodeConfig { ipv4: Some([192, 0, 2, 1].into()), ..other(9) };
        assert_eq!(follower.take(vec![entry(98, &anycast)], &[]).await, ["node/98"]);
        // Our own sockets and maps have the address of the start.
        assert_eq!(follower.take(vec![entry(ours.id, &ours)], &[]).await, [""; 0]);
        let moved = NodeConfig { ipv4: Some([198, 51, 100, 77].into()), ..ours.clone() };
        assert_eq!(follower.take(vec![entry(ours.id, &moved)], &[]).await, ["node/1"]);
    }

    /// What is refused must not count as done: the same change comes again.
    #[tokio::test(start_paused = true)]
    async fn a_change_that_the_relay_did_not_hear_of_is_made_again() {
        let secrets = Secrets::generate(IdMode::Encrypted, 17).expect("random");
        let (orders, mut heard) = mpsc::channel(1);
        let relay = Some(RelayHandle { inbox: mpsc::channel(1).0, orders });
        let parts = Parts { relay, ..parts(samples::config(1), &secrets) };
        let mut follower = Follower::of(parts);
        let ours = follower.control.config().our_node().clone();
        let other = NodeConfig { ipv4: Some([198, 51, 100, 9].into()), ipv6: None, ..ours.clone() };
        let known = |follower: &Follower| follower.control.nodes().iter().any(|it| it.id == 99);
        // The relay is stuck: nobody reads its orders.
        assert_eq!(follower.take(vec![entry(99, &other)], &[]).await, ["node/99"]);
        assert!(!known(&follower));
        let relay = tokio::spawn(async move {
            let mut told = 0;
            while let Some(RelayOrder::Nodes(_, done)) = heard.recv().await {
                // Whoever gave up does not wait for this one.
                told += u32::from(done.send(()).is_ok());
            }
            told
        });
        assert_eq!(follower.take(vec![entry(99, &other)], &[]).await, [""; 0]);
        assert!(known(&follower));
        assert_eq!(follower.take(Vec::new(), &["node/99"]).await, [""; 0]);
        assert!(!known(&follower));
        drop(follower);
        assert_eq!(relay.await.expect("no panic"), 2);
    }

    fn entry(id: u16, node: &NodeConfig) -> Item {
        let node = message::Node {
            id: id.into(),
            name: node.name.clone(),
            site: node.site.clone(),
            ipv4: node.ipv4.map(|ip| ip.octets().to_vec()).unwrap_or_default().into(),
            ipv6: node.ipv6.map(|ip| ip.octets().to_vec()).unwrap_or_default().into(),
            standing: message::Standing::Serving.into(),
        };
        item(&format!("{}{id}", key::NODE), Body::Node(node))
    }
}

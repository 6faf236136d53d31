//! Commands about certificates.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tokio::sync::oneshot;
use tonic::{Response, Status};

use super::{Operator, done, m, now};
use crate::acme::order::State;
use crate::acme::{Ask, Deed, Pems};
use crate::config::ChallengeKind;
use crate::internal;
use crate::limits;
use crate::nodes::Holds;
use crate::records::{Certificate, KeyType, Kind as _, Order, Request};

/// The state of a certificate whose time is over.
pub(super) const EXPIRED: &str = "expired";

impl Operator {
    pub(super) fn certificate_list(&self) -> Vec<m::Certificate> {
        let now = now();
        let mut list = BTreeMap::new();
        for request in self.ledger.all::<Request>() {
            let entry = self.requested(request.value);
            list.insert(entry.id.clone(), entry);
        }
        for stored in self.ledger.all::<Certificate>() {
            let it = stored.value;
            let entry: &mut m::Certificate = list.entry(it.id.clone()).or_default();
            let state = match now < it.not_after {
                true => "served",
                false => EXPIRED,
            };
            let holds = self.nodes.holds(&it.key(), stored.revision);
            let serving = holds.iter().filter(|(_, holds)| *holds == Holds::Yes).count();
            *entry = m::Certificate {
                id: it.id,
                names: it.names,
                source: it.source,
                state: state.to_owned(),
                not_before: it.not_before,
                not_after: it.not_after,
                fingerprint: it.fingerprint,
                nodes_serving: u32::try_from(serving).unwrap_or(u32::MAX),
                nodes_expected: u32::try_from(holds.len()).unwrap_or(u32::MAX),
                failure: std::mem::take(&mut entry.failure),
                order: std::mem::take(&mut entry.order),
            };
        }
        list.into_values().collect()
    }

    /// A request and its order, as long as no certificate of it is there.
    fn requested(&self, request: Request) -> m::Certificate {
        let Request { id, names, issuer, .. } = request;
        let order = self.ledger.get::<Order>(&id).map(|stored| State::of(&stored.value));
        let order = order.unwrap_or_default();
        let state = if order.is_in_progress() { "ordering" } else { "waiting" };
        let is_known = issuer == internal::NAME || self.config.issuers.contains_key(&issuer);
        let failure = match order.failure {
            _ if !is_known => format!("the configuration has no issuer `{issuer}`"),
            Some(failure) => failure.why,
            None => String::new(),
        };
        m::Certificate {
            id,
            names,
            source: issuer,
            state: state.to_owned(),
            order: order.phase.name().to_owned(),
            failure,
            ..Default::default()
        }
    }

    pub(super) async fn request(
        &self,
        asked: m::CertificateRequest,
    ) -> Result<Response<m::Done>, Status> {
        let request = self.check_request(asked)?;
        let (id, issuer) = (request.id.clone(), request.issuer.clone());
        let word = match self.ledger.get::<Request>(&id) {
            Some(_) => format!("{id}: the request is changed; {issuer} issues it"),
            None => format!("{id}: {issuer} issues it"),
        };
        self.ask(Deed::Request(request), word).await
    }

    pub(super) async fn import(&self, pems: Pems) -> Result<Response<m::Done>, Status> {
        check_id(&pems.id)?;
        let word = format!("{} is imported", pems.id);
        self.ask(Deed::Import(pems), word).await
    }

    /// Has the task of orders do something.
    pub(super) async fn ask(&self, deed: Deed, word: String) -> Result<Response<m::Done>, Status> {
        let (reply, heard) = oneshot::channel();
        let busy = || Status::unavailable("too many commands about certificates: try again");
        self.orders.try_send(Ask { deed, reply }).map_err(|_| busy())?;
        match heard.await {
            Ok(Ok(())) => done(word),
            Ok(Err(reason)) => Err(Status::failed_precondition(reason)),
            Err(_) => Err(busy()),
        }
    }

    /// What public authorities and we ourselves take.
    fn check_request(&self, asked: m::CertificateRequest) -> Result<Request, Status> {
        let wrong = |reason: String| Err(Status::invalid_argument(reason));
        let m::CertificateRequest { id, names, issuer, key_type } = asked;
        let most = limits::MAX_CERTIFICATE_NAMES;
        let Some(first) = names.first().filter(|_| names.len() <= most) else {
            return wrong(format!("a certificate has 1 to {most} names"));
        };
        let names: Vec<_> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        for name in &names {
            if let Err(refusal) = self.config.certificates.policy.check(name) {
                return wrong(refusal.to_string());
            }
        }
        let id = if id.is_empty() { first.to_ascii_lowercase() } else { id };
        check_id(&id)?;
        let key_type = match (key_type.as_str(), self.config.issuers.get(&issuer)) {
            ("", known) => known.map_or(KeyType::default(), |known| known.key_type),
            (word, _) => match KeyType::NAMES.iter().find(|(name, _)| *name == word) {
                Some((_, key_type)) => *key_type,
                None => return wrong(format!("`{word}` is none of: p256, p384, rsa2048")),
            },
        };
        if issuer != internal::NAME {
            self.check_issuer(&issuer, &names)?;
        }
        Ok(Request { id, names, issuer, key_type })
    }

    /// That the issuer is there and has a challenge for each name.
    fn check_issuer(&self, issuer: &str, names: &[String]) -> Result<(), Status> {
        let wrong = |reason: String| Err(Status::invalid_argument(reason));
        let Some(known) = self.config.issuers.get(issuer) else {
            let known: Vec<_> = self.config.issuers.keys().map(String::as_str).collect();
            let known = [&[internal::NAME], &known[..]].concat().join(", ");
            return wrong(format!("there is no issuer `{issuer}`; one of: {known}"));
        };
        for name in names {
            let is_address = name.parse::<IpAddr>().is_ok();
            let wanted = match known.challenge {
                ChallengeKind::Dns01 if is_address => ChallengeKind::Http01,
                // RFC 8738 section 6 asks for by another name than the address.
                ChallengeKind::TlsAlpn01 if is_address => ChallengeKind::Http01,
                kind if kind != ChallengeKind::Dns01 && name.starts_with("*.") => {
                    ChallengeKind::Dns01
                }
                _ => continue,
            };
            return wrong(format!(
                "`{name}` needs an issuer with challenge = \"{wanted}\" (RFC 8555 section 7.1.3, \
                 RFC 8738 section 4)"
            ));
        }
        Ok(())
    }

    pub(super) async fn remove_certificate_of(
        &self,
        id: &str,
    ) -> Result<Response<m::Done>, Status> {
        let is_there = self.ledger.get::<Certificate>(id).is_some()
            || self.ledger.get::<Request>(id).is_some();
        if !is_there {
            return Err(no_certificate(id));
        }
        let word = format!("{id}: no node serves it any more, and it is not renewed");
        self.ask(Deed::Remove(id.to_owned()), word).await
    }
}

/// What a certificate may be called.
fn check_id(id: &str) -> Result<(), Status> {
    let is_fit = !id.is_empty() && !id.contains(|c: char| c == '/' || c.is_control());
    if is_fit && id.len() <= limits::MAX_ID_BYTES {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "a certificate is called by 1 to {} bytes without `/` and control characters",
        limits::MAX_ID_BYTES
    )))
}

fn no_certificate(id: &str) -> Status {
    Status::not_found(format!(
        "there is no certificate `{id}`; `certificates list` shows what there is"
    ))
}

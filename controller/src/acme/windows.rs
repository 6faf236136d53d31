//! When authorities suggest to renew (RFC 9773): asked for each certificate, as often as they say,
//! and forgotten with the certificate. An authority that does not answer holds up nothing: then a
//! certificate is renewed by its age, or by what was suggested last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{CertificateIdentifier, RenewalInfo};
use serde::Deserialize;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::client::Client;
use super::{Context, Trouble};
use crate::certificate;
use crate::config::Issuer;
use crate::limits;
use crate::records::Certificate;
use crate::renew::{self, Window};

/// What authorities suggest.
#[derive(Default)]
pub(super) struct Windows {
    /// By the certificate's ID.
    known: BTreeMap<String, Known>,
    /// By the issuer's name: where it is asked, and since when that is known.
    places: BTreeMap<String, (Option<String>, Instant)>,
    questions: JoinSet<Asked>,
    /// By the issuer's name.
    at_work: BTreeMap<String, usize>,
}

struct Known {
    fingerprint: String,
    window: Option<Window>,
    /// When to ask; nothing while it is asked.
    ask_at: Option<Instant>,
    failures: u32,
}

/// What came of a question.
struct Asked {
    certificate: Certificate,
    /// Where it was asked, where the authority said.
    place: Option<Option<String>>,
    result: Result<Suggestion, Trouble>,
}

struct Suggestion {
    window: Option<Window>,
    ask_in: Duration,
}

impl Windows {
    /// Asks what is due; returns when to look again.
    pub(super) fn ask<'a>(
        &mut self,
        context: &Arc<Context>,
        certificates: impl Iterator<Item = &'a Certificate>,
    ) -> Duration {
        let now = Instant::now();
        let mut look_again = limits::WINDOW_ASK_MAX;
        let mut known = std::mem::take(&mut self.known);
        for certificate in certificates {
            let Some(issuer) = context.settings.by_name.get(&certificate.source) else { continue };
            let fresh = || Known {
                fingerprint: certificate.fingerprint.clone(),
                window: None,
                ask_at: Some(now),
                failures: 0,
            };
            let mut this = known
                .remove(&certificate.id)
                .filter(|known| known.fingerprint == certificate.fingerprint)
                .unwrap_or_else(fresh);
            if let Some(at) = this.ask_at {
                let at_work = self.at_work.entry(certificate.source.clone()).or_default();
                match at.checked_duration_since(now) {
                    Some(wait) if !wait.is_zero() => look_again = look_again.min(wait),
                    _ if *at_work < limits::WINDOW_ASKS => {
                        *at_work += 1;
                        this.ask_at = None;
                        self.begin(context, certificate.clone(), issuer.clone());
                    }
                    _ => {} // its turn comes when an answer does
                }
            }
            self.known.insert(certificate.id.clone(), this);
        }
        look_again
    }

    fn begin(&mut self, context: &Arc<Context>, certificate: Certificate, issuer: Issuer) {
        let place = self.places.get(&certificate.source);
        let place = place.filter(|(_, since)| since.elapsed() < limits::WINDOW_PLACE_GOOD_FOR);
        let mut place = place.map(|(place, _)| place.clone());
        let timeout = context.settings.times.request;
        self.questions.spawn(async move {
            let result = question(&certificate, &issuer, timeout, &mut place).await;
            Asked { certificate, place, result }
        });
    }

    /// Takes the answers that there are, once there is one; nothing where nothing was asked.
    pub(super) async fn answered(&mut self, seed: u64) -> Option<()> {
        let first = self.questions.join_next().await?;
        self.take(first, seed);
        while let Some(next) = self.questions.try_join_next() {
            self.take(next, seed);
        }
        Some(())
    }

    fn take(&mut self, asked: Result<Asked, JoinError>, seed: u64) {
        let Asked { certificate, place, result } = match asked {
            Ok(asked) => asked,
            // Whose it was is not known: it keeps its place until the next start.
            Err(error) => return tracing::error!("a question ended by a mistake of ours: {error}"),
        };
        let issuer = certificate.source.clone();
        if let Some(at_work) = self.at_work.get_mut(&issuer) {
            *at_work = at_work.saturating_sub(1);
        }
        if let Some(place) = place {
            let since = self.places.get(&issuer).map(|(_, since)| *since);
            if since.is_none_or(|since| since.elapsed() >= limits::WINDOW_PLACE_GOOD_FOR) {
                self.places.insert(issuer, (place, Instant::now()));
            }
        }
        let known = self.known.get_mut(&certificate.id);
        let known = known.filter(|known| known.fingerprint == certificate.fingerprint);
        let Some(known) = known else { return };
        let ask_in = match result {
            Ok(Suggestion { window, ask_in }) => {
                if known.window != window {
                    tracing::info!(certificate = certificate.id, ?window, "when to renew it");
                }
                (known.window, known.failures) = (window, 0);
                ask_in
            }
            Err(Trouble { why, retry_after, .. }) => {
                known.failures = known.failures.saturating_add(1);
                tracing::debug!(certificate = certificate.id, "no renewal information: {why}");
                renew::backoff(known.failures, None, retry_after, seed)
            }
        };
        known.ask_at = Some(Instant::now() + ask_in);
    }

    /// What is suggested, by the certificate's ID.
    pub(super) fn suggested(&self) -> BTreeMap<String, Window> {
        let known = self.known.iter();
        known.filter_map(|(id, known)| Some((id.clone(), known.window?))).collect()
    }
}

/// RFC 9773 section 4.1. `place` is where to ask, where that is known.
async fn question(
    certificate: &Certificate,
    issuer: &Issuer,
    timeout: Duration,
    place: &mut Option<Option<String>>,
) -> Result<Suggestion, Trouble> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Directory {
        renewal_info: Option<String>,
    }
    let client = Client::new(issuer.root.as_deref(), timeout).map_err(Trouble::ours)?;
    let of = |error| Trouble::of(&error, &client.said());
    let known = match place {
        Some(place) => place.clone(),
        None => {
            let directory: Directory = client.get(&issuer.directory).await.map_err(of)?;
            place.insert(directory.renewal_info).clone()
        }
    };
    let Some(url) = known else {
        return Ok(Suggestion { window: None, ask_in: limits::WINDOW_ASK_DEFAULT });
    };
    let leaf = certificate::leaf(&certificate.chain).map_err(Trouble::ours)?;
    let id = CertificateIdentifier::try_from(&leaf).map_err(Trouble::ours)?;
    let info: RenewalInfo = client.get(&format!("{url}/{id}")).await.map_err(of)?;
    let seconds = |at: time::OffsetDateTime| u64::try_from(at.unix_timestamp()).unwrap_or_default();
    let (start, end) = (info.suggested_window.start, info.suggested_window.end);
    let window = Window { start: seconds(start), end: seconds(end) };
    if window.end < window.start {
        return Err(Trouble::refused("the window that is suggested ends before it begins"));
    }
    let ask_in = client
        .said()
        .look_after()
        .unwrap_or(limits::WINDOW_ASK_DEFAULT)
        .clamp(limits::WINDOW_ASK_MIN, limits::WINDOW_ASK_MAX);
    Ok(Suggestion { window: Some(window), ask_in })
}

//! Stands in front of pebble and does what pebble never does: errors, silence, delays by
//! `Retry-After`, and renewal information. Whatever it was not told to spoil, pebble answers.
//!
//! Pebble makes its URLs, and checks those in signed requests (RFC 8555 section 6.4), from the host
//! that the request names. This one passes that on as it came, so that no body needs a change.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket;
use rustls::{ClientConfig, ServerConfig};
use serde_json::{Value, json};

use super::message::{Request, Response};
use super::{Endpoint, Pebble, directory_url, tls};

/// What is done to a request.
#[derive(Clone, Debug)]
pub enum Deed {
    /// An error takes the place of the answer; pebble never hears of the request.
    Fail {
        /// HTTP status.
        status: u16,
        /// What follows `urn:ietf:params:acme:error:` (RFC 8555 section 6.7); nothing for an error
        /// that is no document of ACME's.
        problem: Option<&'static str>,
        /// After how many seconds to come again.
        retry_after_seconds: Option<u64>,
    },
    /// Nothing is ever answered, and pebble never hears of it.
    Hang,
    /// Pebble does it, and the answer is never given.
    Swallow,
    /// Pebble's answer, with the advice to come again after so many seconds.
    Delay {
        /// See there.
        retry_after_seconds: u64,
    },
    /// What is answered is no JSON.
    Garble,
    /// Pebble's answer, with one text of it replaced by another.
    Replace(&'static str, String),
}

/// How often a deed is done.
#[derive(Clone, Copy, Debug)]
struct Left(Option<u32>);

/// An authority that can be told to misbehave. Dropping it ends every connection.
#[derive(Debug)]
pub struct Unruly {
    address: SocketAddr,
    trust: PathBuf,
    shared: Arc<Shared>,
    listener: Arc<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    pebble: SocketAddr,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    deeds: HashMap<Endpoint, (Deed, Left)>,
    requests: HashMap<Endpoint, usize>,
    renewal: Option<Value>,
    renewal_retry_after_seconds: u64,
    /// How often it was told to behave.
    turns: u64,
    ended: bool,
}

impl Unruly {
    /// Stands in front of `pebble`, well-behaved at first.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub fn before(pebble: &Pebble) -> Result<Self> {
        let place = pebble.place();
        let listener = Arc::new(place.run(|| TcpListener::bind((place.address(), 0)))?);
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            pebble: pebble.acme(),
            client: Arc::new(pebble.credentials.client()?),
            server: Arc::new(pebble.credentials.server()?),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let (accepting, listening) = (Arc::clone(&shared), Arc::clone(&listener));
        // A thread is where the thread is that started it.
        let acceptor = place.run(|| thread::spawn(move || accept(&listening, &accepting)));
        let trust = pebble.trust().to_owned();
        Ok(Self { address, trust, shared, listener, acceptor: Some(acceptor) })
    }

    /// Where an ACME client begins.
    #[must_use]
    pub fn directory_url(&self) -> String {
        directory_url(self.address)
    }

    /// GETs what is there.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn get(&self, endpoint: Endpoint) -> Result<Response> {
        tls::ask(&self.shared.client, self.address, &Request::get(endpoint.path()))
    }

    /// Sends what an [`super::account::Account`] asks: method, path, signed body.
    ///
    /// # Errors
    /// Where there is no answer.
    pub fn send(&self, method: &str, path: &str, body: Option<String>) -> Result<Response> {
        let request = match body {
            Some(body) => Request::post(path, "application/jose+json", body),
            None => Request { method: method.to_owned(), ..Request::get(path) },
        };
        tls::ask(&self.shared.client, self.address, &request)
    }

    /// What a client of its API trusts, PEM: the same as with pebble.
    #[must_use]
    pub fn trust(&self) -> &Path {
        &self.trust
    }

    /// Does this to each request for `endpoint`, until [`Self::behave`].
    pub fn always(&self, endpoint: Endpoint, deed: Deed) {
        self.shared.state().deeds.insert(endpoint, (deed, Left(None)));
    }

    /// Does this to the next `times` requests for `endpoint`.
    pub fn next(&self, endpoint: Endpoint, times: u32, deed: Deed) {
        self.shared.state().deeds.insert(endpoint, (deed, Left(Some(times))));
    }

    /// Is well-behaved again, also to those who wait for an answer: their connections end.
    pub fn behave(&self) {
        let mut state = self.shared.state();
        state.deeds.clear();
        state.turns += 1;
        drop(state);
        self.shared.changed.notify_all();
    }

    /// How many requests for `endpoint` there were so far.
    #[must_use]
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        self.shared.state().requests.get(&endpoint).copied().unwrap_or(0)
    }

    /// Waits until there were so many requests for `endpoint`, those included that wait for an
    /// answer.
    ///
    /// # Errors
    /// Where there are fewer after `timeout`.
    pub fn wait_for(&self, endpoint: Endpoint, requests: usize, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.state();
        loop {
            let now = state.requests.get(&endpoint).copied().unwrap_or(0);
            if now >= requests {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "{now} requests for {endpoint:?} within {timeout:?}");
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// From now on it has renewal information (RFC 9773), the same for every certificate: renew
    /// between `start` and `end`, and ask again after so many seconds.
    pub fn suggest(&self, start: SystemTime, end: SystemTime, retry_after_seconds: u64) {
        let mut state = self.shared.state();
        let window = json!({ "start": rfc3339(start), "end": rfc3339(end) });
        state.renewal = Some(json!({ "suggestedWindow": window }));
        state.renewal_retry_after_seconds = retry_after_seconds;
    }
}

impl Drop for Unruly {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
        // Who waits in accept(2) is woken by this, on Linux.
        let woken = socket::shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both);
        if let (Ok(()), Some(acceptor)) = (woken, self.acceptor.take()) {
            let _ = acceptor.join(); // it panics for no reason of ours
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and says what is to be done to it; and in which turn that is.
    fn enter(&self, endpoint: Endpoint) -> (Option<Deed>, u64) {
        let mut state = self.state();
        *state.requests.entry(endpoint).or_default() += 1;
        self.changed.notify_all();
        let turn = state.turns;
        let deed = state.deeds.get_mut(&endpoint).and_then(|(deed, left)| match &mut left.0 {
            None => Some(deed.clone()),
            Some(times) => {
                *times = times.checked_sub(1)?;
                Some(deed.clone())
            }
        });
        (deed, turn)
    }

    fn pass_on(&self, request: &Request) -> Result<Response> {
        let host = request.header("host").context("a request names its host")?;
        tls::ask_as(&self.client, self.pebble, host, request)
    }

    /// What is answered. Nothing where nothing shall be, once it is told to behave.
    fn answer(&self, request: &Request) -> Result<Option<Response>> {
        let endpoint = Endpoint::of(&request.path);
        let (deed, turn) = endpoint.map_or((None, 0), |endpoint| self.enter(endpoint));
        match deed {
            Some(Deed::Fail { status, problem, retry_after_seconds }) => {
                Ok(Some(failure(status, problem, retry_after_seconds)))
            }
            Some(Deed::Hang) => {
                self.wait_for_the_end_of(turn);
                Ok(None)
            }
            Some(Deed::Swallow) => {
                self.pass_on(request)?;
                self.wait_for_the_end_of(turn);
                Ok(None)
            }
            Some(Deed::Delay { retry_after_seconds }) => {
                let mut response = self.pass_on(request)?;
                response.headers.push(retry_after(retry_after_seconds));
                Ok(Some(response))
            }
            Some(Deed::Garble) => {
                let mut response = self.pass_on(request)?;
                response.body = b"<html>It works!</html>".to_vec();
                Ok(Some(response))
            }
            Some(Deed::Replace(text, by)) => {
                let mut response = self.pass_on(request)?;
                response.body = String::from_utf8_lossy(&response.body).replace(text, &by).into();
                Ok(Some(response))
            }
            None if endpoint == Some(Endpoint::RenewalInfo) => Ok(Some(self.renewal_info())),
            None if endpoint == Some(Endpoint::Directory) => self.directory(request).map(Some),
            None => self.pass_on(request).map(Some),
        }
    }

    /// Pebble's directory, with renewal information where there is some.
    fn directory(&self, request: &Request) -> Result<Response> {
        let mut response = self.pass_on(request)?;
        if self.state().renewal.is_some() {
            let host = request.header("host").context("a request names its host")?;
            let mut directory: Value = serde_json::from_slice(&response.body)?;
            directory["renewalInfo"] =
                format!("https://{host}{}", Endpoint::RenewalInfo.path()).into();
            response.body = serde_json::to_vec(&directory)?;
        }
        Ok(response)
    }

    fn renewal_info(&self) -> Response {
        let state = self.state();
        match &state.renewal {
            None => failure(404, None, None),
            Some(renewal) => Response {
                status: 200,
                headers: vec![
                    ("content-type".to_owned(), "application/json".to_owned()),
                    retry_after(state.renewal_retry_after_seconds),
                ],
                body: renewal.to_string().into_bytes(),
            },
        }
    }

    /// Waits until it is told to behave, or is gone.
    fn wait_for_the_end_of(&self, turn: u64) {
        let silent = |state: &mut State| !state.ended && state.turns == turn;
        let _state = self.changed.wait_while(self.state(), silent);
    }
}

/// Connections come one after the other and are served by threads of their own.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.state().ended {
            return;
        }
        let Ok(stream) = stream else { return };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A client that goes away, or was killed by the test: nothing to do about it.
            let _ = serve(stream, &shared);
        });
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = tls::accept(&shared.server, stream)?;
    let Some(request) = Request::read(&mut stream)? else { return Ok(()) };
    if let Some(response) = shared.answer(&request)? {
        response.write(&mut stream)?;
        tls::end(stream)?;
    }
    Ok(())
}

fn failure(status: u16, problem: Option<&str>, after_seconds: Option<u64>) -> Response {
    let (kind, body) = match problem {
        Some(problem) => {
            let kind = format!("urn:ietf:params:acme:error:{problem}");
            let body = json!({ "type": kind, "detail": "a test says so", "status": status });
            ("application/problem+json", body.to_string())
        }
        None => ("text/html", "<html>Something is broken.</html>".to_owned()),
    };
    let mut headers = vec![("content-type".to_owned(), kind.to_owned())];
    headers.extend(after_seconds.map(retry_after));
    Response { status, headers, body: body.into_bytes() }
}

fn retry_after(seconds: u64) -> (String, String) {
    ("retry-after".to_owned(), seconds.to_string())
}

/// In seconds, as RFC 3339 has it.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years of 365.2425 days that begin in March, from 1 March of year 0 on.
    let day = days + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        let written = |seconds| rfc3339(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(written(0), "1970-01-01T00:00:00Z");
        assert_eq!(written(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(written(1_795_564_799), "2026-11-24T23:59:59Z");
        assert_eq!(written(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}

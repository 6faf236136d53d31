//! Why an origin's answer could not be had, and what the client is told then.

use http::StatusCode;

use crate::http::content::Cut;

/// How many kinds of [`Failure`] there are.
pub const FAILURES: usize = 17;

/// Why an origin's answer could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No server of the origin is well.
    #[error("no server of the origin is well")]
    NoServer,
    /// As many requests as are allowed are with the server.
    #[error("the origin has as many requests as it may have")]
    Full,
    /// Its name has no address.
    #[error("the name of the server has no address")]
    Resolve,
    /// TCP: refused, reset or unreachable.
    #[error("the server cannot be reached")]
    Connect,
    /// TLS: another name, an authority that is not believed, no common version.
    #[error("the server's TLS is not acceptable")]
    Tls,
    /// The connection was not there in time.
    #[error("the server cannot be reached in time")]
    ConnectTimeout,
    /// The connection ended before the head of a response.
    #[error("the server closed the connection without a response")]
    Closed,
    /// It says that it has not looked at the request (RFC 9113 section 8.7).
    #[error("the server refuses the request without a look at it")]
    Refused,
    /// It takes no WebSocket in the version of HTTP that it is asked in.
    #[error("the server takes no WebSocket")]
    NoWebSocket,
    /// What it sent is no response.
    #[error("the server's response is malformed")]
    Malformed,
    /// It sent interim responses without end.
    #[error("the server sends interim responses without end")]
    Interim,
    /// The head of the response was not there in time.
    #[error("the server did not respond in time")]
    ResponseTimeout,
    /// All of it took too long.
    #[error("the response is not complete in time")]
    TotalTimeout,
    /// The client did not go on with its request.
    #[error("the request is not complete in time")]
    ClientLate,
    /// The client's request turned out to be none.
    #[error("the request is malformed")]
    ClientMalformed,
    /// The client has more requests with the server than its share, and there is not much room left.
    #[error("the client has its share of the origin's connections")]
    ClientShare,
    /// The client has given its request up.
    #[error("the client has given the request up")]
    ClientGone,
}

impl Failure {
    /// Every kind.
    pub const ALL: [Self; FAILURES] = [
        Self::NoServer,
        Self::Full,
        Self::Resolve,
        Self::Connect,
        Self::Tls,
        Self::ConnectTimeout,
        Self::Closed,
        Self::Refused,
        Self::NoWebSocket,
        Self::Malformed,
        Self::Interim,
        Self::ResponseTimeout,
        Self::TotalTimeout,
        Self::ClientLate,
        Self::ClientMalformed,
        Self::ClientShare,
        Self::ClientGone,
    ];

    /// As in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoServer => "no_server",
            Self::Full => "full",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::ConnectTimeout => "connect_timeout",
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::NoWebSocket => "no_websocket",
            Self::Malformed => "malformed",
            Self::Interim => "interim",
            Self::ResponseTimeout => "response_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::ClientLate => "client_late",
            Self::ClientMalformed => "client_malformed",
            Self::ClientShare => "client_share",
            Self::ClientGone => "client_gone",
        }
    }

    /// What the client is told (RFC 9110 sections 15.5.9 and 15.6.3 to 15.6.5).
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NoServer | Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Resolve
            | Self::Connect
            | Self::Tls
            | Self::Closed
            | Self::Refused
            | Self::NoWebSocket
            | Self::Malformed
            | Self::Interim => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::ResponseTimeout | Self::TotalTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::ClientLate => StatusCode::REQUEST_TIMEOUT,
            // RFC 6585 section 4.
            Self::ClientShare => StatusCode::TOO_MANY_REQUESTS,
            Self::ClientMalformed | Self::ClientGone => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether it says something about the server: what a worker leaves a server alone for.
    pub(super) const fn is_the_servers(self) -> bool {
        match self {
            Self::Resolve
            | Self::Connect
            | Self::Tls
            | Self::ConnectTimeout
            | Self::Closed
            | Self::Refused
            | Self::Malformed
            | Self::Interim
            | Self::ResponseTimeout => true,
            Self::NoServer
            | Self::Full
            | Self::NoWebSocket
            | Self::TotalTimeout
            | Self::ClientLate
            | Self::ClientMalformed
            | Self::ClientShare
            | Self::ClientGone => false,
        }
    }
}

impl From<Cut> for Failure {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Gone => Self::ClientGone,
            Cut::Refused(_) => Self::ClientMalformed,
            Cut::Late => Self::ClientLate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_place_and_a_status_that_says_whose_it_is() {
        for (index, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index);
            let is_server_error = failure.status().is_server_error();
            assert_eq!(is_server_error, !failure.name().starts_with("client_"), "{failure}");
            assert!(is_server_error || !failure.is_the_servers(), "{failure}");
        }
    }
}

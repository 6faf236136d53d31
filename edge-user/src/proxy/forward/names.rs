//! What fields are by their names, which are in lower case.

use std::borrow::Cow;

/// About the connection that a message came over, not about the message (RFC 9110 section 7.6.1).
/// `HTTP2-Settings` was one of them (RFC 7540 section 3.2.1).
pub(super) fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What no origin is sent as a field of the client's: whom a request is for goes with its target;
/// credentials are for us (RFC 9110 section 11.7.2); and CGI makes the variable `HTTP_PROXY` of
/// `Proxy`, by which libraries choose whom to ask (CVE-2016-5385).
pub(super) fn is_for_no_origin(name: &str) -> bool {
    matches!(name, "host" | "proxy" | "proxy-authorization")
}

/// What no client is sent of an origin's. `Alt-Svc` speaks for another host and port than those that
/// the client asked (RFC 7838 section 2.1), and would lead past us; `Proxy-Authenticate` is for us (RFC
/// 9110 section 11.7.1).
pub(super) fn is_for_no_client(name: &str) -> bool {
    matches!(name, "alt-svc" | "proxy-authenticate")
}

/// What origins believe of where a request comes from and what it was for, because a proxy is thought
/// to have said it. RFC 7239, RFC 9440 section 2, and names by custom; `X-Original-URL` and
/// `X-Rewrite-URL` lead some frameworks to another path than that by which a behaviour was chosen.
pub(super) fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded")
        || matches!(
            name,
            "cf-connecting-ip"
                | "cf-connecting-ipv6"
                | "client-cert"
                | "client-cert-chain"
                | "client-ip"
                | "fastly-client-ip"
                | "forwarded"
                | "forwarded-for"
                | "front-end-https"
                | "proxy-client-ip"
                | "ssl-client-cert"
                | "ssl-client-verify"
                | "true-client-ip"
                | "wl-proxy-client-ip"
                | "x-azure-clientip"
                | "x-client-cert"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "x-envoy-external-address"
                | "x-host"
                | "x-http-host-override"
                | "x-original-forwarded-for"
                | "x-original-host"
                | "x-original-url"
                | "x-originating-ip"
                | "x-proxyuser-ip"
                | "x-real-ip"
                | "x-remote-addr"
                | "x-remote-ip"
                | "x-rewrite-url"
                | "x-scheme"
                | "x-ssl-client-cert"
                | "x-ssl-client-verify"
                | "x-url-scheme"
        )
}

/// What `Connection` cannot take away whatever it names: how the content is framed, the mark against
/// loops, and what a proxy of the operator's says.
pub(super) fn is_kept(name: &str) -> bool {
    matches!(name, "content-length" | "via") || is_claim(name)
}

/// What stands in no trailer section: framing, routing, what a request is answered by, and what the
/// content is (RFC 9110 section 6.5.1). Some programs make one of both sections.
pub(super) fn is_for_no_trailer(name: &str) -> bool {
    is_of_connection(name)
        || is_for_no_origin(name)
        || is_kept(name)
        || name.starts_with("if-")
        || matches!(
            name,
            "age"
                | "authorization"
                | "cache-control"
                | "content-encoding"
                | "content-location"
                | "content-range"
                | "content-type"
                | "cookie"
                | "date"
                | "expect"
                | "expires"
                | "location"
                | "max-forwards"
                | "pragma"
                | "proxy-authenticate"
                | "range"
                | "retry-after"
                | "set-cookie"
                | "trailer"
                | "vary"
                | "www-authenticate"
        )
}

/// As a program reads it that makes a variable of each field (RFC 3875 section 4.1.18): there `-`
/// becomes `_`, and in some programs whatever else is no letter and no digit.
pub(super) fn folded(name: &str) -> Cow<'_, str> {
    let is_odd = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'-';
    // By bytes, which a name has alone: each field of each request comes by here.
    if !name.bytes().any(is_odd) {
        return name.into();
    }
    name.replace(|letter| u8::try_from(letter).is_ok_and(is_odd), "-").into()
}

/// Whether such a program takes `one` for the other, though it is not.
pub(super) fn is_alias(one: &str, other: &str) -> bool {
    one != other && one.len() == other.len() && folded(one) == folded(other)
}

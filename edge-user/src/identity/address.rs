//! Where controllers are.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::tls::host_name;
use ::distributions::names::unfit;

/// Where a controller listens: an IP address or a DNS name, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ControllerAddress {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Ip(IpAddr),
    /// In lower case, without dot at its end.
    Name(Box<str>),
}

/// Why a text is no address of a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    /// There is no controller without a port.
    #[error("it has no port")]
    Port,
    /// Neither an address nor a name.
    #[error("it is neither an IP address nor a DNS name, with a port")]
    Host,
    /// No packet can be sent there.
    #[error("it is {0}")]
    Unfit(&'static str),
}

impl ControllerAddress {
    /// The DNS name, where it is one: it is looked up at each connection.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Ip(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// The IP address, where it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ip(address) => Some(address),
            Host::Name(_) => None,
        }
    }

    /// The TCP port, not 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for ControllerAddress {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Ip(address.ip()), port: address.port() }
    }
}

impl fmt::Display for ControllerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl FromStr for ControllerAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if text.parse::<IpAddr>().is_ok() {
            return Err(NotAnAddress::Port);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match (unfit(address.ip()), address.port()) {
                (Some(kind), _) => Err(NotAnAddress::Unfit(kind)),
                (None, 0) => Err(NotAnAddress::Port),
                (None, _) => Ok(address.into()),
            };
        }
        let (name, port) = text.rsplit_once(':').ok_or(NotAnAddress::Port)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(NotAnAddress::Port)?;
        // A last label of digits is that of an IPv4 address (RFC 3696 section 2).
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let host = host_name(name).filter(|name| !name.rsplit('.').next().is_some_and(is_number));
        Ok(Self { host: Host::Name(host.ok_or(NotAnAddress::Host)?), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_have_a_port() {
        for (text, shown) in [
            ("192.0.2.1:4840", "192.0.2.1:4840"),
            ("[2001:db8::1]:4840", "[2001:db8::1]:4840"),
            ("Controller.Example.:4840", "controller.example:4840"),
            ("localhost:1", "localhost:1"),
        ] {
            let address: ControllerAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
        for (text, why) in [
            ("192.0.2.1", NotAnAddress::Port),
            ("2001:db8::1", NotAnAddress::Port),
            ("192.0.2.1:0", NotAnAddress::Port),
            ("controller.example", NotAnAddress::Port),
            ("controller.example:0", NotAnAddress::Port),
            ("controller.example:70000", NotAnAddress::Port),
            ("", NotAnAddress::Port),
            (":4840", NotAnAddress::Host),
            ("192.0.2.256:4840", NotAnAddress::Host),
            ("2001:db8::1::2:4840", NotAnAddress::Host),
            ("https://controller.example:4840", NotAnAddress::Host),
            ("0.0.0.0:4840", NotAnAddress::Unfit("unspecified")),
        ] {
            assert_eq!(text.parse::<ControllerAddress>(), Err(why), "{text}");
        }
    }
}

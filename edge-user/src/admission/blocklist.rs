//! The blocklist: a text file of networks, one a line, whose packets are dropped.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use edge_wire::maps::MAX_BLOCKLIST;

use crate::limits;

/// Bits in front of an IPv4 address in its IPv6 form.
const MAPPED_BITS: u8 = 96;

/// Addresses that begin with the same bits, as the kernel's map has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    /// IPv4-mapped where it is IPv4; zeros beyond the prefix.
    first: u128,
    /// 0 to 128, 96 more than written where it is IPv4.
    prefix: u8,
}

impl Network {
    /// The first address, IPv4-mapped where it is IPv4.
    #[must_use]
    pub fn octets(self) -> [u8; 16] {
        self.first.to_be_bytes()
    }

    /// How many bits count, 0 to 128.
    #[must_use]
    pub fn prefix_len(self) -> u32 {
        u32::from(self.prefix)
    }

    fn last(self) -> u128 {
        self.first | !mask(self.prefix)
    }
}

/// Ones in front.
fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(format!("`{text}` is neither an address nor a prefix"));
        };
        let (bits, in_front) = if address.is_ipv4() { (32, MAPPED_BITS) } else { (128, 0) };
        let length = match length.map(str::parse::<u8>) {
            None => bits,
            Some(Ok(length)) if length <= bits => length,
            Some(_) => return Err(format!("`{text}` has a prefix length beyond 0 to {bits}")),
        };
        let prefix = length + in_front;
        let first = number(address) & mask(prefix);
        let network = Self { first, prefix };
        if first != number(address) {
            return Err(format!("`{text}` has bits beyond its prefix: write {network}"));
        }
        let mapped = number(Ipv4Addr::UNSPECIFIED.into());
        if address.is_ipv6() && (network.first..=network.last()).contains(&mapped) {
            return Err(format!("`{text}` holds every IPv4 address too: write 2000::/3"));
        }
        if address.is_ipv6() && matches!(address.to_canonical(), IpAddr::V4(_)) {
            return Err(format!("`{text}` is an IPv4 address in IPv6 form: write it as IPv4"));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.first);
        match address.to_ipv4_mapped().filter(|_| self.prefix >= MAPPED_BITS) {
            Some(address) => write!(f, "{address}/{}", self.prefix - MAPPED_BITS),
            None => write!(f, "{address}/{}", self.prefix),
        }
    }
}

/// Networks whose packets are dropped, at most [`MAX_BLOCKLIST`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocklist {
    networks: BTreeSet<Network>,
    /// First and last addresses, sorted, without overlap.
    ranges: Vec<(u128, u128)>,
}

/// Why a blocklist is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BlocklistError {
    /// The file cannot be read.
    #[error("the blocklist {0} cannot be read: {1}")]
    Read(PathBuf, #[source] io::Error),
    /// A line of it is wrong.
    #[error("the blocklist {path}:{line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, and what to write instead.
        reason: String,
    },
}

impl Blocklist {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read, and the first line that is wrong.
    pub fn load(path: &Path) -> Result<Self, BlocklistError> {
        let text = open(path).and_then(read_bounded);
        let text = text.map_err(|error| BlocklistError::Read(path.to_owned(), error))?;
        let wrong = |(line, reason)| BlocklistError::Line { path: path.to_owned(), line, reason };
        Self::parse(&text).map_err(wrong)
    }

    /// Reads lines: an address or a prefix each, or nothing, and `#` begins a comment.
    ///
    /// # Errors
    /// The number of the first line that is wrong, from 1, and why.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut networks = BTreeSet::new();
        for (line, text) in (1..).zip(text.lines()) {
            let entry = text.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }
            networks.insert(entry.parse().map_err(|reason| (line, reason))?);
            if networks.len() > MAX_BLOCKLIST as usize {
                return Err((line, format!("there are more than {MAX_BLOCKLIST} networks")));
            }
        }
        Ok(Self { ranges: ranges(&networks), networks })
    }

    /// In the order of their addresses.
    #[must_use]
    pub fn networks(&self) -> &BTreeSet<Network> {
        &self.networks
    }

    /// Whether the address is in one of the networks.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = number(address);
        let behind = self.ranges.partition_point(|(first, _)| *first <= number);
        behind.checked_sub(1).is_some_and(|place| number <= self.ranges[place].1)
    }
}

/// Networks either contain each other or are apart: sorted, one that is inside comes behind.
fn ranges(networks: &BTreeSet<Network>) -> Vec<(u128, u128)> {
    let mut ranges: Vec<(u128, u128)> = Vec::new();
    for network in networks {
        match ranges.last_mut() {
            Some((_, last)) if network.first <= *last => *last = network.last().max(*last),
            _ => ranges.push((network.first, network.last())),
        }
    }
    ranges
}

/// Without blocking: the path may be a pipe that nobody writes to, and who reads it then is the
/// control thread of a process that serves.
fn open(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

fn read_bounded(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(limits::MAX_BLOCKLIST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limits::MAX_BLOCKLIST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 4 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pipe_that_nobody_writes_to_is_refused_at_once() {
        let directory = tempfile::tempdir().expect("made");
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let refused = Blocklist::load(&path);
        let said = refused.expect_err("no file").to_string();
        assert!(said.ends_with("it is not a regular file"), "{said}");
    }

    fn reason(text: &str) -> (usize, String) {
        Blocklist::parse(text).expect_err("wrong")
    }

    #[test]
    fn addresses_prefixes_comments_and_blank_lines() {
        let text = "# bad ones\n203.0.113.0/24\n\n2001:db8::/32 # all of it\n 198.51.100.7 \n";
        let list = Blocklist::parse(text).expect("good");
        let shown: Vec<_> = list.networks().iter().map(Network::to_string).collect();
        assert_eq!(shown, ["198.51.100.7/32", "203.0.113.0/24", "2001:db8::/32"]);
        let first = list.networks().first().expect("three");
        assert_eq!(
            (first.prefix_len(), &first.octets()[10..]),
            (128, &[255, 255, 198, 51, 100, 7][..])
        );
        assert_eq!(Blocklist::parse(&shown.join("\n")), Ok(list));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, line, words) in [
            ("192.0.2.1\nedge.example", 2, "neither an address nor a prefix"),
            ("192.0.2.1/24", 1, "bits beyond its prefix: write 192.0.2.0/24"),
            ("# x\n\n192.0.2.0/33", 3, "beyond 0 to 32"),
            ("2001:db8::/129", 1, "beyond 0 to 128"),
            ("192.0.2.0/x", 1, "beyond 0 to 32"),
            ("::/0", 1, "every IPv4 address too: write 2000::/3"),
            ("::ffff:192.0.2.0/120", 1, "write it as IPv4"),
        ] {
            let (at, reason) = reason(text);
            assert_eq!(at, line, "{text}");
            assert!(reason.contains(words), "{reason}");
        }
        let many = (0..=MAX_BLOCKLIST).map(|n| format!("{}\n", Ipv4Addr::from_bits(n)));
        assert_eq!(reason(&many.collect::<String>()).0, MAX_BLOCKLIST as usize + 1);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Blocklist::load("/nonexistent/blocklist".as_ref()).expect_err("not there");
        assert!(error.to_string().starts_with("the blocklist /nonexistent/blocklist cannot be"));
    }

    proptest! {
        #[test]
        fn an_address_is_in_the_list_where_it_is_in_a_network(
            networks in prop::collection::vec((0u32..4096, 16u8..=32), 0..20), asked in 0u32..4096,
        ) {
            // Few bits in front of the prefix, so that networks contain each other often.
            let network = |(bits, length): &(u32, u8)| {
                let first = (u128::from(bits << 16) | 0xffff_0000_0000) & mask(length + 96);
                Network { first, prefix: length + 96 }
            };
            let networks: BTreeSet<_> = networks.iter().map(network).collect();
            let address = Ipv4Addr::from_bits(asked << 16 | 1);
            let wanted = networks.iter().any(|network| {
                number(address.into()) & mask(network.prefix) == network.first
            });
            let list = Blocklist { ranges: ranges(&networks), networks };
            prop_assert_eq!(list.contains(address.into()), wanted);
        }
    }
}

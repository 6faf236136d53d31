//! A question to a DNS server (RFC 1035), and the addresses in its answer.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// A server on this machine answers in less than a millisecond.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// RFC 1035 section 2.3.4: what UDP carries without extensions.
const LONGEST_ANSWER: usize = 512;
/// RFC 1035 section 4.1.1.
const HEADER: usize = 12;
/// RFC 1035 sections 3.2.2 and 3.2.4: a host address, of the Internet.
const TYPE_A_CLASS_IN: [u8; 4] = [0, 1, 0, 1];

/// The IPv4 addresses of `name`, asked of `server` from inside the calling thread's namespace.
///
/// # Errors
/// Where it does not answer, or with an error.
pub fn addresses_of(name: &str, server: SocketAddr) -> Result<Vec<Ipv4Addr>> {
    let any = match server {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(ANSWERS_WITHIN))?;
    socket.connect(server)?;
    let question = question(name)?;
    socket.send(&question)?;
    let mut answer = [0; LONGEST_ANSWER];
    let length = socket.recv(&mut answer)?;
    addresses(&answer[..length], question.len()).context("not an answer to the question")?
}

fn question(name: &str) -> Result<Vec<u8>> {
    // ID 1, recursion desired, one question.
    let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length));
        question.push(length.with_context(|| format!("{name} has a label of no length"))?);
        question.extend(label.bytes());
    }
    question.push(0);
    question.extend(TYPE_A_CLASS_IN);
    Ok(question)
}

/// `None` where the answer ends too early. The question stands at the beginning, as it was asked.
fn addresses(answer: &[u8], question_length: usize) -> Option<Result<Vec<Ipv4Addr>>> {
    let header = answer.get(..HEADER)?;
    let code = header[3] & 0x0f;
    if code != 0 {
        return Some(Err(anyhow::anyhow!("the DNS server answers code {code}")));
    }
    let records = u16::from_be_bytes([header[6], header[7]]);
    let mut rest = answer.get(question_length..)?;
    let mut addresses = Vec::new();
    for _ in 0..records {
        rest = after_name(rest)?;
        let (fixed, after) = rest.split_at_checked(10)?;
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let (data, after) = after.split_at_checked(length)?;
        if fixed[..4] == TYPE_A_CLASS_IN {
            addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
        }
        rest = after;
    }
    Some(Ok(addresses))
}

/// RFC 1035 section 4.1.4: a name ends with an empty label, or with a pointer to the rest of it.
fn after_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, after) = rest.split_first()?;
        match length {
            0 => return Some(after),
            192.. => return after.get(1..),
            length => rest = after.get(usize::from(*length)..)?,
        }
    }
}

/// Whether a server answers for `name` with exactly this address.
///
/// # Errors
/// Where it answers otherwise, or not.
pub fn expect(name: &str, server: SocketAddr, address: Ipv4Addr) -> Result<()> {
    let addresses = addresses_of(name, server)?;
    ensure!(addresses == [address], "{name} points at {addresses:?}, not at {address}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_behind_a_pointer_and_cut_answers_are_refused() {
        let question = question("a.test").expect("a name");
        let mut answer = question.clone();
        answer[7] = 1; // one answer
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        let read = |bytes: &[u8]| addresses(bytes, question.len());
        let found = read(&answer).expect("whole").expect("without an error");
        assert_eq!(found, [Ipv4Addr::new(192, 0, 2, 1)]);
        assert!((0..answer.len()).all(|end| read(&answer[..end]).is_none()));
        answer[3] |= 3;
        assert!(read(&answer).expect("whole").is_err(), "no such name");
    }
}

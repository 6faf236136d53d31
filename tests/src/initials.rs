//! Genuine first packets of clients that never go on: what a flood with false addresses is made
//! of. Each can be decrypted, holds a whole ClientHello, and leaves a server with half a handshake.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::quic::{ClientConnection, Keys, Version};
use rustls::{RootCertStore, Side};

use crate::credentials::SERVER_NAME;
use crate::raw::{decode_varint, varint};

/// No server accepts fewer (RFC 9000 section 14.1).
pub const INITIAL_BYTES: usize = 1200;
const PACKET_NUMBER_BYTES: usize = 4;
const TAG_BYTES: usize = 16;
/// Where the sample for header protection begins, behind the packet number (RFC 9001 section 5.4.2).
const SAMPLE_AT: usize = 4;
const SAMPLE_BYTES: usize = 16;

/// Makes Initials from one ClientHello: keys follow from the connection ID alone (RFC 9001
/// section 5.2), so that each costs microseconds.
pub struct Initials {
    crypto_frame: Vec<u8>,
}

impl Initials {
    /// With a ClientHello for the fleet's name.
    ///
    /// # Errors
    /// Where TLS makes none.
    pub fn new() -> Result<Self> {
        // initial_source_connection_id, of no bytes (RFC 9000 section 18.2).
        Self::with(&[b"h3"], vec![0x0f, 0x00])
    }

    /// With a ClientHello that offers these protocols and has these transport parameters, whatever
    /// they are.
    ///
    /// # Errors
    /// Where TLS makes none.
    pub fn with(protocols: &[&[u8]], parameters: Vec<u8>) -> Result<Self> {
        // A post-quantum key share would not fit into one datagram.
        let provider = rustls::crypto::CryptoProvider {
            kx_groups: vec![kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(RootCertStore::empty()) // it never sees a certificate
            .with_no_client_auth();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = SERVER_NAME.try_into().context("a name for TLS")?;
        let mut client = ClientConnection::new(Arc::new(tls), Version::V1, name, parameters)?;
        let mut hello = Vec::new();
        client.write_hs(&mut hello);
        // CRYPTO at offset 0 (RFC 9000 section 19.6).
        let crypto_frame = [vec![0x06, 0x00], varint(hello.len() as u64), hello].concat();
        Ok(Self { crypto_frame })
    }

    /// A datagram of [`INITIAL_BYTES`] with this destination connection ID and an empty source
    /// connection ID.
    ///
    /// # Errors
    /// Where the ID is too long.
    pub fn datagram(&self, id: &[u8]) -> Result<Vec<u8>> {
        packet(id, &self.crypto_frame)
    }
}

/// An Initial of [`INITIAL_BYTES`] with this destination connection ID and these frames, whatever they
/// are.
///
/// # Errors
/// Where the ID or the frames are too long.
pub fn packet(id: &[u8], frames: &[u8]) -> Result<Vec<u8>> {
    let header = |payload: usize| -> Result<Vec<u8>> {
        let mut header = vec![0xc3, 0, 0, 0, 1, u8::try_from(id.len())?];
        header.extend(id);
        header.extend([0, 0]); // no source connection ID, no token
        let rest = (PACKET_NUMBER_BYTES + payload + TAG_BYTES) as u16;
        header.extend((rest | 0x4000).to_be_bytes());
        header.extend([0; PACKET_NUMBER_BYTES]);
        Ok(header)
    };
    let padded = INITIAL_BYTES - header(0)?.len() - TAG_BYTES;
    let mut header = header(padded)?;
    let mut payload = frames.to_vec();
    payload.resize(padded, 0); // PADDING

    let suite = cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().context("a suite of TLS 1.3")?;
    let quic = suite.quic.context("it is one for QUIC")?;
    let keys = Keys::initial(Version::V1, suite, quic, id, Side::Client).local;
    let tag = keys.packet.encrypt_in_place(0, &header, &mut payload)?;
    payload.extend_from_slice(tag.as_ref());
    let sample_at = SAMPLE_AT - PACKET_NUMBER_BYTES;
    let (first, rest) = header.split_first_mut().context("a header is not empty")?;
    let number_at = rest.len() - PACKET_NUMBER_BYTES;
    let sample = &payload[sample_at..sample_at + SAMPLE_BYTES];
    keys.header.encrypt_in_place(sample, first, &mut rest[number_at..])?;
    Ok([header, payload].concat())
}

/// The frames of an Initial that a server sends in answer to one for `id`; nothing where it is none.
#[must_use]
pub fn frames(id: &[u8], datagram: &[u8]) -> Option<Vec<u8>> {
    // First byte, version, and an empty destination connection ID, which is ours.
    let [0xc0..=0xcf, 0, 0, 0, 1, 0, source_bytes, ..] = *datagram else { return None };
    // Its own connection ID, and an empty token.
    let mut at = 7 + usize::from(source_bytes) + 1;
    let length_bytes = 1usize << (datagram.get(at)? >> 6);
    let length = decode_varint(datagram.get(at..at + length_bytes)?) as usize;
    at += length_bytes;
    let mut packet = datagram.get(..at + length)?.to_vec();
    let suite = cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()?;
    let keys = Keys::initial(Version::V1, suite, suite.quic?, id, Side::Client).remote;
    let (header, payload) = packet.split_at_mut(at);
    let (number, sample) = payload.split_at_mut_checked(PACKET_NUMBER_BYTES)?;
    let sample = sample.get(..SAMPLE_BYTES)?;
    keys.header.decrypt_in_place(sample, &mut header[0], number).ok()?;
    let number_bytes = usize::from(header[0] & 0x03) + 1;
    let (header, payload) = packet.split_at_mut(at + number_bytes);
    let number = header[at..].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
    Some(keys.packet.decrypt_in_place(number, header, payload).ok()?.to_vec())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::BytesMut;
    use edge_user::config::QuicConfig;
    use edge_user::quic::{Datagram, Via};
    use edge_wire::Reason;
    use edge_wire::cid::ServerId;

    use super::*;
    use crate::credentials::Fleet;
    use crate::net::Host;

    #[test]
    fn an_engine_answers_an_initial_as_a_clients() {
        let initial = Initials::new().expect("a ClientHello").datagram(&[7; 8]).expect("an ID");
        assert_eq!(initial.len(), INITIAL_BYTES);
        let fleet = Fleet::new(&[1]);
        let own = ServerId { node: 1, worker: 0, generation: 1 };
        let quic = QuicConfig {
            max_connections: 10,
            retry_threshold: 10,
            idle_timeout: std::time::Duration::from_secs(30),
            connection_id_lifetime: std::time::Duration::from_secs(3600),
        };
        let mut host = Host::new(&fleet, own, 1, quic, 1 << 20, 1);
        let datagram = Datagram {
            client: ([203, 0, 113, 9], 4711).into(),
            destination: crate::net::ANYCAST.into(),
            ecn: None,
            payload: BytesMut::from(&initial[..]),
            via: Via::Wire,
        };
        let now = Instant::now();
        assert_eq!(host.engine.handle_datagram(now, datagram), Reason::NewConnection);
        let mut answer = Vec::new();
        let transmit = host.engine.poll_transmit(now, 10, &mut answer).expect("an answer");
        assert!(transmit.size >= INITIAL_BYTES, "no server's flight: {} bytes", transmit.size);
    }
}

//! What the engine allows its clients: windows, streams, sizes, tokens.

use std::sync::Arc;
use std::time::Duration;

use edge_wire::dissect::VERSION_1;
use quinn_proto::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn_proto::{
    EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig,
    ValidationTokenConfig,
};

use crate::config::QuicConfig;
use crate::limits;
use crate::quic::cid::MintError;
use crate::quic::keys::EngineKeys;

/// Why an engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The config that mints is not one.
    #[error("connection IDs cannot be minted: {0}")]
    ConnectionId(#[from] MintError),
    /// TLS without the cipher suite of Initial packets (RFC 9001 section 5.2).
    #[error("TLS for QUIC: {0}")]
    Tls(#[from] NoInitialCipherSuite),
    /// The idle timeout does not fit its field.
    #[error("quic.idle_timeout is too long")]
    IdleTimeout,
}

pub(crate) fn endpoint(keys: &EngineKeys) -> EndpointConfig {
    let mint = keys.mint.clone();
    let mut config = EndpointConfig::new(keys.resets.clone());
    config
        .cid_generator(move || Box::new(mint.clone()))
        // The drafts that quinn-proto would speak too have Initials that the kernel does not know
        // for such: they would cost no budget of `edge_wire::admit`.
        .supported_versions(vec![VERSION_1])
        // Resets have a budget of our own: this interval would be one for the whole engine.
        .min_reset_interval(Duration::ZERO)
        .max_udp_payload_size(limits::MAX_UDP_PAYLOAD_BYTES)
        .expect("between 1200 and 65527");
    config
}

pub(crate) fn server(
    keys: &EngineKeys,
    tls: Arc<rustls::ServerConfig>,
    quic: &QuicConfig,
) -> Result<ServerConfig, SetupError> {
    let crypto = Arc::new(QuicServerConfig::try_from(tls)?);
    let mut config = ServerConfig::new(crypto, keys.tokens.clone());
    let mut tokens = ValidationTokenConfig::default();
    tokens.lifetime(limits::ADDRESS_TOKEN_LIFETIME);
    config
        .transport_config(Arc::new(transport(quic)?))
        .validation_token_config(tokens)
        .retry_token_lifetime(limits::RETRY_TOKEN_LIFETIME)
        .incoming_buffer_size(limits::INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(limits::INCOMING_BUFFER_TOTAL_BYTES);
    Ok(config)
}

fn transport(quic: &QuicConfig) -> Result<TransportConfig, SetupError> {
    let idle = IdleTimeout::try_from(quic.idle_timeout).map_err(|_| SetupError::IdleTimeout)?;
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(limits::MAX_UDP_PAYLOAD_BYTES);
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(limits::FIRST_REQUEST_STREAMS.into())
        .max_concurrent_uni_streams(limits::MAX_UNIDIRECTIONAL_STREAMS.into())
        .stream_receive_window(limits::STREAM_RECEIVE_WINDOW_BYTES.into())
        .receive_window(limits::CONNECTION_RECEIVE_WINDOW_BYTES.into())
        .send_window(limits::SEND_WINDOW_BYTES)
        .crypto_buffer_size(limits::CRYPTO_BUFFER_BYTES)
        .datagram_receive_buffer_size(limits::DATAGRAM_BUFFER_BYTES)
        .mtu_discovery_config(Some(discovery));
    Ok(config)
}

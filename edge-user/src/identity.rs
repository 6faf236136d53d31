//! What this node is towards its controller: a key that never leaves it, a short-lived certificate
//! of the controller's own authority, and that authority, which is the only one it believes.
//!
//! | module | job |
//! |---|---|
//! | [`address`] | where controllers are |
//! | [`mod@file`] | the identity on disk |
//! | `certificate` | what a node's certificate says |
//! | `tls` | which controller is believed, and by what we are known |
//! | `connect` | from addresses to a connection |
//! | [`error`] | why there is none, and what to do |
//!
//! Who sits on the way between node and controller can cut the connection, and nothing else. Before
//! there is an identity the invitation says by which authority a controller is known, so that its
//! secret is shown to no other; afterwards the identity does.

pub mod address;
mod certificate;
mod connect;
pub mod error;
pub mod file;
mod tls;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use fleet_wire::invitation::Invitation;
use fleet_wire::message::enrolment_client::EnrolmentClient;
use fleet_wire::message::fleet_client::FleetClient;
use fleet_wire::message::{self, EnrolRequest, RenewIdentityRequest};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::time::timeout;
use tonic::transport::Channel;

pub use address::ControllerAddress;
use certificate::Facts;
pub use error::{AttemptError, ConnectError, Unsound};
pub use file::IdentityError;

use crate::limits;

/// What a node is towards its controller.
#[derive(Clone)]
pub struct Identity {
    /// The node's own certificate first. Without the authority.
    chain: Arc<[CertificateDer<'static>]>,
    key: Arc<PrivatePkcs8KeyDer<'static>>,
    authority: CertificateDer<'static>,
    facts: Facts,
}

impl Identity {
    /// That of the node whose state is in `state_directory`; nothing, where it never had one.
    ///
    /// # Errors
    /// Where there is one that cannot be used.
    pub fn load(state_directory: &Path) -> Result<Option<Self>, IdentityError> {
        file::load(state_directory)
    }

    /// Keeps it in `state_directory`, whole or not at all, mode 0600, in place of the one before.
    /// Waits for the disk.
    ///
    /// # Errors
    /// Where the file system refuses. The one before still is there.
    pub fn store(&self, state_directory: &Path) -> Result<(), IdentityError> {
        file::Place::take(state_directory, true)?.keep(self)
    }

    /// The node's number in the fleet, 0 to 4095.
    #[must_use]
    pub const fn node(&self) -> u16 {
        self.facts.node
    }

    /// When it should be renewed: at two thirds of its life, so that a third is left for a
    /// controller that is away.
    #[must_use]
    pub fn renew_at(&self) -> SystemTime {
        let Facts { begins, ends, .. } = self.facts;
        begins + ends.duration_since(begins).unwrap_or_default() * 2 / 3
    }

    /// From when on no controller takes it: the node must be invited anew.
    #[must_use]
    pub const fn ends_at(&self) -> SystemTime {
        self.facts.ends
    }

    /// A connection to the first of `addresses` at which a controller of our authority takes this
    /// identity. One connection: where it breaks, everything on it fails, and the caller connects
    /// anew.
    ///
    /// # Errors
    /// Why not, for each address.
    pub async fn connect(&self, addresses: &[ControllerAddress]) -> Result<Channel, ConnectError> {
        connect::channel(addresses, tls::known(self)?).await
    }

    /// A fresh one over a connection under this one, with a new key. It is not kept yet; until
    /// somebody connects under it, both are good.
    ///
    /// # Errors
    /// Where the controller refuses, does not answer in time, or answers with something else.
    pub async fn renew(&self, channel: Channel) -> Result<Self, ConnectError> {
        let (key, request) = asked()?;
        let mut fleet =
            FleetClient::new(channel).max_decoding_message_size(limits::MAX_IDENTITY_BYTES);
        let renewed = fleet.renew_identity(RenewIdentityRequest { request });
        let renewed = timeout(limits::CONTROLLER_RPC_WITHIN, renewed).await;
        let answer = renewed.map_err(|_| ConnectError::Late)??.into_inner();
        let renewed = Self::answered(answer, key, |authority| *authority == self.authority)?;
        match renewed.node() == self.node() {
            true => Ok(renewed),
            false => Err(Unsound::OtherNode.into()),
        }
    }

    /// What the controller's answer and our key make, where they belong together.
    fn answered(
        answer: message::Identity,
        key: PrivatePkcs8KeyDer<'static>,
        is_ours: impl Fn(&CertificateDer<'_>) -> bool,
    ) -> Result<Self, Unsound> {
        let authority = CertificateDer::from(answer.authority.to_vec());
        if !is_ours(&authority) {
            return Err(Unsound::OtherAuthority);
        }
        let chain = answer.chain.iter().map(|der| CertificateDer::from(der.to_vec()));
        let identity = Self::new(chain.collect(), key, authority)?;
        match u32::from(identity.node()) == answer.node {
            true => Ok(identity),
            false => Err(Unsound::OtherNode),
        }
    }

    /// Of its parts, where they belong together. Whether its time has come or is over is another
    /// matter, and no clock is asked.
    fn new(
        mut chain: Vec<CertificateDer<'static>>,
        key: PrivatePkcs8KeyDer<'static>,
        authority: CertificateDer<'static>,
    ) -> Result<Self, Unsound> {
        // Who believes it has it.
        chain.retain(|certificate| *certificate != authority);
        if chain.len() > limits::MAX_IDENTITY_CHAIN {
            return Err(Unsound::Long);
        }
        let facts = Facts::of(chain.first().ok_or(Unsound::Empty)?)?;
        let identity = Self { chain: chain.into(), key: Arc::new(key), authority, facts };
        tls::check(&identity)?;
        Ok(identity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("node", &self.node()).finish_non_exhaustive()
    }
}

/// Shows `invitation` to the first of `addresses` at which there is the controller that it is of,
/// with the request for a key that is made here. The invitation is used up by it, so the caller
/// has a place for what comes of it ([`file::Place`]) before.
///
/// # Errors
/// Where no such controller is found: then nobody has seen the invitation. And where it refuses, or
/// its answer is lost.
pub async fn enrol(
    invitation: &Invitation,
    addresses: &[ControllerAddress],
) -> Result<Identity, ConnectError> {
    let (key, request) = asked()?;
    let channel = connect::channel(addresses, tls::invited(invitation.authority)?).await?;
    let token = Bytes::copy_from_slice(&invitation.secret);
    let mut enrolment =
        EnrolmentClient::new(channel).max_decoding_message_size(limits::MAX_IDENTITY_BYTES);
    let enrolled = enrolment.enrol(EnrolRequest { token, request });
    let enrolled = timeout(limits::CONTROLLER_RPC_WITHIN, enrolled).await;
    let answer = enrolled.map_err(|_| ConnectError::Late)??.into_inner();
    let pinned = |authority: &CertificateDer<'_>| tls::is_pinned(authority, invitation.authority);
    Ok(Identity::answered(answer, key, pinned)?)
}

/// A new key, and the request (RFC 2986) for its certificate. The controller takes the public key
/// of it, and nothing else.
fn asked() -> Result<(PrivatePkcs8KeyDer<'static>, Bytes), ConnectError> {
    let made = |error: rcgen::Error| ConnectError::Key(error.to_string());
    let key = KeyPair::generate().map_err(made)?;
    let request = CertificateParams::default().serialize_request(&key).map_err(made)?;
    let request = Bytes::copy_from_slice(request.der());
    Ok((PrivatePkcs8KeyDer::from(key.serialize_der()), request))
}

#[cfg(test)]
mod tests;

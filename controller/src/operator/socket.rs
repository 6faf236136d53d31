//! The Unix socket of the commands, which only its owner may use, and the way to it.

use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::{Channel, Endpoint, Uri};

use super::message::operator_client::OperatorClient;
use crate::limits;

/// The socket, until it is dropped: then its file is removed.
#[derive(Debug)]
pub struct OperatorSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

/// The file of a socket.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl OperatorSocket {
    /// Listens at `path`, mode 0600. The directory is made where it is not there; the socket of a
    /// process that is no more is replaced, anything else at `path` is left alone.
    ///
    /// # Errors
    /// Where another controller answers there, or the file system refuses.
    pub fn bind(path: &Path) -> Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        remove_stale(path)?;
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        // Before it listens, so that nobody connects under another mode.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        socket.listen(limits::MAX_COMMANDS as i32)?;
        socket.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(socket.into())?, path: path.to_owned() })
    }

    pub(super) fn split(self) -> (UnixListener, SocketFile) {
        (self.listener, SocketFile(self.path))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "the admin socket stays behind");
        }
    }
}

fn remove_stale(path: &Path) -> Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !metadata.file_type().is_socket() {
        return Err(Error::new(ErrorKind::AlreadyExists, "something else is there already"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(Error::new(ErrorKind::AddrInUse, "another controller answers there")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// A client of the controller that listens at `path`.
///
/// # Errors
/// Where nobody does, or we may not.
pub async fn connect(path: &Path) -> std::result::Result<OperatorClient<Channel>, Error> {
    let first = UnixStream::connect(path).await?;
    let mut first = Some(first);
    // gRPC wants an authority, and a Unix socket has none.
    let endpoint = Endpoint::from_static("http://controller.invalid");
    let endpoint = endpoint.timeout(limits::COMMAND_WITHIN);
    let path = path.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let (ready, path) = (first.take(), path.clone());
        async move {
            match ready {
                Some(stream) => Ok(TokioIo::new(stream)),
                None => UnixStream::connect(path).await.map(TokioIo::new),
            }
        }
    });
    let channel = endpoint.connect_with_connector(connector).await.map_err(Error::other)?;
    let client = OperatorClient::new(channel);
    Ok(client.max_decoding_message_size(limits::MAX_ANSWER_BYTES))
}

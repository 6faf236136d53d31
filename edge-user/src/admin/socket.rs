//! The admin socket: a Unix socket that only its owner may use, one line of JSON each way.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::control::Control;
use super::http::pause_after;
use super::protocol::{Answer, Request};
use crate::limits;

/// The socket, until it is dropped: then its file is removed.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Listens at `path`, with mode 0600. The directory is made where it is not there; the socket
    /// of a process that is no more is replaced, anything else at `path` is left alone.
    ///
    /// # Errors
    /// Where another edge answers there, or the file system refuses.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        remove_stale(path)?;
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        // Before it listens, so that nobody connects under another mode.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        socket.listen(limits::MAX_ADMIN_SOCKET_CONNECTIONS as i32)?;
        socket.set_nonblocking(true)?;
        let listener = UnixListener::from_std(socket.into())?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers for as long as the runtime runs.
    pub async fn serve(&self, control: Arc<Control>) -> Infallible {
        let room = Arc::new(Semaphore::new(limits::MAX_ADMIN_SOCKET_CONNECTIONS));
        loop {
            let place = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause_after(&error).await;
                    continue;
                }
            };
            let control = Arc::clone(&control);
            tokio::spawn(async move {
                if let Err(error) = connection(stream, &control).await {
                    tracing::debug!(%error, "an admin connection ended early");
                }
                drop(place);
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the admin socket stays behind");
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "something else is there already"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another edge answers there")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// Line after line, until the other end has no more or takes too long.
async fn connection(stream: UnixStream, control: &Control) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut read).take(limits::MAX_ADMIN_LINE_BYTES as u64);
        let received = bounded.read_until(b'\n', &mut line);
        let received = timeout(limits::ADMIN_LINE_WITHIN, received).await??;
        if received == 0 {
            return Ok(());
        }
        let answer = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => control.answer(request).await,
            Err(error) => Answer::Error(format!("not a command: {error}")),
        };
        let mut answer = serde_json::to_vec(&answer)?;
        answer.push(b'\n');
        timeout(limits::ADMIN_LINE_WITHIN, write.write_all(&answer)).await??;
        if line.last() != Some(&b'\n') {
            return Ok(()); // a line beyond the bound, or the last one
        }
    }
}

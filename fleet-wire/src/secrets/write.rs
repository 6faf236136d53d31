//! Writing a new fleet file, whole or not at all.

use std::fs::File;
use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{FleetError, IdMode, Secrets, file};

/// Writes a fleet file with fresh keys at `path`, mode 0600, for connection IDs of `length` bytes. A crash leaves either nothing or the
/// whole file there. With `force` an older file is replaced, its keys are gone.
///
/// # Errors
/// [`FleetError::Exists`] without `force`, otherwise where it cannot be written.
pub fn init(path: &Path, mode: IdMode, length: usize, force: bool) -> Result<(), FleetError> {
    if !force && path.exists() {
        return Err(FleetError::Exists(path.to_owned()));
    }
    write(path, &Secrets::generate(mode, length)?, force)
}

/// Writes these secrets as [`init`] does fresh ones.
///
/// # Errors
/// As [`init`].
pub fn write(path: &Path, secrets: &Secrets, force: bool) -> Result<(), FleetError> {
    match place(path, &file::write(secrets), force) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && !force => {
            Err(FleetError::Exists(path.to_owned()))
        }
        other => other.map_err(|error| FleetError::Write(path.to_owned(), error)),
    }
}

fn place(path: &Path, text: &str, force: bool) -> std::io::Result<()> {
    let temporary = beside(path)?;
    let written = write_new(&temporary, text).and_then(|()| {
        if force {
            std::fs::rename(&temporary, path)
        } else {
            // Unlike a rename, a link never replaces a file that appeared in the meantime.
            std::fs::hard_link(&temporary, path)
        }
    });
    // After a rename, or where it was never made, there is nothing left to remove.
    let removed = match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    written.and(removed)?;
    // The folder of a bare name is the one we are in.
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn beside(path: &Path) -> std::io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| Error::from(ErrorKind::InvalidFilename))?;
    let name = format!(".{}.{}", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(name))
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

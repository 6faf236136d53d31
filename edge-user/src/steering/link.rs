//! One interface's XDP link: attached, or taken over from a process that is gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpLinkId};
use aya::programs::{Xdp, XdpMode, loaded_programs};

use super::error::{Cause, ForeignProgram, SteeringError, os_error};
use super::pins;
use crate::limits;
use crate::netlink::{self, Link};

/// An interface with our program on it. Dropped, it leaves the program attached where it is pinned,
/// as a crash does.
#[derive(Debug)]
pub(super) struct Attached {
    interface: String,
    index: u32,
    program: u32,
    link: FdLink,
    pin: Option<PathBuf>,
    taken_over: bool,
}

/// Attaches `program` to `device`. With `pin`, the link is pinned there; where one is already, and
/// still sits on this device in this mode, it is taken over: the kernel replaces the program in one
/// step, and no packet goes by unsteered.
pub(super) fn attach(
    program: &mut Xdp,
    device: &Link,
    mode: XdpMode,
    pin: Option<&Path>,
) -> Result<Attached, SteeringError> {
    let id = program.info().map_err(|error| SteeringError::load("steer_node", error))?.id();
    let found = pin.map(|path| pinned(path, device, mode)).transpose()?.flatten();
    let taken_over = found.is_some();
    let link = match found {
        Some(old) => take_over(program, device, old)?,
        None => attach_new(program, device, mode)?,
    };
    let link = match pin.filter(|_| !taken_over) {
        Some(path) => FdLink::from(link.pin(path).map_err(|error| pin_error(path, error))?),
        None => link,
    };
    Ok(Attached {
        interface: device.name.clone(),
        index: device.index,
        program: id,
        link,
        pin: pin.map(Into::into),
        taken_over,
    })
}

fn pin_error(path: &Path, cause: impl Into<Cause>) -> SteeringError {
    let cause = cause.into();
    match os_error(&*cause) {
        Some(libc::EPERM | libc::EACCES) => {
            SteeringError::NoPrivilege { doing: "use pinned BPF links" }
        }
        _ => SteeringError::Pin { path: path.into(), cause },
    }
}

/// The link pinned at `path`, where it can be taken over. One that cannot (the device was replaced,
/// or the mode was changed) is detached.
fn pinned(path: &Path, device: &Link, mode: XdpMode) -> Result<Option<XdpLink>, SteeringError> {
    if !path.exists() {
        return Ok(None);
    }
    let (link, program) = open(path)?;
    let fits = device
        .xdp
        .is_some_and(|xdp| xdp.id == program && xdp.is_native == (mode == XdpMode::Driver));
    if !fits {
        tracing::info!(
            interface = device.name,
            "detaching an earlier link: the device or the mode has changed"
        );
        remove(path, link)?;
        wait_until_gone(device.index, program)?;
        return Ok(None);
    }
    XdpLink::try_from(link).map(Some).map_err(|error| pin_error(path, error))
}

/// A pinned link and the ID of the program on it.
fn open(path: &Path) -> Result<(FdLink, u32), SteeringError> {
    let link = FdLink::from(PinnedLink::from_pin(path).map_err(|error| pin_error(path, error))?);
    let program = link.info().map_err(|error| pin_error(path, error))?.program_id();
    Ok((link, program))
}

fn remove(path: &Path, link: FdLink) -> Result<(), SteeringError> {
    fs::remove_file(path).map_err(|error| pin_error(path, error))?;
    drop(link);
    Ok(())
}

/// Detaches what a process with another configuration left attached to `interface`.
pub(super) fn remove_leftover(interface: &str, path: &Path) -> Result<(), SteeringError> {
    tracing::info!(interface, "detaching a link that this configuration has no use for");
    let (link, program) = open(path)?;
    remove(path, link)?;
    let device = find(interface)?;
    device.map_or(Ok(()), |device| wait_until_gone(device.index, program))
}

fn take_over(program: &mut Xdp, device: &Link, old: XdpLink) -> Result<FdLink, SteeringError> {
    let attach = |cause: Cause| SteeringError::Attach { interface: device.name.clone(), cause };
    let id = program.attach_to_link(old).map_err(|error| attach(error.into()))?;
    owned(program, id).map_err(attach)
}

fn attach_new(program: &mut Xdp, device: &Link, mode: XdpMode) -> Result<FdLink, SteeringError> {
    let interface = &device.name;
    let result = program.attach_to_if_index(device.index, mode);
    result.map_err(Cause::from).and_then(|id| owned(program, id)).map_err(|cause| {
        let interface = interface.clone();
        match os_error(&*cause) {
            Some(libc::EPERM) => SteeringError::NoPrivilege { doing: "attach XDP programs" },
            Some(libc::EBUSY | libc::EEXIST) => match find(&interface) {
                Ok(Some(Link { xdp: Some(xdp), .. })) => {
                    SteeringError::ForeignProgram { interface, program: name(xdp.id) }
                }
                _ => SteeringError::Attach { interface, cause },
            },
            _ if mode == XdpMode::Driver => SteeringError::NoNativeXdp { interface, cause },
            _ => SteeringError::Attach { interface, cause },
        }
    })
}

/// Takes a link out of the program's hands, so that dropping the program does not detach it. A
/// kernel before 5.9 has no such links for XDP.
fn owned(program: &mut Xdp, id: XdpLinkId) -> Result<FdLink, Cause> {
    let link = program.take_link(id)?;
    FdLink::try_from(link).map_err(|error: LinkError| error.into())
}

/// The program on a device that is not of ours: neither of this process nor on a link of the pin
/// directory, which will be taken over. Whoever may not look at the link cannot tell: then it is
/// taken for ours.
pub(super) fn foreign(pin_directory: &Path, device: &Link) -> Option<ForeignProgram> {
    let on_device = device.xdp?.id;
    match open(&pins::path(pin_directory, &device.name)) {
        Ok((_, program)) if program == on_device => None,
        Err(SteeringError::NoPrivilege { .. }) => None,
        _ => Some(name(on_device)),
    }
}

fn name(id: u32) -> ForeignProgram {
    let program = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id);
    let name = program.and_then(|program| program.name_as_str().map(str::to_owned));
    ForeignProgram { id, name: name.filter(|name| !name.is_empty()) }
}

pub(super) fn find(interface: &str) -> Result<Option<Link>, SteeringError> {
    let links = netlink::ask(async |handle| netlink::links(&handle).await);
    let links = links.map_err(SteeringError::Netlink)?;
    Ok(links.into_iter().find(|link| link.name == interface))
}

/// Waits until the device no longer runs the program: the kernel lets go of a link later than its
/// last holder does.
fn wait_until_gone(index: u32, program: u32) -> Result<(), SteeringError> {
    let end = Instant::now() + limits::DETACH_WAIT;
    loop {
        let links = netlink::ask(async |handle| netlink::links(&handle).await);
        let links = links.map_err(SteeringError::Netlink)?;
        let device = links.iter().find(|link| link.index == index);
        if device.and_then(|device| device.xdp).is_none_or(|xdp| xdp.id != program) {
            return Ok(());
        }
        if Instant::now() >= end {
            let interface = device.map(|device| device.name.clone()).unwrap_or_default();
            let cause = io::Error::from(io::ErrorKind::TimedOut).into();
            return Err(SteeringError::Attach { interface, cause });
        }
        std::thread::sleep(limits::DETACH_POLL);
    }
}

impl Attached {
    /// The interface's name.
    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// Whether it is this program, by the kernel's ID.
    pub(super) fn is_program(&self, id: u32) -> bool {
        self.program == id
    }

    /// Whether the link was there before us.
    pub(super) fn taken_over(&self) -> bool {
        self.taken_over
    }

    /// Detaches the program, unless a newer process has taken over the link meanwhile.
    pub(super) fn detach(self) -> Result<(), SteeringError> {
        let Self { interface, index, program, link, pin, .. } = self;
        let on_link = link.info().map_err(|error| SteeringError::Attach {
            interface: interface.clone(),
            cause: error.into(),
        })?;
        if on_link.program_id() != program {
            tracing::info!(interface, "a newer process steers here: its link stays");
            return Ok(());
        }
        match pin {
            Some(path) => {
                remove(&path, link)?;
                pins::leave(&path);
            }
            None => drop(link),
        }
        wait_until_gone(index, program)
    }
}

//! Offloads of a device, by the ethtool ioctl: the one question that netlink's route family does not
//! answer.

#![allow(unsafe_code)] // reason: an ioctl with a pointer in its argument

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// `ETHTOOL_GFLAGS` of linux/ethtool.h: get the flags below.
const GET_FLAGS: u32 = 0x25;
/// `ETH_FLAG_RXVLAN`.
const RECEIVE_VLAN: u32 = 1 << 8;
/// `ETH_FLAG_LRO`.
const LARGE_RECEIVE: u32 = 1 << 15;

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Offloads that change what XDP sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// The device takes VLAN tags out of frames (`rxvlan`).
    pub receive_vlan: bool,
    /// The device merges packets, whoever sent them (`lro`).
    pub large_receive: bool,
}

/// Reads the offloads of a device.
///
/// # Errors
/// Where there is no such device, or its driver does not tell.
pub(super) fn offloads(interface: &str) -> io::Result<Offloads> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut value = EthtoolValue { command: GET_FLAGS, data: 0 };
    // SAFETY: all zeros is a valid `ifreq`: arrays of bytes, numbers, and a union of such.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = interface.as_bytes();
    // One byte stays zero behind the name.
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name) {
        *place = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: SIOCETHTOOL reads and writes an `ifreq`, which `request` is and which outlives the
    // call. Its data points to `value`, which outlives it too; for ETHTOOL_GFLAGS the kernel reads
    // the command there and writes a `struct ethtool_value`, which `EthtoolValue` is laid out as.
    // The descriptor is open for as long as `socket` lives.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Offloads {
        receive_vlan: value.data & RECEIVE_VLAN != 0,
        large_receive: value.data & LARGE_RECEIVE != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_has_neither() {
        assert_eq!(offloads("lo").expect("the kernel answers for it"), Offloads::default());
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error() {
        assert!(offloads("landfast-none").is_err());
        assert!(offloads("a-name-longer-than-any-interface-has").is_err());
    }
}

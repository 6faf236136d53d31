//! Steering on devices that hosts have and not every kernel: VLAN devices and bonds. These cases
//! run under Debian's kernels, in the virtual machines of `cargo xtask test --all`; without the
//! modules `8021q` and `bonding` they fail.

mod bed;
mod bonds;
mod vlans;

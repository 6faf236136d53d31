//! An interface may lose the program while the process runs: it was removed and made anew, or
//! somebody took the program off. Then it is attached again.

use std::fmt;

use super::link;
use super::{ForeignProgram, Steering, SteeringError, xdp_mode};
use crate::config::Config;
use crate::netlink;

/// Whether `steer_node` is on an interface that is to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// It is, or a newer process has taken it over.
    Attached,
    /// There is no such interface now.
    NoInterface,
    /// Another program is there, and there can be only one.
    Foreign(ForeignProgram),
    /// The kernel does not take it; why.
    Refused(String),
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached => f.write_str("attached"),
            Self::NoInterface => f.write_str("the interface is gone"),
            Self::Foreign(program) => write!(f, "another program is there: {program}"),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl Steering {
    /// Each configured interface, as it was when last looked at. None in the modes without XDP.
    pub fn attachments(&self) -> impl Iterator<Item = (&String, &Attachment)> {
        self.attachments.iter()
    }

    /// Looks at every configured interface among `devices`, and attaches the program where it was
    /// lost. What has changed is logged.
    pub fn restore(&mut self, config: &Config, devices: &[netlink::Link]) {
        for interface in &config.listen.interfaces {
            let device = devices.iter().find(|device| device.name == *interface);
            let now = self.restored(config, interface, device);
            let before = self.attachments.insert(interface.clone(), now.clone());
            if before.as_ref() == Some(&now) || now == Attachment::Attached {
                continue;
            }
            tracing::error!(interface, why = %now, "nothing is steered on an interface");
        }
    }

    fn restored(
        &mut self,
        config: &Config,
        interface: &str,
        device: Option<&netlink::Link>,
    ) -> Attachment {
        let Some(device) = device else { return Attachment::NoInterface };
        if let Some(on_device) = device.xdp {
            let is_ours = self
                .attached
                .iter()
                .any(|link| link.interface() == interface && link.is_program(on_device.id));
            let foreign = || link::foreign(&config.steering.pin_directory, device);
            return match (!is_ours).then(foreign).flatten() {
                Some(program) => Attachment::Foreign(program),
                None => Attachment::Attached,
            };
        }
        match self.attach_again(config, interface) {
            Ok(()) => Attachment::Attached,
            Err(SteeringError::ForeignProgram { program, .. }) => Attachment::Foreign(program),
            Err(error) => Attachment::Refused(error.to_string()),
        }
    }

    fn attach_again(&mut self, config: &Config, interface: &str) -> Result<(), SteeringError> {
        let Some(mode) = xdp_mode(config.steering.mode) else { return Ok(()) };
        // Once, where it is refused again and again.
        if !matches!(self.attachments.get(interface), Some(Attachment::Refused(_))) {
            tracing::warn!(interface, "steer_node is not on the interface: attaching it again");
        }
        self.attach_one(interface, mode, Some(&config.steering.pin_directory))?;
        // The link that was lost comes before the new one.
        if let Some(lost) = self.attached.iter().position(|link| link.interface() == interface)
            && lost + 1 < self.attached.len()
        {
            self.attached.remove(lost);
        }
        Ok(())
    }
}

//! Early drops and budgets.

use std::collections::BTreeSet;

use settings::{Number, Problem};
use toml::{Spanned, Value};

use super::{Check, Checked};
use crate::config::{AdmissionConfig, file, limits};

impl Check {
    pub(super) fn admission(&mut self, file: &file::Admission) -> Checked<AdmissionConfig> {
        let default = AdmissionConfig::default();
        let amplifier_ports = match &file.amplifier_ports {
            None => Some(default.amplifier_ports),
            Some(value) => self.amplifier_ports(value),
        };
        let rate = |check: &mut Self, number: &Option<Number>, name, default| {
            check.number_or(number, name, 0..=limits::MAX_PACKETS_PER_SECOND, default)
        };
        let per_second = rate(
            self,
            &file.initials_per_second,
            "initials_per_second",
            default.initials_per_second,
        );
        let initials_burst = self.burst(&file.initials_burst, per_second, default.initials_burst);
        let forwards = rate(
            self,
            &file.forwards_per_second,
            "forwards_per_second",
            default.forwards_per_second,
        );
        let blocklist = file.blocklist.as_ref().map(|path| self.path(path, "blocklist"));
        Some(AdmissionConfig {
            amplifier_ports: amplifier_ports?,
            small_initials: file.small_initials.unwrap_or(default.small_initials),
            initials_per_second: per_second?,
            initials_burst: initials_burst?,
            forwards_per_second: forwards?,
            blocklist: match blocklist {
                None => None,
                Some(path) => Some(path?),
            },
        })
    }

    /// `true` for the usual ports, `false` for none, or the ports themselves.
    fn amplifier_ports(&mut self, value: &Spanned<Value>) -> Checked<BTreeSet<u16>> {
        let port = |value: &Value| u16::try_from(value.as_integer()?).ok();
        let ports = match value.get_ref() {
            Value::Boolean(true) => Some(limits::AMPLIFIER_PORTS.into()),
            Value::Boolean(false) => Some(BTreeSet::new()),
            Value::Array(ports) => ports.iter().map(port).collect(),
            _ => None,
        };
        if ports.is_none() {
            self.refuse(
                Problem::new("`amplifier_ports` is neither a switch nor a list of ports")
                    .at(value.span(), "not known")
                    .help("true for the usual ones, false for none, or as in [19, 53, 123]"),
            );
        }
        ports
    }

    /// Where the file names a rate alone, the burst follows it.
    fn burst(
        &mut self,
        burst: &Option<Number>,
        per_second: Option<u64>,
        default: u64,
    ) -> Checked<u64> {
        let least = per_second?.div_ceil(limits::BURST_PARTS_PER_SECOND).max(1);
        let range = least..=limits::MAX_PACKETS_PER_SECOND;
        self.number_or(burst, "initials_burst", range, default.max(least))
    }
}

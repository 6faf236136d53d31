//! Which IP addresses are good for what.

use std::net::IpAddr;

use ::distributions::names::unfit;
use settings::{Problem, Text};
use toml::Spanned;

use super::{Check, Checked};
use crate::limits;

impl Check {
    /// An address of the family that `T` stands for, to which packets can be sent.
    pub(super) fn address<T>(&mut self, text: &Text, family: &str) -> Checked<T>
    where
        T: Copy + std::str::FromStr + Into<IpAddr>,
    {
        let Ok(address) = text.get_ref().parse::<T>() else {
            self.refuse(
                Problem::new(format!("`{}` is not {family} address", text.get_ref()))
                    .at(text.span(), "not an address")
                    .help("write the address alone, without prefix length or port"),
            );
            return None;
        };
        if let Some(kind) = unfit(address.into()) {
            self.refuse(
                Problem::new(format!(
                    "{} is {kind}: no packet can be routed to it",
                    text.get_ref()
                ))
                .at(text.span(), kind)
                .help("use a unicast address that routers know"),
            );
            return None;
        }
        Some(address)
    }

    pub(super) fn anycast(&mut self, list: &Spanned<Vec<Text>>) -> Checked<Vec<IpAddr>> {
        let texts = list.get_ref();
        if texts.is_empty() || texts.len() > limits::MAX_ANYCAST_ADDRESSES {
            let most = limits::MAX_ANYCAST_ADDRESSES;
            self.refuse(
                Problem::new(format!("`anycast` has {} addresses", texts.len()))
                    .at(list.span(), format!("1 to {most} are needed"))
                    .help("list the addresses that clients connect to"),
            );
            return None;
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            let address = self.address(text, "an IP")?;
            if let Some(first) = addresses.iter().position(|other| *other == address) {
                let what = format!("the anycast address {address} is there twice");
                self.twice(what, texts[first].span(), texts[place].span(), "remove one");
                return None;
            }
            addresses.push(address);
        }
        Some(addresses)
    }
}

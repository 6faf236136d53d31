//! Who says what the fleet is: the file, or the controller that the file names.

use std::path::PathBuf;

use settings::{Problem, Text};
use toml::Spanned;

use super::{Check, Checked, nodes};
use crate::config::file::{self, File};
use crate::config::{ControllerConfig, NodeConfig};
use crate::identity::ControllerAddress;
use crate::limits;

/// What the file says of the fleet. Nothing, where the controller does.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) node: u16,
    pub(super) site: String,
    pub(super) nodes: Vec<NodeConfig>,
    pub(super) fleet_file: Option<PathBuf>,
}

/// What TCP ports there are where the file says nothing of them.
#[derive(Clone, Copy)]
pub(super) struct TcpDefaults {
    pub(super) tcp: bool,
    /// 0: none.
    pub(super) http_port: u16,
}

impl TcpDefaults {
    /// Where certificates come from a controller, authorities knock.
    pub(super) const fn of(file: &File) -> Self {
        match file.controller {
            None => Self { tcp: false, http_port: 0 },
            Some(_) => Self { tcp: true, http_port: limits::HTTP_PORT },
        }
    }
}

impl Check {
    /// The fleet by the file, which has to say all of it; or by the controller, where the file has
    /// to say none of it.
    pub(super) fn fleet(&mut self, file: &File) -> Checked<Fleet> {
        if file.controller.is_some() {
            self.not_by_file(file);
            return Some(Fleet::default());
        }
        let node = self.needed("node", file.node.as_ref());
        let fleet_file = self.needed("fleet_file", file.fleet_file.as_ref());
        let nodes = self.needed("nodes", file.nodes.as_ref());
        let id = node.and_then(|node| self.number(node, "node", 0..=nodes::MAX_ID));
        let ours = id.zip(node).map(|(id, node)| (id, node.span()));
        let nodes = nodes.and_then(|nodes| self.nodes(nodes, ours, &file.listen.anycast));
        let fleet_file = fleet_file.and_then(|path| self.path(path, "fleet_file"));
        let (node, nodes) = (id?, nodes?);
        let site = nodes.iter().find(|entry| entry.id == node)?.site.clone();
        Some(Fleet { node, site, nodes, fleet_file: Some(fleet_file?) })
    }

    /// A setting that may be missing only where there is a controller.
    pub(super) fn needed<'a, T>(&mut self, name: &str, setting: Option<&'a T>) -> Checked<&'a T> {
        if setting.is_none() {
            self.refuse(
                Problem::new(format!("the setting `{name}` is missing"))
                    .help("docs/configuration.md lists every setting, and which a controller says"),
            );
        }
        setting
    }

    fn not_by_file(&mut self, file: &File) {
        let said = [
            ("node", file.node.as_ref().map(Spanned::span)),
            ("fleet_file", file.fleet_file.as_ref().map(Spanned::span)),
            ("nodes", file.nodes.as_ref().map(Spanned::span)),
        ];
        let controller = file.controller.as_ref().map(Spanned::span).unwrap_or_default();
        for (name, place) in said {
            let Some(place) = place else { continue };
            self.refuse(
                Problem::new(format!("`{name}` stands beside a controller"))
                    .at(controller.clone(), "the controller")
                    .at(place, "the controller says that")
                    .help("remove it, or remove [controller]"),
            );
        }
    }

    pub(super) fn controller(
        &mut self,
        controller: &Spanned<file::Controller>,
    ) -> Checked<ControllerConfig> {
        let list = &controller.get_ref().addresses;
        let texts = list.get_ref();
        if texts.is_empty() || texts.len() > limits::MAX_CONTROLLER_ADDRESSES {
            let most = limits::MAX_CONTROLLER_ADDRESSES;
            self.refuse(
                Problem::new(format!("`addresses` has {} addresses", texts.len()))
                    .at(list.span(), format!("1 to {most} are needed"))
                    .help("list where the controller listens, as in [\"controller.example.com:4840\"]"),
            );
            return None;
        }
        let mut addresses: Vec<Checked<ControllerAddress>> = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            let address = self.controller_address(text);
            let same = |other: &Checked<ControllerAddress>| address.is_some() && *other == address;
            if let Some(first) = addresses.iter().position(same) {
                let what = format!("the controller's address {} is there twice", text.get_ref());
                self.twice(what, texts[first].span(), texts[place].span(), "remove one");
            }
            addresses.push(address);
        }
        let addresses = addresses.into_iter().collect::<Option<_>>();
        addresses.map(|addresses| ControllerConfig { addresses })
    }

    fn controller_address(&mut self, text: &Text) -> Checked<ControllerAddress> {
        let parsed = text.get_ref().parse();
        parsed
            .map_err(|why| {
                self.refuse(
                    Problem::new(format!("`{}` is no address of a controller: {why}", text.get_ref()))
                        .at(text.span(), "not usable")
                        .help("as in \"controller.example.com:4840\", \"192.0.2.7:4840\" or \"[2001:db8::7]:4840\""),
                );
            })
            .ok()
    }
}

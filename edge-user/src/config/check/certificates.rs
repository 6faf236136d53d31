//! `[tls]`, and the TCP ports of `[listen]`.

use settings::{Problem, Text};

use super::controller::TcpDefaults;
use super::{Check, Checked};
use crate::config::file::{self, File};
use crate::config::{TlsConfig, TlsFiles, UnknownNames};
use crate::limits;

impl Check {
    /// Without a controller there are files, or nothing to serve.
    pub(super) fn tls(&mut self, file: &File) -> Checked<TlsConfig> {
        let none =
            || TlsConfig { default: None, more: vec![], unknown_names: UnknownNames::Refuse };
        let tls = match (&file.tls, &file.controller) {
            (None, Some(_)) => return Some(none()),
            (tls, _) => self.needed("tls", tls.as_ref())?,
        };
        let (place, tls) = (tls.span(), tls.get_ref());
        let default = self.default_certificate(tls);
        let more = self.more_certificates(tls);
        let words = [("default", UnknownNames::Default), ("refuse", UnknownNames::Refuse)];
        let unset = match tls.certificate {
            Some(_) => UnknownNames::Default,
            None => UnknownNames::Refuse,
        };
        let unknown_names = self.word(&tls.unknown_names, "unknown_names", &words, unset);
        let (default, more, unknown_names) = (default?, more?, unknown_names?);
        if default.is_none() && more.is_empty() && file.controller.is_none() {
            self.refuse(
                Problem::new("there is no certificate to serve")
                    .at(place, "names no file")
                    .help("give `certificate` and `key`, PEM files"),
            );
            return None;
        }
        if let (None, UnknownNames::Default, Some(word)) =
            (&default, unknown_names, &tls.unknown_names)
        {
            self.refuse(
                Problem::new("there is no default certificate for unknown names")
                    .at(word.span(), "asks for one")
                    .help("name it as `certificate` and `key` of [tls]"),
            );
            return None;
        }
        Some(TlsConfig { default, more, unknown_names })
    }

    fn default_certificate(&mut self, tls: &file::Tls) -> Checked<Option<TlsFiles>> {
        let half = |there: &Text, other| {
            Problem::new(format!("`{other}` is missing"))
                .at(there.span(), "of no use alone")
                .help("`certificate` and `key` belong together")
        };
        match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(key)) => self.certificate(certificate, key).map(Some),
            (None, None) => Some(None),
            (Some(certificate), None) => {
                self.refuse(half(certificate, "key"));
                None
            }
            (None, Some(key)) => {
                self.refuse(half(key, "certificate"));
                None
            }
        }
    }

    fn more_certificates(&mut self, tls: &file::Tls) -> Checked<Vec<TlsFiles>> {
        let Some(listed) = &tls.certificates else { return Some(Vec::new()) };
        let most = limits::MAX_CERTIFICATE_FILES;
        if listed.get_ref().len() > most {
            let count = listed.get_ref().len();
            self.refuse(
                Problem::new(format!("{count} certificates: at most {most} are read from files"))
                    .at(listed.span(), "too many"),
            );
            return None;
        }
        let mut earlier: Vec<&Text> = tls.certificate.iter().collect();
        let mut checked = Vec::new();
        for file::TlsFiles { certificate, key } in listed.get_ref() {
            if let Some(first) = earlier.iter().find(|path| path.get_ref() == certificate.get_ref())
            {
                let what = format!("{} is named twice", certificate.get_ref());
                self.twice(what, first.span(), certificate.span(), "remove one");
            }
            earlier.push(certificate);
            checked.push(self.certificate(certificate, key));
        }
        checked.into_iter().collect()
    }

    fn certificate(&mut self, certificate: &Text, key: &Text) -> Checked<TlsFiles> {
        let certificate = self.path(certificate, "certificate");
        let key = self.path(key, "key");
        Some(TlsFiles { certificate: certificate?, key: key? })
    }

    /// The port of HTTP in clear, which is not that of TLS.
    pub(super) fn http_port(
        &mut self,
        listen: &file::Listen,
        unless_said: TcpDefaults,
        tls_port: Option<u16>,
    ) -> Checked<Option<u16>> {
        let unless_said = unless_said.http_port;
        let port = self.number_or(&listen.http_port, "http_port", 0..=u16::MAX, unless_said)?;
        if Some(port) == tls_port {
            let problem =
                Problem::new(format!("port {port} is both http_port and the port of TLS"));
            let problem = match (&listen.http_port, &listen.port) {
                (Some(number), _) => problem.at(number.span(), "HTTP in clear"),
                (None, Some(number)) => problem.at(number.span(), "TLS"),
                (None, None) => problem,
            };
            self.refuse(problem.help("authorities ask on port 80, nowhere else"));
            return None;
        }
        Some((port != 0).then_some(port))
    }
}

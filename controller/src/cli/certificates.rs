//! `certificates`: what is served, and who issues it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use controller::acme::RevocationReason;
use controller::config::Config;
use controller::operator::message::{
    CertificateName, CertificateRequest, CertificatesRequest, Import, Revocation,
};

use super::ask::{answer, connect, done, read, show as shown};
use super::{Form, Outcome, show};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the certificates, and what is requested.
    List(Form),
    /// Have a certificate issued and renewed from now on, without anybody's doing.
    Request {
        /// Its names, the subject first; `*.` for one label needs an issuer with dns-01.
        #[arg(required = true)]
        names: Vec<String>,
        /// Who issues it: a table of `[issuers]` in the configuration, or `internal`.
        #[arg(long)]
        issuer: String,
        /// What it is called; its first name unless said otherwise.
        #[arg(long, value_name = "NAME", default_value = "")]
        id: String,
        /// The kind of its key: p256, p384 or rsa2048; `key_type` of its issuer unless said here.
        #[arg(long, default_value = "", hide_default_value = true)]
        #[arg(value_parser = ["", "p256", "p384", "rsa2048"], hide_possible_values = true)]
        key_type: String,
        #[command(flatten)]
        form: Form,
    },
    /// Serve a certificate of your own. The same command with renewed files replaces it.
    Import {
        /// What it is called.
        id: String,
        /// PEM file of the chain, the server's own certificate first.
        #[arg(long, value_name = "PATH")]
        certificate: PathBuf,
        /// PEM file of its key.
        #[arg(long, value_name = "PATH")]
        key: PathBuf,
        #[command(flatten)]
        form: Form,
    },
    /// Renew a certificate now, whether or not it is due.
    Renew(Name),
    /// Tell its issuer that a certificate must not be trusted any more, and get another one.
    Revoke {
        #[command(flatten)]
        name: Name,
        /// Why (RFC 5280 section 5.3.1).
        #[arg(long, default_value = RevocationReason::default().name())]
        #[arg(value_parser = RevocationReason::ALL.map(RevocationReason::name))]
        reason: String,
    },
    /// Serve a certificate no more, and neither renew nor order it.
    Remove(Name),
}

#[derive(Args)]
pub(super) struct Name {
    /// What it is called.
    id: String,
    #[command(flatten)]
    form: Form,
}

pub(super) async fn run(config: &Config, command: Command) -> Outcome {
    let mut controller = connect(config).await?;
    let name = |id| CertificateName { id };
    let (form, word) = match command {
        Command::List(form) => {
            let list = controller.list_certificates(CertificatesRequest {}).await;
            return shown(form, &answer(list)?, show::certificates);
        }
        Command::Request { names, issuer, id, key_type, form } => {
            let request = CertificateRequest { id, names, issuer, key_type };
            (form, controller.request_certificate(request).await)
        }
        Command::Import { id, certificate, key, form } => {
            let import = Import { id, chain: read(&certificate)?, key: read(&key)? };
            (form, controller.import_certificate(import).await)
        }
        Command::Renew(Name { id, form }) => (form, controller.renew_certificate(name(id)).await),
        Command::Revoke { name: Name { id, form }, reason } => {
            (form, controller.revoke_certificate(Revocation { id, reason }).await)
        }
        Command::Remove(Name { id, form }) => (form, controller.remove_certificate(name(id)).await),
    };
    done(form, &answer(word)?)
}

//! Makes Rust of `proto/`, as fleet-wire does.

use std::error::Error;

/// Messages with a secret in them: their `Debug` is written by hand, without it.
const SECRET: &[&str] = &[
    ".landfast.operator.v1.Invited",
    ".landfast.operator.v1.Import",
    ".landfast.operator.v1.DistributionsFile",
    ".landfast.operator.v1.Distributions",
];

/// Answers, which `--json` shows as they are.
const SHOWN: &[&str] = &[
    "Done",
    "Status",
    "Invited",
    "NodeList",
    "Node",
    "Refusal",
    "AccountList",
    "Account",
    "CertificateList",
    "Certificate",
    "SecretList",
    "Secret",
    "Distributions",
    "NodeRefusal",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["operator.proto"], ["proto"])?;
    let configured = tonic_prost_build::configure().bytes(".").skip_debug(SECRET);
    let shown = SHOWN.iter().fold(configured, |configured, name| {
        let message = format!(".landfast.operator.v1.{name}");
        configured.message_attribute(message, "#[derive(serde::Serialize)]")
    });
    shown.compile_fds(files)?;
    Ok(())
}

//! Makes Rust of `proto/`. The compiler of proto files is a crate, so that a build needs no `protoc`.

use std::error::Error;

/// Messages with a secret in them: their `Debug` is written by hand, without it.
const SECRET: &[&str] = &[
    ".landfast.fleet.v1.EnrolRequest",
    ".landfast.fleet.v1.Secrets",
    ".landfast.fleet.v1.Certificate",
    ".landfast.fleet.v1.Http01",
    ".landfast.fleet.v1.TlsAlpn01",
    // Origins are told who asks by fields that are as good as a password.
    ".landfast.fleet.v1.Distributions",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["fleet.proto"], ["proto"])?;
    tonic_prost_build::configure().bytes(".").skip_debug(SECRET).compile_fds(files)?;
    Ok(())
}

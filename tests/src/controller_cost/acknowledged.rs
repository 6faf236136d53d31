//! From a command to the acknowledgement of all nodes.

use std::time::Instant;

use ::controller::operator::message::operator_client::OperatorClient;
use ::controller::operator::message::{Import, StatusRequest};
use anyhow::Result;
use rcgen::{CertificateParams, KeyPair};
use tonic::transport::Channel;

use super::crowd::Crowd;
use super::scene::Scene;
use super::{THOUSAND, progress, runtime};
use crate::figure::median;

/// An odd number, for the median.
const ROUNDS: usize = 21;

/// Milliseconds from the command that stores a certificate to the moment at which the controller
/// has heard from each of a thousand nodes that it has it.
pub(super) fn by_a_thousand() -> Result<f64> {
    runtime()?.block_on(async {
        let scene = Scene::set(0).await?;
        let mut operator = scene.operator().await?;
        let mut crowd = Crowd::gather(&scene.controller, operator.clone(), THOUSAND).await?;
        crowd.settle().await?;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let import = fresh_certificate()?;
            let began = Instant::now();
            let serial = store(&mut operator, import).await?;
            let stored = began.elapsed();
            crowd.acknowledge(serial).await?;
            let all = began.elapsed();
            progress(format_args!("  stored after {stored:.0?}, by all after {all:.0?}"));
            rounds.push(all.as_secs_f64() * 1e3);
        }
        Ok(median(rounds.into_iter()))
    })
}

/// Imports a certificate, and gives the serial that it is in.
async fn store(operator: &mut OperatorClient<Channel>, import: Import) -> Result<u64> {
    operator.import_certificate(import).await?;
    Ok(operator.get_status(StatusRequest {}).await?.into_inner().serial)
}

fn fresh_certificate() -> Result<Import> {
    let key = KeyPair::generate()?;
    let names = vec!["imported.landfast.test".to_owned()];
    let chain = CertificateParams::new(names)?.self_signed(&key)?.pem();
    Ok(Import { id: "imported".to_owned(), chain, key: key.serialize_pem() })
}

//! What a controller holds in memory.

use ::controller::operator::message::{CertificatesRequest, StatusRequest};
use anyhow::Result;

use super::crowd::Crowd;
use super::scene::Scene;
use super::{THOUSAND, progress, runtime};
use crate::memory;

const CERTIFICATES: u32 = 10_000;

/// Megabytes that the controller had in memory at most, with a thousand nodes of which each gets
/// ten thousand certificates: from its start over the moment at which all nodes take the whole
/// state at once to the answers to an operator and to Prometheus.
pub(super) fn with_ten_thousand_certificates() -> Result<f64> {
    runtime()?.block_on(async {
        let scene = Scene::set(CERTIFICATES).await?;
        let process = scene.controller.process_id()?;
        let say = |when: &str| -> Result<()> {
            let (now, most) = (megabytes(process, "VmRSS")?, megabytes(process, "VmHWM")?);
            progress(format_args!("  {when}: {now:.0} MB, at most {most:.0} MB so far"));
            Ok(())
        };
        say("it serves")?;
        let mut operator = scene.operator().await?;
        let mut crowd = Crowd::gather(&scene.controller, operator.clone(), THOUSAND).await?;
        crowd.settle().await?;
        say("all nodes have everything")?;
        operator.get_status(StatusRequest {}).await?;
        operator.list_certificates(CertificatesRequest {}).await?;
        scene.controller.metrics()?;
        say("it has answered an operator and Prometheus")?;
        megabytes(process, "VmHWM")
    })
}

/// A line of `/proc/PID/status`, in millions of bytes.
fn megabytes(process: u32, name: &str) -> Result<f64> {
    Ok(memory::figure(process, name)? as f64 / 1e6)
}

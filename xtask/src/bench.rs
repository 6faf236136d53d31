//! `cargo xtask bench NAME`: what a thing costs, beside something known, measured in the same run.
//!
//! A machine's own figures say little: another machine, or the same one an hour later, gives
//! others. So each figure has something it is measured against, the two by turns on the same
//! cores, and what counts is the ratio. Where nothing else does the same, it is a bound that is to
//! be kept.
//!
//! | module | measures |
//! |---|---|
//! | [`controller`] | how fast a controller reaches many nodes, and its memory, against bounds |
//! | [`h3`] | processor time and memory of HTTP/3, against other servers |
//! | [`xdp`] | nanoseconds a packet of the XDP program, against doing nothing |

mod controller;
mod h3;
mod xdp;

use anyhow::Result;
use clap::ValueEnum;

/// Measure what a thing costs, beside something known.
///
/// Build and measuring are alone on the machine, where figures shall be worth anything: what else
/// runs is in them.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure.
    name: Name,
    /// Print one line of JSON. The table goes to standard error either way.
    #[arg(long)]
    json: bool,
    /// Only figures whose name contains this; may be given several times.
    #[arg(long)]
    only: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// The controller: from a change to a thousand nodes that have it, and memory.
    Controller,
    /// HTTP/3: processor time a request, a handshake and a byte, memory an idle connection.
    H3,
    /// The XDP program: each path of a packet, against floors. It needs root.
    Xdp,
}

/// One figure of a bench.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Figure {
    /// What was measured, as the issue and the documentation call it.
    pub(crate) name: String,
    /// The median over the rounds, in `unit`.
    pub(crate) value: f64,
    /// Of `value`: `us`, `ns`, `bytes` and the like. Less is better in every unit.
    pub(crate) unit: String,
    /// What the ratio is taken to: measured in the same run, or a bound.
    pub(crate) against: String,
    /// `value` as a multiple of what it is against.
    pub(crate) ratio: f64,
}

/// What a bench prints on standard output with `--json`.
#[derive(serde::Serialize)]
struct Report<'a> {
    figures: &'a [Figure],
}

/// # Errors
/// Where something is missing that cannot be installed, or what is measured does not run.
pub(crate) fn run(options: &Options) -> Result<()> {
    let figures = match options.name {
        Name::Controller => controller::run(&options.only)?,
        Name::H3 => h3::run(&options.only)?,
        Name::Xdp => xdp::run()?,
    };
    eprint!("{}", table(&figures));
    if options.json {
        println!("{}", serde_json::to_string(&Report { figures: &figures })?);
    }
    Ok(())
}

fn table(figures: &[Figure]) -> String {
    let mut table =
        format!("{:<24} {:>14} {:<10} {:>7}  against\n", "figure", "value", "unit", "ratio");
    for Figure { name, value, unit, against, ratio } in figures {
        table += &format!("{name:<24} {value:>14.2} {unit:<10} {ratio:>7.3}  {against}\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_with_the_fields_that_are_promised() {
        let figure = Figure {
            name: "handshake".into(),
            value: 210.5,
            unit: "us".into(),
            against: "quinn".into(),
            ratio: 0.9,
        };
        let line = serde_json::to_string(&Report { figures: &[figure] }).expect("JSON");
        let expected = concat!(
            r#"{"figures":[{"name":"handshake","value":210.5,"unit":"us","#,
            r#""against":"quinn","ratio":0.9}]}"#
        );
        assert_eq!(line, expected);
    }
}

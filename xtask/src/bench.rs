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
//! | [`http`] | the same of a site: versions of HTTP, files, the proxy, against other servers |
//! | [`xdp`] | nanoseconds a packet of the XDP program, against doing nothing |
//! | [`server`] | starting what is measured |
//! | [`client`] | a load, a program of the package `tests` |
//! | [`cost`] | processor time and memory of a process, and which core runs it |
//! | [`rounds`] | values of rounds, and the figures of them |

mod client;
mod controller;
mod cost;
mod h3;
mod http;
mod rounds;
mod server;
mod xdp;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use rounds::Effort;

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
    /// One short round (`h3`, `http`): whether it runs at all. Such figures are worth nothing.
    #[arg(long)]
    short: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// The controller: from a change to a thousand nodes that have it, and memory.
    Controller,
    /// HTTP/3: processor time a request, a handshake and a byte, memory an idle connection.
    H3,
    /// A site: HTTP/3 and HTTP/2, files and the proxy; memory of ten thousand idle connections.
    Http,
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
    /// Of `value`: `us`, `ns`, `bytes` and the like. Less is better, but where `goal` is a least.
    pub(crate) unit: String,
    /// What the ratio is taken to: measured in the same run, or a bound.
    pub(crate) against: String,
    /// `value` as a multiple of what it is against.
    pub(crate) ratio: f64,
    /// What the ratio is to be, where that is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
    /// Whether it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reached: Option<bool>,
}

/// What a ratio is to be.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    /// With a goal, and whether it is reached.
    fn with_goal(self, goal: Goal) -> Self {
        let reached = match goal {
            Goal::AtMost(most) => self.ratio <= most,
            Goal::AtLeast(least) => self.ratio >= least,
        };
        Self { goal: Some(goal), reached: Some(reached), ..self }
    }

    /// The goal in words.
    fn verdict(&self) -> String {
        let (Some(goal), Some(reached)) = (self.goal, self.reached) else { return String::new() };
        let (side, bound) = match goal {
            Goal::AtMost(most) => ("at most", most),
            Goal::AtLeast(least) => ("at least", least),
        };
        let reached = if reached { "reached" } else { "missed" };
        format!(" ({side} {bound}: {reached})")
    }
}

/// What a bench prints on standard output with `--json`.
#[derive(serde::Serialize)]
struct Report<'a> {
    figures: &'a [Figure],
}

/// # Errors
/// Where something is missing that cannot be installed, or what is measured does not run.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (only, effort) = match options.short {
        true => (&options.only, Effort::SHORT),
        false => (&options.only, Effort::FULL),
    };
    let has_short = matches!(options.name, Name::H3 | Name::Http);
    ensure!(has_short || !options.short, "--short is for h3 and http");
    let figures = match options.name {
        Name::Controller => controller::run(only)?,
        Name::H3 => h3::run(only, effort)?,
        Name::Http => http::run(only, effort)?,
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
    for figure in figures {
        let Figure { name, value, unit, against, ratio, .. } = figure;
        let verdict = figure.verdict();
        table += &format!("{name:<24} {value:>14.2} {unit:<10} {ratio:>7.3}  {against}{verdict}\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        Figure {
            name: "handshake".into(),
            value: 210.5,
            unit: "us".into(),
            against: "quinn".into(),
            ratio: 0.9,
            goal: None,
            reached: None,
        }
    }

    #[test]
    fn a_report_is_one_line_with_the_fields_that_are_promised() {
        let figures = [figure(), figure().with_goal(Goal::AtMost(0.65))];
        let line = serde_json::to_string(&Report { figures: &figures }).expect("JSON");
        let expected = concat!(
            r#"{"figures":[{"name":"handshake","value":210.5,"unit":"us","#,
            r#""against":"quinn","ratio":0.9},{"name":"handshake","value":210.5,"unit":"us","#,
            r#""against":"quinn","ratio":0.9,"goal":{"at_most":0.65},"reached":false}]}"#
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn a_goal_is_reached_from_its_own_side() {
        let verdict = |goal| figure().with_goal(goal).verdict();
        assert_eq!(verdict(Goal::AtMost(0.9)), " (at most 0.9: reached)");
        assert_eq!(verdict(Goal::AtMost(0.8)), " (at most 0.8: missed)");
        assert_eq!(verdict(Goal::AtLeast(0.9)), " (at least 0.9: reached)");
        assert_eq!(verdict(Goal::AtLeast(1.0)), " (at least 1: missed)");
        assert_eq!(figure().verdict(), "");
    }
}

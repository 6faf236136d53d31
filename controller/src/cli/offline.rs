//! What is done while no controller runs: a new one, one out of a backup, and looking at files.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use controller::certificate::Wanted;
use controller::certificate::import;
use controller::config::{self, Config};
use controller::init::{self, InitError};
use controller::store::KeyFile;
use fleet_wire::secrets::{CONNECTION_ID_LENGTHS, DEFAULT_CONNECTION_ID_LENGTH, IdMode, Secrets};
use serde::Serialize;

use super::ask::show as shown;
use super::{Ended, FAILED, Form, Outcome, WRONG, code_of, ended, say, show};

#[derive(Args)]
pub(super) struct Init {
    /// Take over the secrets of this fleet file, as nodes have it that ran without a controller:
    /// connections, tickets and tokens stay good.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["plain", "length"])]
    fleet_file: Option<PathBuf>,
    /// Connection IDs in clear, to look at packets. Outsiders can then link and forge them.
    #[arg(long)]
    plain: bool,
    /// Bytes of a connection ID. 17 is decoded fastest; others where a balancer of somebody else's
    /// asks for them.
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_CONNECTION_ID_LENGTH)]
    #[arg(value_parser = clap::value_parser!(u8)
        .range(*CONNECTION_ID_LENGTHS.start() as i64..=*CONNECTION_ID_LENGTHS.end() as i64))]
    length: u8,
    #[command(flatten)]
    form: Form,
}

pub(super) async fn init(config: &Config, init: Init) -> Outcome {
    let Init { fleet_file, plain, length, form } = init;
    let secrets = match fleet_file {
        Some(path) => Secrets::load(&path).map_err(|error| ended(WRONG, &error))?,
        None => {
            let mode = if plain { IdMode::Plain } else { IdMode::Encrypted };
            let secrets = Secrets::generate(mode, length.into());
            secrets.map_err(|error| ended(FAILED, &error))?
        }
    };
    let made = init::init(config, secrets).await.map_err(|error| failed(&error))?;
    shown(form, &made, show::made)
}

pub(super) async fn restore(
    config: &Config,
    from: &Path,
    old: Option<&Path>,
    form: Form,
) -> Outcome {
    let restored = init::restore(config, from, old).await.map_err(|error| failed(&error))?;
    shown(form, &restored, |restored| {
        let (store, epoch) = (config.store.path.display(), restored.epoch);
        format!("{store} made of {}: epoch {epoch}\n{}", from.display(), show::restored(restored))
    })
}

fn failed(error: &InitError) -> Ended {
    ended(code_of(error.is_lasting()), error)
}

/// What `check-config` found.
#[derive(Default, Serialize)]
struct Report {
    /// `serve` would start, as far as can be told.
    good: bool,
    /// The configuration in a sentence, where it is good.
    summary: Option<String>,
    /// Mistakes in the configuration and in the files it names.
    problems: Vec<String>,
}

pub(super) fn check(path: &Path, no_host: bool, form: Form) -> Outcome {
    let mut report = Report::default();
    match config::load(path) {
        Ok(config) => {
            report.summary = Some(summary(path, &config));
            if !no_host {
                report.problems = files(&config);
            }
            if !form.json {
                report.problems.iter().for_each(|it| eprintln!("landfast-controller: {it}"));
            }
        }
        Err(error) => {
            if !form.json {
                eprint!("{}", error.render());
            }
            report.problems = error.problems().iter().map(ToString::to_string).collect();
        }
    }
    report.good = report.problems.is_empty();
    if form.json {
        say(&serde_json::to_string(&report).expect("words"))?;
    } else if let Some(summary) = report.summary.as_ref().filter(|_| report.good) {
        say(summary)?;
    }
    if report.good { Ok(()) } else { Err(Ended(WRONG)) }
}

/// What is wrong with the files that the configuration names.
fn files(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = KeyFile::open(&config.store.key_file) {
        problems.push(error.to_string());
    }
    // Not opened: a controller may be running.
    if !config.store.path.exists() {
        let path = config.store.path.display();
        problems.push(format!("there is no store at {path}: `landfast-controller init` makes one"));
    }
    for (name, issuer) in &config.issuers {
        let key_file = issuer.external_account.as_ref().map(|account| &account.key_file);
        let named = [("root", issuer.root.as_ref()), ("eab_key_file", key_file)];
        let named = named.into_iter().chain([("dns_hook", issuer.dns_hook.as_ref())]);
        for (setting, path) in named {
            let Some(path) = path else { continue };
            if let Err(error) = std::fs::File::open(path) {
                problems.push(format!("{setting} of issuer {name}: {}: {error}", path.display()));
            }
        }
    }
    for files in &config.certificates.imported {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let policy = &config.certificates.policy;
        let wanted = Wanted { id: &files.id, names: None, policy, source: import::SOURCE, now };
        if let Err(error) = import::read(files, &wanted) {
            problems.push(format!("import {}: {error}", files.id));
        }
    }
    problems
}

fn summary(path: &Path, config: &Config) -> String {
    let issuers: Vec<_> = config.issuers.keys().map(String::as_str).collect();
    format!(
        "{} is good: nodes reach {} on {}, certificates by {}",
        path.display(),
        config.names.join(", "),
        config.listen,
        [&["internal"], &issuers[..]].concat().join(", ")
    )
}

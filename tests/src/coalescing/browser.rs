//! Browsers that nobody of this project wrote, without a window: each shows the page once, with a
//! profile of its own, and ends.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::site::{HOSTS, Site};

/// A loaded machine shows a page within seconds.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of what it said that a failure shows.
const LAST_LINES: usize = 20;

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Browser {
    /// Debian's firefox-esr.
    Firefox,
    /// Debian's chromium.
    Chromium,
}

/// What it speaks, from the first request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/2.
    H2,
    /// HTTP/3.
    H3,
}

impl Browser {
    const fn program(self) -> &'static str {
        match self {
            Self::Firefox => "firefox-esr",
            Self::Chromium => "chromium",
        }
    }

    /// What it says of itself: the first word that is a number.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn version(self) -> Result<String> {
        let program = self.program();
        let said = Command::new(program).arg("--version").stderr(Stdio::null()).output();
        let said = said.with_context(|| {
            format!("{program} cannot be started: install Debian's package {program}")
        })?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let number =
            said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        Ok(number.with_context(|| format!("{program} --version says {said:?}"))?.to_owned())
    }

    /// Shows the page of `site` until all of it has come. What it printed; Chromium prints the page.
    pub(crate) fn show(self, site: &Site, protocol: Protocol) -> Result<String> {
        let profile = site.path("profile");
        fs::create_dir_all(&profile)?;
        let mut command = match self {
            Self::Firefox => firefox(site, protocol)?,
            Self::Chromium => chromium(site, protocol),
        };
        let said = File::create(site.path("said"))?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        command.env("HOME", &profile).arg(format!("https://{}/", HOSTS[0]));
        let mut child = site.spawn(&mut command)?;
        let deadline = Instant::now() + SHOWN_WITHIN;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                let _ = child.kill(); // it may have ended just now
                let _ = child.wait();
                bail!("it does not end within {SHOWN_WITHIN:?}\n{}", last_lines(site));
            }
            sleep(LOOK_EVERY);
        };
        let program = self.program();
        ensure!(
            status.success(),
            "{program} ended with {status}; it must run as root, without a window:\n{}",
            last_lines(site)
        );
        Ok(String::from_utf8_lossy(&fs::read(site.path("said"))?).into_owned())
    }
}

fn last_lines(site: &Site) -> String {
    let said = fs::read(site.path("said")).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

/// Firefox makes a picture of the page when all of it is there.
fn firefox(site: &Site, protocol: Protocol) -> Result<Command> {
    let profile = site.path("profile");
    let database = format!("sql:{}", profile.display());
    certutil(&["-N", "-d", &database, "--empty-password"])?;
    let authority = site.authority();
    let authority = authority.to_str().context("the path is UTF-8")?;
    certutil(&["-A", "-t", "C,,", "-d", &database, "-n", "authority", "-i", authority])?;
    let http3 = match protocol {
        Protocol::H2 => "user_pref(\"network.http.http3.enable\", false);\n".to_owned(),
        Protocol::H3 => {
            let hosts = HOSTS.map(|host| format!("{host};h3=:443")).join(",");
            format!(
                "user_pref(\"network.http.http3.disable_when_third_party_roots_found\", false);\n\
                 user_pref(\"network.http.http3.alt-svc-mapping-for-testing\", \"{hosts}\");\n\
                 user_pref(\"network.http.http3.force-use-alt-svc-mapping-for-testing\", true);\n"
            )
        }
    };
    fs::write(profile.join("user.js"), format!("{FIREFOX_ALONE}{http3}"))?;
    let mut firefox = Command::new(Browser::Firefox.program());
    firefox.args(["--headless", "--no-remote", "--profile"]).arg(profile);
    firefox.arg("--screenshot").arg(site.path("picture.png"));
    Ok(firefox)
}

/// It asks nobody else, makes no connection that it may not need, neither one in advance nor a second
/// one where the first takes long, and gives none up because it has found the network anew.
const FIREFOX_ALONE: &str = r#"
user_pref("network.http.speculative-parallel-limit", 0);
user_pref("network.http.connection-retry-timeout", 0);
user_pref("network.notify.changed", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.update.enabled", false);
user_pref("extensions.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.aboutwelcome.enabled", false);
"#;

fn certutil(arguments: &[&str]) -> Result<()> {
    let said = Command::new("certutil").args(arguments).output();
    let said = said.context("certutil cannot be started: install Debian's libnss3-tools")?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "certutil {arguments:?}: {}: {words}", said.status);
    Ok(())
}

/// Chromium prints the page when all of it is there.
fn chromium(site: &Site, protocol: Protocol) -> Command {
    let mut chromium = Command::new(Browser::Chromium.program());
    chromium.args([
        "--headless",
        "--no-sandbox", // it refuses root with it
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]);
    chromium.arg(format!("--user-data-dir={}", site.path("profile").display()));
    chromium.arg(format!("--ignore-certificate-errors-spki-list={}", site.pin));
    match protocol {
        Protocol::H2 => chromium.arg("--disable-quic"),
        Protocol::H3 => {
            let hosts = HOSTS.map(|host| format!("{host}:443")).join(",");
            chromium.arg(format!("--origin-to-force-quic-on={hosts}"))
        }
    };
    chromium.arg("--dump-dom");
    chromium
}

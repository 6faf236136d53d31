//! The controller of the one node: started, asked, stopped.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Child;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::files::{NODE, Place};
use super::{ASK_EVERY, READY_WITHIN};
use crate::process;

/// The node's name, and that of its certificate.
const NAME: &str = "here";

/// A controller that serves.
pub(super) struct Controller {
    program: PathBuf,
    config: PathBuf,
    child: RefCell<Child>,
}

impl Controller {
    /// Starts it, with a store that is made where there is none.
    ///
    /// # Errors
    /// Where it does not answer in time.
    pub(super) fn start(program: PathBuf, place: &Place) -> Result<Self> {
        let config = place.controller.clone();
        let command = |verb: &str| {
            let mut command = process::command(&program);
            command.arg("--config").arg(&config).arg(verb);
            command
        };
        if !place.store.exists() {
            process::output(&mut command("init"))?;
        }
        let child = RefCell::new(super::start(&mut command("serve"))?);
        let controller = Self { program, config, child };
        let answers = controller.until("it answers", &["status"], |status| !status.is_null());
        match answers {
            Ok(()) => Ok(controller),
            Err(error) => {
                // The first error says more.
                let _ = controller.stop();
                Err(error)
            }
        }
    }

    /// Stops it.
    ///
    /// # Errors
    /// Where it does not end well.
    pub(super) fn stop(&self) -> Result<()> {
        super::stop(&mut self.child.borrow_mut(), "the controller")
    }

    /// Whether it runs no more.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub(super) fn has_ended(&self) -> Result<bool> {
        Ok(self.child.borrow_mut().try_wait()?.is_some())
    }

    /// Invites the node anew; the token.
    ///
    /// # Errors
    /// Where the controller refuses.
    pub(super) fn invite(&self) -> Result<String> {
        let list = self.ask(&["nodes", "list"])?;
        let nodes = list["nodes"].as_array().into_iter().flatten();
        if nodes.into_iter().any(|node| node["name"] == NAME) {
            self.ask(&["nodes", "remove", NAME])?;
        }
        let own = NODE.to_string();
        let node = ["--name", NAME, "--site", "local", "--id", "1", "--ipv4", &own];
        let invited = self.ask(&[&["nodes", "invite"], &node[..]].concat())?;
        Ok(invited["token"].as_str().context("the invitation has no token")?.to_owned())
    }

    /// Has a certificate issued, and waits until the node serves it.
    ///
    /// # Errors
    /// Where the controller refuses, or it takes too long.
    pub(super) fn certify(&self, place: &Place) -> Result<()> {
        let names: Vec<_> = place.names.iter().map(String::as_str).collect();
        let request = ["certificates", "request", "--issuer", "internal", "--id", NAME];
        self.ask(&[&request[..], &names].concat())?;
        self.until("the node serves its certificate", &["certificates", "list"], |list| {
            let certificate = &list["certificates"][0];
            let covers = |name: &&String| {
                certificate["names"]
                    .as_array()
                    .is_some_and(|names| names.contains(&Value::from(name.as_str())))
            };
            certificate["nodes_serving"] == 1 && place.names.iter().all(|name| covers(&name))
        })?;
        ensure!(place.authority.exists(), "there is no {}", place.authority.display());
        Ok(())
    }

    fn until(&self, what: &str, ask: &[&str], is_so: impl Fn(&Value) -> bool) -> Result<()> {
        let end = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.borrow_mut().try_wait()? {
                bail!("the controller ended with {status}");
            }
            // While it starts, nobody listens.
            let answer = self.quietly(ask);
            if is_so(&answer) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "not within {} s: {what}", READY_WITHIN.as_secs());
            thread::sleep(ASK_EVERY);
        }
    }

    fn quietly(&self, ask: &[&str]) -> Value {
        let output = self.command(ask).output();
        let output = output.ok().filter(|output| output.status.success());
        output.and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default()
    }

    fn ask(&self, ask: &[&str]) -> Result<Value> {
        let answer = process::output(&mut self.command(ask))?;
        serde_json::from_str(&answer).with_context(|| format!("{ask:?} printed {answer}"))
    }

    fn command(&self, ask: &[&str]) -> std::process::Command {
        let mut command = process::command(&self.program);
        command.arg("--config").arg(&self.config).args(ask).arg("--json");
        command
    }
}

//! nginx behind an edge, or a page with a WebSocket, and a browser in front of it: none of them is ours
//! but the edge.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::coalescing::browser::{Browser, Protocol};
use crate::coalescing::counted;
use crate::coalescing::site::{HOSTS, Site, Told};
use crate::fleet::programs;

const READY_WITHIN: Duration = Duration::from_secs(20);
/// Where the origin is, in the namespace of the edge.
const ORIGIN: &str = "127.0.0.1:8080";
const PAGE_WITH_WEBSOCKET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/origin_page.py");

/// A page with a style sheet and a script, which asks once more.
const PAGE: &str = r#"<!doctype html><link rel="icon" href="data:,"><link rel="stylesheet"
href="/style.css"><p id="said">nothing</p><script src="/script.js"></script>"#;
const STYLE: &str = "p { color: green }";
const SCRIPT: &str = r#"const asked = new XMLHttpRequest();
asked.open("GET", "/answer.txt?from=script", false);
asked.send();
document.getElementById("said").textContent = asked.responseText;
"#;
const ANSWER: &str = "said by nginx";

fn in_front_of_origin() -> Result<Site> {
    let tables = format!(
        "[[origins]]\nname = \"app\"\nservers = [\"http://{ORIGIN}\"]\n\
         response_timeout_seconds = 60\n\
         [[distributions]]\nnames = [\"{}\"]\n[[distributions.behaviours]]\npath = \"/\"\n\
         proxy = {{ origin = \"app\" }}\n",
        HOSTS[0]
    );
    Site::start_with(Told::None, &tables)
}

/// Shows a page in one browser that opens a WebSocket, says and hears something, and closes it. What the
/// origin has seen of it: `Via`, the subprotocol, whether messages are compressed, and how it was closed.
///
/// # Errors
/// Where one of them does not run.
pub fn talked(browser: Browser, protocol: Protocol) -> Result<String> {
    let site = in_front_of_origin()?;
    let mut origin = Command::new(programs::python());
    origin.args([PAGE_WITH_WEBSOCKET, "8080"]);
    let origin = site.run_beside("page", origin)?;
    let said = || fs::read_to_string(site.path("page.out")).unwrap_or_default();
    origin.wait_until(READY_WITHIN, || said().contains("ready\n"))?;
    let shown = browser.show(&site, protocol);
    let shown = shown.with_context(|| format!("{browser:?}; the origin said: {}", said()))?;
    if browser == Browser::Chromium {
        ensure!(shown.contains("hello to you by chat"), "the script has not run: {shown}");
    }
    Ok(said().trim_start_matches("ready\n").trim_end().to_owned())
}

/// Shows the page in one browser. What nginx has noted of it: request line, status, and what the edge
/// says of the client's version.
///
/// # Errors
/// Where one of the three does not run, or the browser has spoken another version to the edge.
pub fn shown(browser: Browser, protocol: Protocol) -> Result<Vec<String>> {
    let site = in_front_of_origin()?;
    let (root, folder) = (site.path("www"), site.path("nginx"));
    fs::create_dir_all(&root)?;
    fs::create_dir_all(&folder)?;
    for (name, content) in
        [("index.html", PAGE), ("style.css", STYLE), ("script.js", SCRIPT), ("answer.txt", ANSWER)]
    {
        fs::write(root.join(name), content)?;
    }
    let log = folder.join("access.log");
    let (root, folder) = (root.display(), folder.display());
    let config = format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{ }}\nhttp {{\n\
         log_format asked '$request $status $http_via';\naccess_log {folder}/access.log asked;\n\
         client_body_temp_path {folder}/client;\nproxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\nuwsgi_temp_path {folder}/uwsgi;\n\
         scgi_temp_path {folder}/scgi;\n\
         types {{ text/html html; text/css css; text/javascript js; text/plain txt; }}\n\
         server {{\nlisten {ORIGIN};\nroot {root};\n}}\n}}\n"
    );
    let file = site.path("nginx.conf");
    fs::write(&file, config)?;
    let mut nginx = Command::new(programs::nginx());
    nginx.arg("-c").arg(&file).arg("-e").arg(site.path("nginx.log"));
    let nginx = site.run_beside("nginx", nginx)?;
    nginx.wait_until(READY_WITHIN, || site.path("nginx/pid").exists())?;
    let said = browser.show(&site, protocol).with_context(|| format!("{browser:?}"))?;
    if browser == Browser::Chromium {
        // It prints the page as it is when all of it is there.
        ensure!(said.contains(ANSWER), "the script has not run: {said}");
    }
    let (_, others) = counted(&site.metrics()?, protocol);
    ensure!(others == 0, "{browser:?} has sent {others} requests by another version");
    Ok(fs::read_to_string(log)?.lines().map(str::to_owned).collect())
}

//! Origins that a process reaches: what a reload may name, what it may not, and what is said of both.

use std::net::TcpListener;

use super::Edge;

/// A proxy to a server at this port of this host.
fn proxy(server: &str) -> String {
    format!(
        r#"
[[origins]]
name = "app"
servers = ["{server}"]
[[distributions]]
names = ["landfast.test"]
[[distributions.behaviours]]
path = "/"
proxy = {{ origin = "app" }}
"#
    )
}

/// What the sandbox closed at the start no reload opens, and the answer says what to do.
#[tokio::test]
async fn a_reload_names_no_port_that_the_process_could_not_connect_to_from_its_start() {
    let held = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [asked, other] = held.each_ref().map(|it| it.local_addr().expect("bound").port());
    let mut edge = Edge::new();
    edge.distribute(&proxy(&format!("http://127.0.0.1:{asked}")));
    edge.start();
    // Another server at the same port is within reach.
    edge.distribute(&proxy(&format!("http://127.0.0.2:{asked}")));
    let (code, said, warned) = edge.reload();
    assert_eq!((code, said.as_str()), (Some(0), "origin app: changed\n"), "{warned}");
    edge.distribute(&proxy(&format!("http://127.0.0.1:{other}")));
    let (code, _, said) = edge.reload();
    let (_, metrics) = edge.get("/metrics").expect("answered");
    if metrics.contains("landfast_landlock{enforced=\"none\"} 1") {
        return assert_eq!(code, Some(0), "nothing is confined: {said}");
    }
    assert_eq!(code, Some(1), "{said}");
    for words in ["origin app", &other.to_string(), "restart it; nothing is changed"] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    edge.distribute(&proxy(&format!("http://localhost:{asked}")));
    let (code, _, said) = edge.reload();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("localhost is one: restart it; nothing is changed"), "{said}");
}

#[tokio::test]
async fn check_config_shows_origins_and_warns_of_those_that_nobody_asks_or_that_prove_nothing() {
    let edge = Edge::new();
    let unused = "[[origins]]\nname = \"old\"\nservers = [\"https://192.0.2.7:8443\", \"https://[2001:db8::7]\"]\nverify = false\n";
    edge.distribute(&(proxy("http://app.internal.example") + unused));
    let output = edge.run(&["check-config", "--config", &edge.path("edge.toml")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for words in [
        "origin app (http app.internal.example:80)",
        "origin old (https 192.0.2.7:8443 [2001:db8::7]:443)",
    ] {
        assert!(said.contains(words), "no `{words}` in {said}");
    }
    let warned = super::stderr(&output);
    for words in [
        "warning: origin old: no behaviour has a proxy to it",
        "warning: origin old: `verify` is false",
    ] {
        assert!(warned.contains(words), "no `{words}` in {warned}");
    }
}

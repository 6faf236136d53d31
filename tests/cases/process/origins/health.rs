//! Which of several servers is asked, and which is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tests::origin::{Origin, path};
use tests::versions::{Client, Version};

use super::super::{WITHIN, eventually};
use super::Edge;
use super::bed::url;

/// Answers with its name while it is well; else it closes connections, and its health is bad.
fn server(name: &'static str, well: &Arc<AtomicBool>) -> Origin {
    let well = Arc::clone(well);
    let origin = Origin::start(move |visit, _| {
        loop {
            let head = visit.head()?;
            match (well.load(Ordering::Relaxed), path(&head)) {
                (true, _) => {
                    let length = name.len();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                    visit.say(&(head + name))?;
                }
                (false, "/health") => {
                    visit.say("HTTP/1.1 500 Ill\r\ncontent-length: 0\r\n\r\n")?;
                }
                (false, _) => return Ok(()),
            }
        }
    });
    origin.expect("a port")
}

fn well() -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(true))
}

async fn ask(client: &Client) -> (u16, String) {
    let answer = client.get("/").await.expect("an answer");
    (answer.status(), answer.text())
}

/// Asks until this is the answer.
async fn until(client: &Client, wanted: impl Fn(&(u16, String)) -> bool) {
    let deadline = std::time::Instant::now() + WITHIN;
    loop {
        let answer = ask(client).await;
        if wanted(&answer) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "still {answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn servers_share_requests() {
    let (a, b) = (server("a", &well()), server("b", &well()));
    let servers = [url(a.address()), url(b.address())];
    let edge = Edge::in_front_of_all(&[("app", &servers, "")]);
    let client = edge.client(Version::Http3).await;
    let mut answers = Vec::new();
    for _ in 0..100 {
        answers.push(ask(&client).await.1);
    }
    for name in ["a", "b"] {
        // Of a hundred fair draws less than 15 are one of 10^13.
        let count = answers.iter().filter(|answer| *answer == name).count();
        assert!(count >= 15, "{name} was asked {count} times of 100");
    }
}

#[tokio::test]
async fn a_server_that_fails_is_left_alone() {
    let (a_well, b_well) = (well(), well());
    let (a, b) = (server("a", &a_well), server("b", &b_well));
    let servers = [url(a.address()), url(b.address())];
    let settings = "max_failures = 2\neject_seconds = 3600";
    let edge = Edge::in_front_of_all(&[("app", &servers, settings)]);
    a_well.store(false, Ordering::Relaxed);
    let client = edge.client(Version::Http3).await;
    let mut failed = 0;
    for _ in 0..100 {
        match ask(&client).await {
            (200, name) => assert_eq!(name, "b"),
            (502, _) => failed += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(failed <= 2, "{failed} failures, of 2 that are allowed");
    eventually("it is said", || edge.log().contains("a server fails"), || edge.log());
}

#[tokio::test]
async fn a_server_that_was_left_alone_is_asked_again() {
    let (a_well, b_well) = (well(), well());
    let (a, b) = (server("a", &a_well), server("b", &b_well));
    let servers = [url(a.address()), url(b.address())];
    let settings = "max_failures = 1\neject_seconds = 1";
    let edge = Edge::in_front_of_all(&[("app", &servers, settings)]);
    a_well.store(false, Ordering::Relaxed);
    let client = edge.client(Version::Http3).await;
    until(&client, |(status, _)| *status == 502).await;
    a_well.store(true, Ordering::Relaxed);
    until(&client, |(_, name)| name == "a").await;
}

#[tokio::test]
async fn a_server_whose_health_is_bad_is_not_asked_until_it_is_good() {
    let (a_well, b_well) = (well(), well());
    let (a, b) = (server("a", &a_well), server("b", &b_well));
    let servers = [url(a.address()), url(b.address())];
    let settings = r#"health = { path = "/health", interval_seconds = 1, timeout_seconds = 1, rise = 1, fall = 1 }
max_failures = 0"#;
    let edge = Edge::in_front_of_all(&[("app", &servers, settings)]);
    let client = edge.client(Version::Http3).await;
    a_well.store(false, Ordering::Relaxed);
    let ill = format!("a server is not well origin=\"app\" server={}", a.address());
    eventually("a is ill", || edge.log().contains(&ill), || edge.log());
    for _ in 0..20 {
        assert_eq!(ask(&client).await, (200, "b".to_owned()));
    }
    b_well.store(false, Ordering::Relaxed);
    until(&client, |(status, _)| *status == 503).await;
    b_well.store(true, Ordering::Relaxed);
    until(&client, |(status, name)| (*status, &**name) == (200, "b")).await;
    a_well.store(true, Ordering::Relaxed);
    until(&client, |(_, name)| name == "a").await;
}

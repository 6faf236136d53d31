//! Clients that nobody of this project wrote are served through the router, over both families.

use tests::fleet::{ANYCAST, Fleet, FleetOptions, PLACES};
use tests::http3::Identity;

/// Whether the answer is that of a node of the first site, over HTTP/3.
fn check(identity: &Identity) {
    let place = PLACES.iter().find(|place| u16::from(place.id) == identity.node);
    let place = place.unwrap_or_else(|| panic!("no such node: {identity:?}"));
    assert_eq!((identity.name.as_str(), identity.site.as_str()), (place.name, "ams"));
    assert_eq!(identity.protocol, "h3");
    let owner = format!("{}/{}/", identity.node, identity.worker);
    assert!(identity.owner.starts_with(&owner), "{identity:?}");
}

#[test]
fn third_party_clients_get_the_answer_over_both_families() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    let client = fleet.client();
    for anycast in ANYCAST {
        let mut aioquic = client.aioquic(anycast).expect("aioquic starts");
        aioquic.connected().expect("aioquic connects");
        let identity = aioquic.identity().expect("aioquic is answered");
        check(&identity);
        assert_eq!(identity.client.is_ipv6(), anycast.is_ipv6());

        check(&client.pycurl(anycast).expect("libcurl is answered"));

        let (said, contents) = client
            .gtlsclient(anycast, &[], &["/who", "/bytes/100000"])
            .unwrap_or_else(|error| panic!("gtlsclient is answered: {error:#}"));
        let identity = serde_json::from_slice(&contents[0]);
        check(&identity.unwrap_or_else(|error| panic!("{error}:\n{said}")));
        assert_eq!(contents[1].len(), 100_000);
    }
}

#[test]
fn quinn_gets_the_answer_over_both_families() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("a fleet");
    let client = fleet.client();
    for anycast in ANYCAST {
        let (identity, length) = client
            .run(async || {
                let connection = client.connect(anycast).await?;
                let identity = connection.identity().await?;
                Ok((identity, connection.get("/bytes/300000").await?.body.len()))
            })
            .expect("quinn is answered");
        check(&identity);
        assert_eq!(length, 300_000);
    }
}

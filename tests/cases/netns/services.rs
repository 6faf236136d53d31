//! What the cases with a controller stand on: an authority at the router, which reaches any node by
//! the anycast address and which every node reaches.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::{TimeVal, TimeValLike as _};
use tests::fleet::{ANYCAST, Bed, PLACES, Place, SERVICES_IPV4, SERVICES_IPV6, eventually};
use tests::pebble::{self, Endpoint, Pebble, PebbleOptions, dns};

/// HTTP-01's (RFC 8555 section 8.3).
const HTTP: u16 = 80;
/// A busy machine takes a while to start threads.
const WITHIN: Duration = Duration::from_secs(20);

/// Whoever connects to an anycast address is told which node that is.
fn answer(bed: &Bed, place: Place) {
    for address in ANYCAST {
        bed.place(place).thread(move || {
            let listener = TcpListener::bind(SocketAddr::new(address, HTTP)).expect("bound");
            // For accept(2), too: the thread ends, and its namespace with it.
            setsockopt(&listener, ReceiveTimeout, &TimeVal::seconds(5)).expect("a timeout");
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                // A client that went away is its own affair.
                let _ = stream.write_all(place.name.as_bytes());
            }
        });
    }
}

fn name_at(address: IpAddr) -> Option<String> {
    let stream = TcpStream::connect_timeout(&(address, HTTP).into(), WITHIN).ok()?;
    stream.set_read_timeout(Some(WITHIN)).ok()?;
    let mut name = String::new();
    (&stream).read_to_string(&mut name).ok()?;
    Some(name)
}

#[test]
fn an_authority_knocks_on_any_node_and_every_node_reaches_it() {
    let mut bed = Bed::build().expect("a bed");
    let services = bed.add_services().expect("a place for it");
    PLACES.into_iter().for_each(|place| answer(&bed, place));
    bed.router.route_to(&["a1", "b1"]).expect("routed");
    for address in ANYCAST {
        services.enter(|| {
            let mut names = BTreeSet::new();
            let both = || {
                names.extend(name_at(address));
                names.iter().map(String::as_str).eq(["a1", "b1"])
            };
            eventually("both nodes that are routed are met", WITHIN, both).expect("spread");
        });
    }

    let [ipv4, _] = ANYCAST;
    let place = pebble::Place::Namespace(services.clone(), SERVICES_IPV4.into());
    let options = PebbleOptions { place, names_at: ANYCAST.to_vec(), ..PebbleOptions::default() };
    let authority = Pebble::start(options).expect("pebble starts");
    assert_eq!(authority.get(Endpoint::Directory).expect("answered").status, 200);
    let IpAddr::V4(ipv4) = ipv4 else { panic!("the first is of IPv4") };
    services.enter(|| dns::expect("www.landfast.test", authority.dns(), ipv4)).expect("named");

    thread::scope(|scope| {
        for place in PLACES {
            let (bed, dns) = (&bed, authority.dns());
            scope.spawn(move || {
                bed.place(place).enter(|| {
                    TcpStream::connect_timeout(&dns, WITHIN).expect("by IPv4");
                    let there = SocketAddr::new(SERVICES_IPV6.into(), HTTP);
                    let error = TcpStream::connect_timeout(&there, WITHIN).expect_err("nobody");
                    let kind = error.kind();
                    assert_eq!(kind, std::io::ErrorKind::ConnectionRefused, "by IPv6: {error}");
                });
            });
        }
    });
}

//! The bed itself, before any edge runs in it: ECMP spreads flows and follows its routes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tests::fleet::{ANYCAST, Bed, PLACES, PORT};

/// Every flow of `count` asks whoever it reaches for its name.
fn spread(bed: &Bed, anycast: IpAddr, count: usize) -> BTreeMap<String, usize> {
    bed.client.enter(|| {
        let mut names = BTreeMap::new();
        for _ in 0..count {
            let any: IpAddr = if anycast.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let socket = UdpSocket::bind((any, 0)).expect("a free port");
            socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
            socket.connect((anycast, PORT)).expect("a route");
            socket.send(b"who").expect("sent");
            let mut name = [0; 8];
            let length = socket.recv(&mut name).expect("an answer");
            *names.entry(String::from_utf8_lossy(&name[..length]).into_owned()).or_default() += 1;
        }
        names
    })
}

#[test]
fn ecmp_spreads_flows_over_the_nodes_that_are_routed() {
    let bed = Bed::build().expect("a bed");
    for place in PLACES {
        for address in ANYCAST {
            bed.place(place).thread(move || {
                let socket = UdpSocket::bind(SocketAddr::new(address, PORT)).expect("bound");
                socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
                while let Ok((_, client)) = socket.recv_from(&mut [0; 8]) {
                    socket.send_to(place.name.as_bytes(), client).expect("answered");
                }
            });
        }
    }
    std::thread::sleep(Duration::from_millis(100)); // the responders bind
    for address in ANYCAST {
        bed.router.route_to(&["a1", "a2"]).expect("routed");
        let names = spread(&bed, address, 40);
        assert_eq!(names.keys().collect::<Vec<_>>(), ["a1", "a2"], "{names:?}");
        assert!(names.values().all(|flows| *flows >= 5), "{names:?}");
        bed.router.route_to(&["b1"]).expect("routed");
        assert_eq!(spread(&bed, address, 5).keys().collect::<Vec<_>>(), ["b1"]);
    }
}

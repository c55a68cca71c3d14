//! Goal: a node finds its peers by A, AAAA and SRV records, and notices when they change. Method: a real name server on
//! loopback, small enough to stand here.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
};

use hickory_resolver::{
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::{
        op::{Message, ResponseCode},
        rr::{
            Name, Record,
            rdata::{A, AAAA, SRV},
        },
    },
};
use tokio::net::UdpSocket;

use super::*;

/// (name, record) pairs that the server answers from.
type Zone = Arc<Mutex<Vec<(Name, RData)>>>;

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn a(of: &str, last: u8) -> (Name, RData) {
    (name(of), RData::A(A(Ipv4Addr::new(192, 0, 2, last))))
}

fn srv(of: &str, port: u16, target: &str) -> (Name, RData) {
    (name(of), RData::SRV(SRV::new(0, 0, port, name(target))))
}

/// Answers questions on loopback until the test ends.
async fn serve(zone: Zone) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.expect("received");
            let request = Message::from_vec(&buffer[..length]).expect("a question");
            let question = request.queries[0].clone();
            let mut answer = Message::response(request.metadata.id, request.metadata.op_code);
            answer.add_query(question.clone());
            let zone = zone.lock().expect("not poisoned").clone();
            let known = zone.iter().any(|(of, _)| of == question.name());
            for (of, data) in zone {
                if of == *question.name() && data.record_type() == question.query_type() {
                    answer.add_answer(Record::from_rdata(of, 5, data));
                }
            }
            if !known {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            socket.send_to(&answer.to_vec().expect("encodes"), from).await.expect("sent");
        }
    });
    address
}

async fn discovery(zone: &Zone, places: &[&str]) -> Discovery {
    let server = serve(Arc::clone(zone)).await;
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let servers = vec![NameServerConfig::new(server.ip(), true, vec![connection])];
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let resolver = Discovery::tuned(builder).build().expect("a resolver");
    let places = places.iter().map(|place| place.parse().expect("a place")).collect();
    Discovery { places, resolver: Some(resolver) }
}

#[tokio::test]
async fn names_give_every_address_and_srv_records_give_ports_too() {
    let zone: Zone = Arc::default();
    zone.lock().expect("not poisoned").extend([
        a("nodes.example.", 2),
        a("nodes.example.", 1),
        (name("nodes.example."), RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
        srv("_peer._tcp.nodes.example.", 7102, "n2.example."),
        srv("_peer._tcp.nodes.example.", 7101, "n1.example."),
        srv("_peer._tcp.nodes.example.", 7103, "gone.example."),
        a("n1.example.", 11),
        a("n2.example.", 12),
    ]);
    let places = [
        "10.0.0.9:7072",
        "dns:nodes.example:7072",
        "srv:_peer._tcp.nodes.example",
        "10.0.0.9:7072",
    ];
    let found = discovery(&zone, &places).await.look().await;
    let expected = [
        "10.0.0.9:7072",
        "192.0.2.1:7072",
        "192.0.2.2:7072",
        "[::1]:7072",
        "192.0.2.11:7101",
        "192.0.2.12:7102",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn nodes_that_come_and_go_are_noticed_and_a_silent_name_server_changes_nothing() {
    let zone: Zone = Arc::default();
    let discovery = discovery(&zone, &["dns:nodes.example:7072"]).await;
    assert!(discovery.look().await.is_empty(), "nobody is there yet");
    let (sender, mut seen) = watch::channel(Vec::new());
    let run = tokio::spawn(discovery.run(sender));
    let set = |records: Vec<(Name, RData)>| *zone.lock().expect("not poisoned") = records;
    set(vec![a("nodes.example.", 1)]);
    seen.wait_for(|found| *found == ["192.0.2.1:7072"]).await.expect("noticed");
    set(vec![a("nodes.example.", 2), a("nodes.example.", 3)]);
    seen.wait_for(|found| *found == ["192.0.2.2:7072", "192.0.2.3:7072"]).await.expect("noticed");
    set(Vec::new());
    seen.mark_unchanged();
    let changed = tokio::time::timeout(2 * INTERVAL, seen.changed()).await;
    changed.expect_err("what was found is kept");
    run.abort();
}

#[test]
fn places_that_nobody_can_mean_are_refused() {
    let sound = ["a:1", "[::1]:7072", "10.0.0.1:7072", "dns:name.svc:7072", "srv:_peer._tcp.name"];
    for text in sound {
        text.parse::<Place>().expect(text);
    }
    let wrong = [
        "",
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a b:1",
        "http://a:1",
        "a:1/x",
        "::1:7072",
        "dns:a",
        "dns:[::1]:7072",
        "srv:name",
        "srv:_peer._udp.name",
        "srv:_peer._tcp.name:7072",
        "u@a:1",
    ];
    for text in wrong {
        let error = text.parse::<Place>().expect_err(text);
        assert!(error.contains("dns:name:port"), "{error}");
    }
}

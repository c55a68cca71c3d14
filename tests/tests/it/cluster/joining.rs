//! Who is let in, and who is not.

use callboard_tests::postgres::Postgres;

use super::{
    Fleet, WHOLE_AGAIN,
    fleet::{self, Member, SECRET},
};

/// Settings of a node that joins.
fn joining<'a>(peer: &'a str, secret: &'a str, store: &'a str) -> [(&'a str, &'a str); 3] {
    [("cluster.peers", peer), ("cluster.secret", secret), ("store.url", store)]
}

#[test]
fn a_second_node_on_sqlite_is_refused_with_what_to_do() {
    let peer = fleet::free();
    let settings = [("cluster.peers", peer.as_str()), ("cluster.secret", SECRET)];
    for store in ["", "sqlite:elsewhere"] {
        let output = Member::new().fails(&[&settings[..], &[("store.url", store)]].concat());
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("SQLite is one node's") && text.contains("postgres://"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fourth_node_joins_through_any_member_and_gets_its_share() {
    let mut fleet = Fleet::start(3).await;
    let _hosts = super::Hosts::start(&fleet.gateways()).await;
    let peer = fleet.member(1).peer().to_owned();
    let mut fourth = Member::new();
    let store = fleet.store().to_owned();
    fourth.spawn(&joining(&peer, SECRET, &store));
    tokio::task::block_in_place(|| fourth.serves());
    let _more = super::Hosts::start(&[fourth.gateway().to_owned()]).await;
    fleet::callboard(fourth.gateway(), &["cluster", "rebalance"]);
    fleet
        .until(WHOLE_AGAIN, "four nodes share the shards", |status| {
            let nodes = fleet::nodes(status);
            nodes.len() == 4 && nodes.iter().all(|node| node["shardsOwned"] == 16)
        })
        .await;
    assert_eq!(fourth.end("-TERM"), Some(0), "{}", fourth.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_a_foreign_secret_or_a_foreign_database_stay_outside() {
    let mut fleet = Fleet::start(3).await;
    let (peer, store) = (fleet.member(0).peer().to_owned(), fleet.store().to_owned());

    // It cannot know whether the right peers are still to come, so it waits and says why.
    let mut stranger = Member::new();
    let secret = "a secret of another cluster altogether";
    stranger.spawn(&joining(&peer, secret, &store));
    let seen = || stranger.log().contains("cluster.secret");
    let begun = callboard_types::Tick::now();
    while !seen() {
        let waited = callboard_types::Tick::now().micros_since(begun);
        assert!(waited < 60_000_000, "it never says why:\n{}", stranger.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(!stranger.log().contains(secret));
    stranger.end("-KILL");

    let database = tokio::task::spawn_blocking(|| Postgres::shared().database());
    let database = database.await.expect("a database");
    let output = Member::new().fails(&joining(&peer, SECRET, &database));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("does not have that cluster's name"), "{text}");

    let other = Fleet::start(1).await;
    let output = Member::new().fails(&joining(&peer, SECRET, other.store()));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("store"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_node_is_refused_while_the_node_goes_on() {
    let mut fleet = Fleet::start(3).await;
    let number = fleet.number(2);
    fleet.terminate(2);
    // As somebody does who copies a machine.
    let copy = Member::new();
    let from = fleet.member(2).data().join("control");
    crate::node::succeeds(std::process::Command::new("cp").arg("-a").arg(from).arg(copy.data()));
    fleet.start_again(2).await;
    fleet
        .until(WHOLE_AGAIN, "the node is back", |status| {
            fleet::node(status, number)["state"] == "up"
        })
        .await;
    let settings = fleet.settings();
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let output = tokio::task::block_in_place(|| copy.fails(&settings));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("old copy"), "{text}");
    fleet
        .until_at(2, "the node serves", |status| {
            fleet::node(status, number)["state"] == "up" && status["leaseHeld"] == true
        })
        .await;
}

//! What is refused when a store is opened, what several nodes do that open one at once, and what it says of itself.

use std::{net::TcpStream, os::fd::AsFd, time::Duration};

use callboard_statestore::{Error, ShardClaim, StateStore};
use callboard_statestore_sql::{PostgresOptions, SqlStore};
use callboard_types::Epoch;

use super::{Postgres, open, proxy::Proxy, server::sql};
use crate::{batch, claim, commit, revision, turn};

async fn refusal(url: &str) -> String {
    match SqlStore::open_postgres(PostgresOptions::new(url)).await {
        Err(Error::Refused(why)) => why,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Everything after the last slash.
fn name(url: &str) -> &str {
    url.rsplit('/').next().expect("a name")
}

#[tokio::test]
async fn weak_durability_is_refused_wherever_it_is_set() {
    let url = Postgres::shared().database();
    let database = name(&url);
    for value in ["off", "local", "remote_write"] {
        sql(&url, &format!("ALTER DATABASE {database} SET synchronous_commit = {value}"));
        let why = refusal(&url).await;
        assert!(why.contains(&format!("synchronous_commit={value}")), "{why}");
    }
    sql(&url, &format!("ALTER DATABASE {database} SET synchronous_commit = remote_apply"));
    SqlStore::open_postgres(PostgresOptions::new(&url)).await.expect("strong").close().await;
    // A role's settings count as well.
    sql(&url, &format!("ALTER DATABASE {database} RESET synchronous_commit"));
    sql(&url, "CREATE ROLE hasty LOGIN SUPERUSER PASSWORD 'hasty'");
    sql(&url, "ALTER ROLE hasty SET synchronous_commit = off");
    let hasty = url.replace("callboard:callboard", "hasty:hasty");
    assert!(refusal(&hasty).await.contains("synchronous_commit=off"));
}

/// These are settings of the whole server.
#[tokio::test]
async fn a_server_without_its_safety_net_is_refused() {
    let server = Postgres::start();
    let url = server.database();
    for (setting, weak, strong) in [("fsync", "off", "on"), ("full_page_writes", "off", "on")] {
        let set = |value: &str| {
            server.sql(&format!("ALTER SYSTEM SET {setting} = {value}"));
            server.sql("SELECT pg_reload_conf()");
            while server.sql(&format!("SHOW {setting}")) != value {}
        };
        set(weak);
        let why = refusal(&url).await;
        assert!(why.contains(&format!("{setting}={weak}")), "{why}");
        set(strong);
    }
    server.sql("ALTER SYSTEM SET data_sync_retry = on");
    server.halt();
    server.again();
    let why = refusal(&url).await;
    assert!(why.contains("data_sync_retry=on"), "{why}");
}

#[tokio::test]
async fn what_cannot_work_is_refused_by_name() {
    let url = Postgres::shared().database();
    let wrong = url.replace("callboard:callboard", "callboard:wrong");
    let why = refusal(&wrong).await;
    assert!(why.contains("password") && !why.contains("wrong"), "{why}");
    let absent = url.replace(name(&url), "absent");
    assert!(refusal(&absent).await.contains("absent"));
    assert!(refusal("mysql://localhost/x").await.contains("postgres://"));
    let latin = format!("{}_latin", name(&url));
    sql(&url, &format!("CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"));
    assert!(refusal(&url.replace(name(&url), &latin)).await.contains("LATIN1"));
    for options in [
        PostgresOptions { writers: 0, ..PostgresOptions::new(&url) },
        PostgresOptions { readers: 65, ..PostgresOptions::new(&url) },
        PostgresOptions { lease: Duration::from_millis(10), ..PostgresOptions::new(&url) },
    ] {
        assert!(!format!("{options:?}").contains("callboard:callboard"), "a password in a log");
        let refused = SqlStore::open_postgres(options).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    }
    // Nobody listens there.
    let (proxy, _) = Proxy::start(&url).await;
    let nobody = format!("postgres://a:b@127.0.0.1:{}/c", free_port(&proxy));
    let refused = SqlStore::open_postgres(PostgresOptions::new(nobody)).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

fn free_port(taken: &Proxy) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("bound").port();
    assert_ne!(port, taken.port());
    port
}

#[tokio::test]
async fn nodes_that_open_an_empty_database_at_once_all_find_it_ready() {
    let url = Postgres::shared().database();
    let opening = (0..5).map(|_| {
        let options = PostgresOptions::new(url.clone());
        tokio::spawn(SqlStore::open_postgres(options))
    });
    for (number, store) in (0..).zip(opening.collect::<Vec<_>>()) {
        let store = store.await.expect("task").expect("open");
        let shard = callboard_types::ShardId { number, ..claim().shard };
        store.claim(&[ShardClaim { shard, ..claim() }]).await.expect("claim");
        let mut one = turn(&format!("of-{number}"), 0, b"1");
        one.shard = number;
        commit(&store, vec![one]).await;
    }
    assert_eq!(sql(&url, "SELECT count(*) FROM actors"), "5");
    assert_eq!(sql(&url, "SELECT count(*) FROM seaql_migrations"), "2");
}

#[tokio::test]
async fn data_of_a_newer_release_is_refused_unless_it_says_that_this_one_will_do() {
    let url = Postgres::shared().database();
    let store = open(&url).await;
    commit(&store, vec![turn("a", 0, b"1")]).await;
    store.close().await;
    let set =
        |name, value| format!("UPDATE store_meta SET value = '{value}' WHERE name = '{name}'");
    sql(&url, &set("schema_version", 900));
    let store = open(&url).await;
    assert_eq!(revision(&store, "a").await, 1);
    store.close().await;
    sql(&url, &set("minimum_version", 899));
    let why = refusal(&url).await;
    assert!(why.contains("newer release") && why.contains("899"), "{why}");
    assert!(why.contains(name(&url)), "{why}");
}

#[tokio::test]
async fn the_store_belongs_to_the_cluster_that_named_it_first() {
    let url = Postgres::shared().database();
    let (first, second) = (open(&url).await, open(&url).await);
    assert_eq!(first.cluster_id().await.expect("read"), None);
    first.bind_cluster("ours").await.expect("record");
    second.bind_cluster("ours").await.expect("the same");
    let Err(Error::Refused(why)) = second.bind_cluster("theirs").await else {
        panic!("a foreign cluster took the store");
    };
    assert!(why.contains("ours") && why.contains("theirs"), "{why}");
    assert!(why.contains(name(&url)) && !why.contains("callboard:callboard"), "{why}");
    assert_eq!(second.cluster_id().await.expect("read").as_deref(), Some("ours"));
    // A refusal is an answer, not a failure of the store.
    commit(&second, vec![turn("a", 0, b"1")]).await;
}

#[tokio::test]
async fn the_highest_epoch_of_every_shard_can_be_listed() {
    let url = Postgres::shared().database();
    let (first, second) = (open(&url).await, open(&url).await);
    let of = |number, epoch| {
        let shard = callboard_types::ShardId { number, ..claim().shard };
        ShardClaim { shard, epoch: Epoch(epoch), ..claim() }
    };
    first.claim(&[of(1, 5), of(2, 900)]).await.expect("claim");
    second.claim(&[of(1, 7), of(2, 8)]).await.expect("claim");
    let mut epochs = first.highest_epochs().await.expect("list");
    epochs.sort_by_key(|(shard, _)| shard.number);
    let numbers: Vec<_> = epochs.iter().map(|(shard, epoch)| (shard.number, epoch.0)).collect();
    assert_eq!(numbers, [(0, 1), (1, 7), (2, 900)]);
}

/// Otherwise each turn would write every index of the table and leave an entry behind in each.
#[tokio::test]
async fn turns_write_no_index_of_the_actors_table() {
    let url = Postgres::shared().database();
    let store = open(&url).await;
    for previous in 0..200 {
        commit(&store, vec![turn("a", previous, b"1"), turn("b", previous, b"1")]).await;
    }
    store.close().await;
    let count = |what| {
        let query = format!("SELECT {what} FROM pg_stat_user_tables WHERE relname = 'actors'");
        sql(&url, &query).parse::<u64>().expect("a number")
    };
    // A session tells its counts when it ends at the latest.
    while count("n_tup_upd") < 398 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (updates, in_place) = (count("n_tup_upd"), count("n_tup_hot_upd"));
    assert!(in_place * 10 >= updates * 9, "{in_place} of {updates}");
}

/// Without it every commit of several packets waits 40 ms for an acknowledgement.
#[tokio::test]
async fn every_connection_sends_at_once() {
    // The proxy's port is nobody else's, so these are the store's own sockets.
    let (proxy, url) = Proxy::start(&Postgres::shared().database()).await;
    let store = open(&url).await;
    let options = PostgresOptions::new(url);
    let sockets = leading_to(proxy.port());
    assert_eq!(sockets.len(), options.writers + options.readers);
    assert!(sockets.iter().all(|socket| socket.nodelay().expect("open")));
    // Connections that are made later are no different.
    drop(sockets);
    proxy.cut_all();
    while store.commit(batch(vec![turn("a", 0, b"1")])).await.is_err() {}
    assert_eq!(revision(&store, "a").await, 1);
    let sockets = leading_to(proxy.port());
    assert!(!sockets.is_empty());
    assert!(sockets.iter().all(|socket| socket.nodelay().expect("open")));
}

/// This process's connections to a port.
fn leading_to(port: u16) -> Vec<TcpStream> {
    let files = std::fs::read_dir("/proc/self/fd").expect("listable");
    let numbers: Vec<i32> =
        files.flatten().filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
    let duplicate = |number: i32| {
        #[expect(unsafe_code, reason = "a test looks at sockets that the driver keeps to itself")]
        // SAFETY: only duplicated; a number that was closed in the meantime is refused by the system.
        let file = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        file.as_fd().try_clone_to_owned().ok().map(|file| (number, TcpStream::from(file)))
    };
    // All numbers are looked at before any is duplicated into one of them.
    let open: Vec<_> = numbers.into_iter().filter_map(duplicate).collect();
    let leads = |socket: &TcpStream| socket.peer_addr().is_ok_and(|peer| peer.port() == port);
    let mut seen = std::collections::HashSet::new();
    open.into_iter()
        .map(|(_, socket)| socket)
        .filter(leads)
        .filter(|socket| seen.insert(socket.local_addr().ok()))
        .collect()
}

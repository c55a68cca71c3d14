//! What is refused when a store is opened, and what happens to a store that lost its data folder.

use std::{fs, os::unix::fs::FileExt, path::Path};

use callboard_statestore::{Error, StateStore};
use callboard_statestore_sql::{SqlStore, SqliteOptions};
use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

use super::{batch, commit, open, revision, turn};

async fn refusal(options: SqliteOptions) -> String {
    match SqlStore::open_sqlite(options).await {
        Err(Error::Refused(why)) => why,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

async fn change(folder: &Path, sql: &str) {
    let address = format!("sqlite:{}", folder.join("store.db").display());
    let database = Database::connect(address).await.expect("connect");
    database.execute_unprepared(sql).await.expect("change");
    database.close().await.expect("close");
}

#[tokio::test]
async fn a_folder_in_use_is_refused_by_name_and_free_after_closing() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let why = refusal(SqliteOptions::new(folder.path())).await;
    assert!(why.contains(&folder.path().display().to_string()), "{why}");
    assert!(why.contains(&std::process::id().to_string()), "{why}");
    store.close().await;
    let again = open(folder.path()).await;
    commit(&again, vec![turn("a", 0, b"1")]).await;
    let Err(Error::Unavailable(_)) = store.commit(batch(vec![turn("a", 1, b"2")])).await else {
        panic!("a closed store took a commit");
    };
}

#[tokio::test]
async fn a_store_whose_lock_was_removed_commits_nothing_more() {
    let folder = TempDir::new().expect("a folder");
    let first = open(folder.path()).await;
    commit(&first, vec![turn("a", 0, b"1")]).await;
    fs::remove_file(folder.path().join("LOCK")).expect("remove");
    let second = open(folder.path()).await;
    // One row that exists takes another path than a batch; both must fail, and for good.
    let Err(Error::Fatal(why)) = first.commit(batch(vec![turn("a", 1, b"zombie")])).await else {
        panic!("a store that lost its folder committed");
    };
    assert!(why.contains("another process"), "{why}");
    let turns = vec![turn("b", 0, b"zombie"), turn("c", 0, b"zombie")];
    assert!(matches!(first.commit(batch(turns)).await, Err(Error::Fatal(_))));
    assert!(matches!(first.expire().await, Err(Error::Fatal(_))));
    commit(&second, vec![turn("a", 1, b"2")]).await;
    assert_eq!(revision(&second, "b").await, 0);
}

#[tokio::test]
async fn weak_durability_is_refused_wherever_it_is_set() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().display();
    for (setting, name) in [
        ("synchronous=normal", "synchronous"),
        ("synchronous=OFF", "synchronous"),
        ("synchronous=1", "synchronous"),
        ("journal_mode=delete", "journal_mode"),
        ("journal_mode=memory", "journal_mode"),
        ("page_size=1000", "page_size"),
    ] {
        let options = SqliteOptions::from_url(&format!("sqlite:{path}?{setting}"));
        let why = refusal(options.expect("readable")).await;
        assert!(why.contains(name), "{why}");
    }
    for url in ["postgres://x", "sqlite:", "sqlite:x?mmap=1", "sqlite:x?page_size=big"] {
        assert!(matches!(SqliteOptions::from_url(url), Err(Error::Refused(_))), "{url}");
    }
    let strong = format!("sqlite://{path}?synchronous=extra&journal_mode=WAL&page_size=8192");
    let strong = SqliteOptions::from_url(&strong).expect("readable");
    let store = SqlStore::open_sqlite(strong).await.expect("open");
    store.close().await;
}

#[tokio::test]
async fn data_of_a_newer_release_is_refused_unless_it_says_that_this_one_will_do() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    commit(&store, vec![turn("a", 0, b"1")]).await;
    store.close().await;
    let set = |name: &str, value: i64| {
        format!("UPDATE store_meta SET value = '{value}' WHERE name = '{name}'")
    };
    change(folder.path(), &set("schema_version", 900)).await;
    // A newer release has also recorded a step that this one does not know.
    let step =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000001_later', 0)";
    change(folder.path(), step).await;
    let store = open(folder.path()).await;
    assert_eq!(revision(&store, "a").await, 1);
    store.close().await;
    change(folder.path(), &set("minimum_version", 899)).await;
    let why = refusal(SqliteOptions::new(folder.path())).await;
    assert!(why.contains("newer release") && why.contains("899"), "{why}");
    // Refusing has changed nothing: the newer release still finds its data.
    change(folder.path(), &set("minimum_version", 1)).await;
    let store = open(folder.path()).await;
    assert_eq!(revision(&store, "a").await, 1);
}

#[tokio::test]
async fn a_folder_belongs_to_the_cluster_that_named_it_first() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    assert_eq!(store.cluster_id().await.expect("read"), None);
    store.bind_cluster("ours").await.expect("record");
    store.close().await;
    let store = open(folder.path()).await;
    assert_eq!(store.cluster_id().await.expect("read").as_deref(), Some("ours"));
    store.bind_cluster("ours").await.expect("the same");
    let Err(Error::Refused(why)) = store.bind_cluster("theirs").await else {
        panic!("a foreign cluster took the folder");
    };
    assert!(why.contains("ours") && why.contains("theirs"), "{why}");
    let epochs = store.highest_epochs().await.expect("list");
    assert_eq!(epochs, [(super::claim().shard, super::claim().epoch)]);
    commit(&store, vec![turn("a", 0, b"1")]).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("store.db");
    fs::write(&file, "my thesis, only copy").expect("write");
    let why = refusal(SqliteOptions::new(folder.path())).await;
    assert!(why.contains("not a Callboard database"), "{why}");
    assert_eq!(fs::read(&file).expect("read"), b"my thesis, only copy");
}

#[tokio::test]
async fn a_damaged_database_ends_the_store_instead_of_starting_blank() {
    let folder = TempDir::new().expect("a folder");
    let store = open(folder.path()).await;
    let keys: Vec<String> = (0..500).map(|n| format!("actor-{n}")).collect();
    commit(&store, keys.iter().map(|key| turn(key, 0, &[7; 500])).collect()).await;
    store.close().await;
    let file = fs::OpenOptions::new().write(true).open(folder.path().join("store.db"));
    let file = file.expect("open the file");
    let size = file.metadata().expect("size").len();
    // Past the pages of the schema and the small tables, where actors are.
    let start = size - 150_000;
    file.write_all_at(&vec![0xa5; 140_000], start).expect("damage");
    let outcome = match SqlStore::open_sqlite(SqliteOptions::new(folder.path())).await {
        Err(error) => Err(error),
        Ok(store) => {
            let ids: Vec<_> = keys.iter().map(|key| super::id(key)).collect();
            let rows = store.load(&ids).await;
            // Once damage was seen, commits are refused as well.
            let later = store.commit(batch(vec![turn("new", 0, b"1")])).await;
            assert!(matches!(later, Err(Error::Fatal(_))), "{later:?}");
            rows.map(|_| ())
        }
    };
    assert!(matches!(outcome, Err(Error::Fatal(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_refused_by_name() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("write");
    let why = refusal(SqliteOptions::new(file.join("data"))).await;
    assert!(why.contains("file/data"), "{why}");
    // Nested folders are made, also with characters that mean something in an address.
    let odd = folder.path().join("a b/%41?x=1#y");
    let store = open(&odd).await;
    commit(&store, vec![turn("a", 0, b"1")]).await;
    assert!(odd.join("store.db").is_file());
}

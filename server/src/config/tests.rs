//! What the layers make of settings, and which settings are refused.

use super::*;

fn env(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let folder = std::env::temp_dir().join(format!("callboard-config-{}", std::process::id()));
    std::fs::write(&folder, "[node]\nworkers = 2\ndrain_ms = 5\nhost_ping_ms = 7\n")
        .expect("write");
    let env = [
        ("CALLBOARD__NODE__WORKERS".to_owned(), "3".to_owned()),
        ("CALLBOARD__NODE__DRAIN_MS".to_owned(), "6".to_owned()),
    ];
    let loaded = load(Some(&folder), env, &[("node.workers", "4".to_owned())]).expect("loads");
    std::fs::remove_file(&folder).expect("remove");
    let node = loaded.config.node;
    assert_eq!((node.workers, node.drain_ms, node.host_ping_ms), (4, 6, 7));
    assert_eq!(loaded.origins["node.workers"], Origin::Flag);
    assert_eq!(loaded.origins["node.data"], Origin::Default);
}

#[test]
fn a_misspelt_setting_is_an_error_that_names_the_right_one() {
    let error = load(None, env("CALLBOARD__NODE__WORKRES", "3"), &[]).expect_err("unknown");
    assert!(error.to_string().contains("did you mean node.workers?"), "{error}");
}

#[test]
fn listening_beyond_loopback_needs_to_be_said() {
    let flags = [("listen.gateway", "0.0.0.0:7070".to_owned())];
    let error = load(None, [], &flags).expect_err("refused");
    assert!(error.to_string().contains("--insecure"), "{error}");
    let flags = [flags[0].clone(), ("listen.insecure", "true".to_owned())];
    load(None, [], &flags).expect("allowed");
}

#[test]
fn a_number_that_is_none_is_refused_with_its_origin() {
    let error = load(None, env("CALLBOARD__NODE__WORKERS", "many"), &[]).expect_err("refused");
    assert!(error.to_string().contains("CALLBOARD__NODE__WORKERS"), "{error}");
}

const SECRET: &str = "cluster.secret";

fn clustered(more: &[(&str, &str)]) -> Result<Loaded, Error> {
    let base = [
        (SECRET, "0123456789abcdef"),
        ("cluster.peers", "10.0.0.1:7072, dns:nodes.example:7072,srv:_peer._tcp.example"),
        ("store.url", "postgres://callboard:hunter2@db:5432/callboard?password=hunter3"),
    ];
    let mut flags: Vec<(&str, String)> =
        base.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    flags.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
    load(None, [], &flags)
}

#[test]
fn a_cluster_with_peers_a_secret_and_a_shared_store_is_fine_and_shows_no_secret() {
    let loaded = clustered(&[]).expect("fine");
    assert_eq!(loaded.config.cluster.peers.len(), 3);
    assert!(loaded.config.is_clustered());
    let printed = toml::to_string_pretty(&loaded.config).expect("printable");
    for text in [printed, format!("{loaded:?}")] {
        for secret in ["0123456789abcdef", "hunter2", "hunter3"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("callboard:redacted@db:5432/callboard"), "{text}");
    }
}

#[test]
fn a_list_is_written_with_commas_or_as_in_a_file() {
    for text in ["a:1, b:2", "[\"a:1\", 'b:2']"] {
        let loaded = clustered(&[("cluster.peers", text)]).expect(text);
        assert_eq!(loaded.config.cluster.peers, ["a:1", "b:2"], "{text}");
    }
    for text in ["[a:1]", "[1, 2", "[[\"a:1\"]]"] {
        clustered(&[("cluster.peers", text)]).expect_err(text);
    }
}

#[test]
fn what_no_cluster_can_run_with_is_refused_with_what_to_do() {
    let refused: [(&[(&str, &str)], &str); 9] = [
        (&[(SECRET, "")], "openssl rand"),
        (&[(SECRET, "short")], "could be guessed"),
        (&[("cluster.secret_file", "elsewhere")], "one of them must go"),
        (&[("store.url", "")], "SQLite is one node's"),
        (&[("store.url", "sqlite:folder"), ("cluster.bootstrap_expect", "3")], "SQLite"),
        (&[("cluster.lease_ms", "1500")], "make the lease longer"),
        (&[("cluster.election_min_ms", "100")], "late heartbeat"),
        (&[("cluster.peers", "just-a-name")], "host:port"),
        (&[("listen.advertise_peer", "0.0.0.0")], "host:port"),
    ];
    for (flags, expected) in refused {
        let error = clustered(flags).expect_err("refused").to_string();
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
}

#[test]
fn a_secret_that_everybody_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, "  0123456789abcdef0123456789abcdef\n").expect("written");
    let set = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    let file = path.display().to_string();
    let flags: &[(&str, &str)] = &[(SECRET, ""), ("cluster.secret_file", &file)];
    set(0o644);
    let error = clustered(flags).expect_err("refused");
    assert!(error.to_string().contains("chmod o-rwx"), "{error}");
    set(0o600);
    let loaded = clustered(flags).expect("private");
    let secret = loaded.config.cluster.read_secret().expect("readable");
    assert_eq!(secret, "0123456789abcdef0123456789abcdef");

    std::fs::write(&path, "[cluster]\nsecret = \"0123456789abcdef\"\n").expect("written");
    set(0o644);
    let error = load(Some(&path), [], &[]).expect_err("refused");
    assert!(error.to_string().contains("chmod o-rwx"), "{error}");
}

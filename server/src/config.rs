//! A node's settings, in layers: flags over environment over file over defaults. Checked before anything is bound.
//!
//! Environment names are `CALLBOARD__SECTION__KEY`, for example `CALLBOARD__LISTEN__GATEWAY`. An unknown key is an error
//! in every layer, so that a misspelt setting never silently means its default.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// What environment variables begin with.
pub const ENV_PREFIX: &str = "CALLBOARD__";

/// Settings of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Config {
    /// The node itself.
    pub node: NodeConfig,
    /// Where it listens.
    pub listen: ListenConfig,
    /// Where actors are kept.
    pub store: StoreConfig,
    /// What it writes to the log.
    pub log: LogConfig,
}

/// The node itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// The data folder; created if it is missing. One node at a time holds it.
    pub data: PathBuf,
    /// Shard workers, 1 to 256; 0 means one per core but one, at least one.
    pub workers: usize,
    /// How often a host is asked for a sign of life, in milliseconds; it is cut off after two that stay unanswered.
    pub host_ping_ms: u64,
    /// How long the node may take to end its calls after SIGTERM, in milliseconds.
    pub drain_ms: u64,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// Callers and hosts. Port 0 means any free one.
    pub gateway: SocketAddr,
    /// Health and metrics over HTTP. Port 0 means any free one.
    pub admin: SocketAddr,
    /// host:port under which others reach the gateway; empty for the address that it listens on.
    pub advertise: String,
    /// True to listen beyond loopback although nobody is asked who they are.
    pub insecure: bool,
    /// Connections open at a time.
    pub connections_max: usize,
    /// Connections open at a time from one IP address.
    pub connections_per_ip_max: usize,
}

/// Where actors are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct StoreConfig {
    /// `sqlite:FOLDER?setting=value`; empty for SQLite in the data folder.
    pub url: String,
}

/// What a node writes to the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Levels per module, for example `info,callboard_data_plane=debug`.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            data: PathBuf::from("callboard-data"),
            workers: 0,
            host_ping_ms: 10_000,
            drain_ms: 20_000,
        }
    }
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            gateway: SocketAddr::from(([127, 0, 0, 1], 7070)),
            admin: SocketAddr::from(([127, 0, 0, 1], 7071)),
            advertise: String::new(),
            insecure: false,
            connections_max: 16_384,
            connections_per_ip_max: 4_096,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// Which layer a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Settings with the origin of each.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Per key (`listen.gateway`), where it comes from.
    pub origins: BTreeMap<String, Origin>,
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// A layer has a key that no setting has.
    #[error("{origin}: there is no setting {key}{hint}")]
    Unknown {
        /// The layer.
        origin: Origin,
        /// The key.
        key: String,
        /// "; did you mean ...?", or nothing.
        hint: String,
    },
    /// A value does not fit its setting.
    #[error("the settings cannot be used: {0}")]
    Invalid(String),
}

/// Puts the layers together. `env` is the process's environment, `flags` are (key, value) as the command line gives
/// them.
///
/// # Errors
/// The first thing that is wrong, with the layer that says it.
pub fn load(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: &[(&str, String)],
) -> Result<Loaded, Error> {
    let defaults =
        Table::try_from(Config::default()).map_err(|error| Error::Invalid(error.to_string()))?;
    let mut layers = Layers { values: flatten(&defaults), origins: BTreeMap::new() };
    layers.origins = layers.values.keys().map(|key| (key.clone(), Origin::Default)).collect();
    if let Some(path) = file {
        let wrong = |error: String| Error::File { path: path.to_owned(), error };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let table: Table =
            text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
        for (key, value) in flatten(&table) {
            layers.set(&key, value, Origin::File(path.to_owned()))?;
        }
    }
    for (name, value) in env {
        if let Some(key) = name.strip_prefix(ENV_PREFIX) {
            let key = key.to_lowercase().replace("__", ".");
            layers.set_text(&key, &value, Origin::Env(name.clone()))?;
        }
    }
    for (key, value) in flags {
        layers.set_text(key, value, Origin::Flag)?;
    }
    layers.finish()
}

struct Layers {
    values: BTreeMap<String, Value>,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    fn set(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), Error> {
        let Some(known) = self.values.get_mut(key) else {
            let hint = nearest(key, self.values.keys())
                .map(|name| format!("; did you mean {name}?"))
                .unwrap_or_default();
            return Err(Error::Unknown { origin, key: key.to_owned(), hint });
        };
        *known = value;
        self.origins.insert(key.to_owned(), origin);
        Ok(())
    }

    /// Sets a value that came as text: it is read as what the setting's default is.
    fn set_text(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), Error> {
        let wrong = |what: &str| Error::Invalid(format!("{origin}: {key} must be {what}"));
        let value = match self.values.get(key) {
            Some(Value::Integer(_)) => Value::Integer(text.parse().map_err(|_| wrong("a number"))?),
            Some(Value::Boolean(_)) => {
                Value::Boolean(text.parse().map_err(|_| wrong("true or false"))?)
            }
            _ => Value::String(text.to_owned()),
        };
        self.set(key, value, origin)
    }

    fn finish(self) -> Result<Loaded, Error> {
        let mut table = Table::new();
        for (key, value) in self.values {
            let (section, name) = key.split_once('.').expect("every setting is in a section");
            let section = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()))
                .as_table_mut()
                .expect("sections are tables");
            section.insert(name.to_owned(), value);
        }
        let config: Config =
            table.try_into().map_err(|error: toml::de::Error| Error::Invalid(error.to_string()))?;
        config.check()?;
        Ok(Loaded { config, origins: self.origins })
    }
}

impl Config {
    /// The settings of `callboard dev`: loopback, a data folder.
    #[must_use]
    pub fn dev(data: impl Into<PathBuf>, gateway_port: u16, admin_port: u16) -> Self {
        let mut config = Self::default();
        config.node.data = data.into();
        config.listen.gateway.set_port(gateway_port);
        config.listen.admin.set_port(admin_port);
        config
    }

    /// Checks what the types of the settings cannot say.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the rule.
    pub fn check(&self) -> Result<(), Error> {
        let listen = &self.listen;
        for address in [listen.gateway, listen.admin] {
            if !address.ip().is_loopback() && !listen.insecure {
                return Err(Error::Invalid(format!(
                    "{address} can be reached from other machines, and this node asks nobody who they \
                     are. Listen on loopback, or say --insecure if the network is closed"
                )));
            }
        }
        if self.node.workers > 256 {
            return Err(Error::Invalid("node.workers must be 0 to 256".to_owned()));
        }
        if self.node.host_ping_ms == 0 {
            return Err(Error::Invalid("node.host_ping_ms must be at least 1".to_owned()));
        }
        Ok(())
    }

    /// How many shard workers there are.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        match self.node.workers {
            0 => (cores - 1).clamp(1, 256),
            given => given,
        }
    }
}

fn flatten(table: &Table) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    for (section, value) in table {
        match value.as_table() {
            Some(fields) => {
                for (name, value) in fields {
                    flat.insert(format!("{section}.{name}"), value.clone());
                }
            }
            None => drop(flat.insert(section.clone(), value.clone())),
        }
    }
    flat
}

/// The name that shares most letters with `key`, if it is near enough to be meant.
fn nearest<'a>(key: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let distance = |name: &&String| edit_distance(key, name);
    names.min_by_key(distance).filter(|name| edit_distance(key, name) <= key.len() / 3)
}

/// Levenshtein's distance between two short names.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (above + 1).min(row[j] + 1).min(corner + usize::from(x != *y));
            corner = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
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
}

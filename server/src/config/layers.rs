//! How settings are put together from their layers.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{Config, cluster};

/// What environment variables begin with.
pub const ENV_PREFIX: &str = "CALLBOARD__";

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
            if key == "cluster.secret" {
                cluster::check_private(path, "a configuration file that holds cluster.secret")?;
            }
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
            Some(Value::Array(_)) => list(text).ok_or_else(|| wrong("a,b,c or [\"a\", \"b\"]"))?,
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

/// Reads a list: as a file writes it, or with commas.
fn list(text: &str) -> Option<Value> {
    if text.trim_start().starts_with('[') {
        let table: Table = format!("list = {text}").parse().ok()?;
        return table.get("list").filter(|value| value.is_array()).cloned();
    }
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
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

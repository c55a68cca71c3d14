//! `callboard config view`.

use std::path::PathBuf;

use callboard_server::config::{Config, Loaded};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::{
    args::Global,
    commands::config,
    failure::{Exit, Failure},
    output::{Format, Noun},
};

/// Which settings to print, and how.
#[derive(Args)]
pub(crate) struct ViewArgs {
    /// The configuration file to read, as for `callboard serve`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Say for each setting where its value comes from
    #[arg(long)]
    origin: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Setting {
    key: String,
    value: Value,
    origin: String,
}

impl Noun for Setting {
    const KIND: &'static str = "Setting";
    const COLUMNS: &'static [&'static str] = &["SETTING", "VALUE", "ORIGIN"];

    fn cells(&self) -> Vec<String> {
        vec![self.key.clone(), self.value.to_string(), self.origin.clone()]
    }

    fn name(&self) -> String {
        self.key.clone()
    }
}

// === impl ViewArgs ===

impl ViewArgs {
    /// Prints the settings: as a configuration file for people, as a list where asked for.
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let loaded = config::load(self.config.as_deref(), &[])?;
        let mut printer = global.printer();
        if global.output == Format::Table && !self.origin {
            return Ok(printer.text(&as_file(&loaded.config)?)?);
        }
        Ok(printer.list(&settings(&loaded)?, false)?)
    }
}

fn as_file(config: &Config) -> Result<String, Failure> {
    toml::to_string_pretty(config).map_err(|error| unprintable(&error))
}

fn settings(loaded: &Loaded) -> Result<Vec<Setting>, Failure> {
    let values = serde_json::to_value(&loaded.config).map_err(|error| unprintable(&error))?;
    let settings = loaded.origins.iter().map(|(key, origin)| Setting {
        key: key.clone(),
        value: key.split('.').fold(values.clone(), |value, part| value[part].clone()),
        origin: origin.to_string(),
    });
    Ok(settings.collect())
}

fn unprintable(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Other, "CONFIG", format!("the settings cannot be printed: {error}"))
}

#[cfg(test)]
mod tests {
    use callboard_server::config;

    use super::*;

    #[test]
    fn every_setting_is_listed_with_its_value_and_origin() {
        let flags = [("node.workers", "3".to_owned())];
        let loaded = config::load(None, [], &flags).expect("the defaults are sound");
        let settings = settings(&loaded).expect("settings are printable");
        let workers = settings.iter().find(|setting| setting.key == "node.workers");
        let workers = workers.expect("the setting is listed");
        assert_eq!((&workers.value, workers.origin.as_str()), (&Value::from(3), "flag"));
        assert!(settings.iter().all(|setting| !setting.value.is_null()));
    }

    #[test]
    fn what_is_printed_is_a_configuration_file() {
        let config = Config::dev("elsewhere", 1, 2);
        let read = toml::from_str::<Config>(&as_file(&config).expect("settings are printable"));
        assert_eq!(read.ok(), Some(config));
    }
}

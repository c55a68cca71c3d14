//! How a SQLite store is opened.

use std::{path::PathBuf, time::Duration};

use callboard_statestore::Error;
use callboard_types::limits;

/// Where a SQLite store lives and how it uses memory and disk. The owner of the node's configuration fills it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The data folder. Created if it is missing; one process at a time holds it.
    pub folder: PathBuf,
    /// How long outcomes are kept, counted from a call's creation. Sets how much of them is dropped at a time.
    pub outcome_window: Duration,
    /// Size of a database page in bytes; only counts when the data folder is new.
    pub page_size: u32,
    /// Page cache of the writing connection, in KiB. The two reading ones take a quarter of it each.
    pub cache_kib: u32,
    /// Size of the write-ahead log, in bytes, above which commits pause for the end of a checkpoint.
    pub wal_limit: u64,
    /// Largest size of the database in pages; 0 for as much as the disk holds. A full database refuses commits as a
    /// full disk does.
    pub max_pages: u32,
    /// `journal_mode` that the user asked for. Anything but `wal` is refused.
    pub journal_mode: String,
    /// `synchronous` that the user asked for. Anything weaker than `full` is refused.
    pub synchronous: String,
}

impl SqliteOptions {
    /// The defaults, for a data folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let window = u64::try_from(limits::OUTCOME_WINDOW_MS).unwrap_or(u64::MAX);
        Self {
            folder: folder.into(),
            outcome_window: Duration::from_millis(window),
            page_size: 4_096,
            cache_kib: 32 * 1_024,
            wal_limit: 64 * 1_024 * 1_024,
            max_pages: 0,
            journal_mode: "wal".to_owned(),
            synchronous: "full".to_owned(),
        }
    }

    /// Reads `sqlite:FOLDER?setting=value&...`. Settings: `page_size`, `cache_kib`, `max_pages`, `journal_mode`,
    /// `synchronous`.
    ///
    /// # Errors
    /// [`Error::Refused`] names what is wrong. Weak durability is refused when the store is opened.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let refused = |why: String| Err(Error::Refused(why));
        let Some(rest) = url.strip_prefix("sqlite:") else {
            return refused(format!("\"{url}\" does not start with \"sqlite:\""));
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (folder, settings) = rest.split_once('?').unwrap_or((rest, ""));
        if folder.is_empty() {
            return refused(format!("\"{url}\" names no data folder"));
        }
        let mut options = Self::new(folder);
        for setting in settings.split('&').filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            let number = || {
                let wrong = |_| Error::Refused(format!("\"{value}\" is not a number for {name}"));
                value.parse::<u32>().map_err(wrong)
            };
            match name {
                "page_size" => options.page_size = number()?,
                "cache_kib" => options.cache_kib = number()?,
                "max_pages" => options.max_pages = number()?,
                "journal_mode" => value.clone_into(&mut options.journal_mode),
                "synchronous" => value.clone_into(&mut options.synchronous),
                _ => {
                    return refused(format!(
                        "\"{name}\" is not a setting of a SQLite store; there are page_size, cache_kib, \
                         max_pages, journal_mode and synchronous"
                    ));
                }
            }
        }
        Ok(options)
    }

    /// Refuses settings that would lose acknowledged commits with the power.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.journal_mode.eq_ignore_ascii_case("wal") {
            return Err(Error::Refused(format!(
                "journal_mode={} is not supported: the store needs wal. Remove the setting",
                self.journal_mode
            )));
        }
        let synchronous = self.synchronous.to_ascii_lowercase();
        if !["full", "2", "extra", "3"].contains(&synchronous.as_str()) {
            return Err(Error::Refused(format!(
                "synchronous={} would lose acknowledged actions with the power: the store needs full or extra. \
                 Remove the setting",
                self.synchronous
            )));
        }
        let page_fits =
            self.page_size.is_power_of_two() && (512..=65_536).contains(&self.page_size);
        if !page_fits {
            return Err(Error::Refused(format!(
                "page_size={} is not a power of two between 512 and 65536",
                self.page_size
            )));
        }
        Ok(())
    }
}

//! What commands print: one value, or a list of them, in the format that the user chose.
//!
//! Data goes to stdout and nothing else does; talk goes to stderr through [`Talk`]. The JSON shapes are a contract:
//! every document carries [`API_VERSION`], fields are only ever added within one version, and snapshot tests hold
//! them still. The table is for people and may change at any time.

use std::io::{self, IsTerminal as _, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;

/// The version of the JSON contract.
pub(crate) const API_VERSION: &str = "callboard.io/cli/v1";

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people; not a contract.
    #[default]
    Table,
    /// One indented JSON document.
    Json,
    /// One JSON document per line and item.
    Jsonl,
    /// Only names, one per line, in the form that other commands take.
    Name,
}

/// When colour is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether talk on stderr may carry colour.
    pub(crate) fn on_stderr(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !no_color && io::stderr().is_terminal()
            }
        }
    }
}

/// Something that a command shows.
pub(crate) trait Noun: Serialize {
    /// The `kind` of its JSON document.
    const KIND: &'static str;
    /// Headings of the table that lists it.
    const COLUMNS: &'static [&'static str];

    /// One text per column.
    fn cells(&self) -> Vec<String>;

    /// Its name, in the form that other commands take.
    fn name(&self) -> String;

    /// Writes it for people when it is shown alone.
    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows = Self::COLUMNS.iter().zip(self.cells());
        pairs(out, rows.map(|(label, text)| (label.to_lowercase(), text)))
    }
}

/// Writes `label  text` lines with the texts aligned.
pub(crate) fn pairs(
    out: &mut dyn Write,
    rows: impl IntoIterator<Item = (String, String)>,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (label, text) in rows {
        table.add_row([format!("{label}:"), text]);
    }
    write_table(out, &table)
}

/// Writes a list as columns.
pub(crate) fn columns<'a>(
    out: &mut dyn Write,
    headings: &[&str],
    rows: impl IntoIterator<Item = Vec<String>> + 'a,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().map(ToString::to_string));
    table.add_rows(rows);
    write_table(out, &table)
}

/// comfy-table pads both sides of a cell; scripts and people both prefer lines that begin at the left edge.
fn write_table(out: &mut dyn Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.strip_prefix(' ').unwrap_or(&line).trim_end())?;
    }
    Ok(())
}

/// Writes data to stdout.
pub(crate) struct Printer<W> {
    format: Format,
    out: W,
}

// === impl Printer ===

impl<W: Write> Printer<W> {
    /// A printer that writes to `out`.
    pub(crate) fn new(format: Format, out: W) -> Self {
        Self { format, out }
    }

    /// Prints one value.
    pub(crate) fn one<T: Noun>(&mut self, item: &T) -> io::Result<()> {
        match self.format {
            Format::Table => item.describe(&mut self.out)?,
            Format::Json => self.document(T::KIND, item, true)?,
            Format::Jsonl => self.document(T::KIND, item, false)?,
            Format::Name => writeln!(self.out, "{}", item.name())?,
        }
        self.out.flush()
    }

    /// Prints a list. `truncated` says that there is more than `items`.
    pub(crate) fn list<T: Noun>(&mut self, items: &[T], truncated: bool) -> io::Result<()> {
        match self.format {
            Format::Table => columns(&mut self.out, T::COLUMNS, items.iter().map(Noun::cells))?,
            Format::Json => {
                let list = List { items, truncated };
                self.document(&format!("{}List", T::KIND), &list, true)?;
            }
            Format::Jsonl => {
                for item in items {
                    self.document(T::KIND, item, false)?;
                }
            }
            Format::Name => {
                for item in items {
                    writeln!(self.out, "{}", item.name())?;
                }
            }
        }
        self.out.flush()
    }

    /// Prints text as it is, whatever the format.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn document(&mut self, kind: &str, value: &impl Serialize, indented: bool) -> io::Result<()> {
        let document = Document { api_version: API_VERSION, kind, value };
        if indented {
            serde_json::to_writer_pretty(&mut self.out, &document)?;
        } else {
            serde_json::to_writer(&mut self.out, &document)?;
        }
        writeln!(self.out)
    }
}

/// A JSON document: the contract's two leading fields before those of `value`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a, T> {
    /// Always [`API_VERSION`].
    pub(crate) api_version: &'a str,
    /// What the document describes.
    pub(crate) kind: &'a str,
    /// The fields of its own.
    #[serde(flatten)]
    pub(crate) value: &'a T,
}

#[derive(Serialize)]
struct List<'a, T> {
    items: &'a [T],
    truncated: bool,
}

/// Talks to the person on stderr.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    /// How much: -1 only errors, 0 results and hints, 1 and more what is being done.
    pub(crate) level: i16,
}

// === impl Talk ===

impl Talk {
    /// Says something worth knowing; `-q` silences it.
    pub(crate) fn note(self, text: &str) {
        if self.level >= 0 {
            say(text);
        }
    }

    /// Says what is being done; only with `-v`.
    pub(crate) fn detail(self, text: &str) {
        if self.level >= 1 {
            say(text);
        }
    }
}

/// Writes a line to stderr. A closed stderr is nobody's problem.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A point in time for people; "-" for 0, which the protocol uses for "never".
pub(crate) fn time(unix_ms: i64) -> String {
    match u64::try_from(unix_ms) {
        Ok(ms) if ms > 0 => {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
            humantime::format_rfc3339_seconds(time).to_string()
        }
        _ => "-".into(),
    }
}

//! The history: every call, answer and fault of a run, one JSON object per line, by the clock of the process that made
//! the calls. What is written can be read and checked again.

use std::{
    fs::File,
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::Error;

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Nanoseconds since the run began.
    pub at_ns: u64,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A call was made for the first time.
    Call {
        /// Its number.
        call: u64,
        /// Who made it.
        client: u32,
        /// The actor, as type/key.
        actor: String,
        /// What was asked for.
        act: Act,
        /// True if the caller does not wait for the end.
        asynchronous: bool,
        /// Its request id.
        request: String,
    },
    /// It was answered for good.
    Answer {
        /// The call's number.
        call: u64,
        /// The node that answered.
        node: u8,
        /// How often it was sent until then.
        attempts: u32,
        /// What the answer was.
        reply: Reply,
    },
    /// The client no longer waits.
    GaveUp {
        /// The call's number.
        call: u64,
        /// The last thing that it was told.
        last: String,
    },
    /// A fault began.
    Fault {
        /// Its number.
        fault: u64,
        /// Its kind.
        kind: String,
        /// What it does to whom.
        what: String,
    },
    /// A fault ended.
    Healed {
        /// Its number.
        fault: u64,
        /// What became of it.
        what: String,
    },
    /// Anything else worth knowing.
    Note {
        /// In words.
        text: String,
    },
    /// The state of a ledger at the end.
    Ledger {
        /// Its key.
        key: String,
        /// Its total.
        total: u64,
        /// Its adds.
        entries: Vec<(u64, u32)>,
    },
    /// A schedule is asked for.
    Alarm {
        /// Its number, one of those of calls.
        alarm: u64,
        /// When its first occurrence is due, in milliseconds since 1970.
        starts_ms: i64,
        /// How far apart they are, in milliseconds; 0 for a single one.
        interval_ms: u64,
        /// How often it is to fire.
        firings: u32,
        /// What it is now, in milliseconds since 1970.
        now_ms: i64,
    },
    /// The schedule was made.
    AlarmMade {
        /// Its number.
        alarm: u64,
    },
    /// It is asked that the schedule be deleted.
    AlarmDeleting {
        /// Its number.
        alarm: u64,
    },
    /// The schedule was deleted.
    AlarmDeleted {
        /// Its number.
        alarm: u64,
        /// What it is now, in milliseconds since 1970.
        now_ms: i64,
    },
    /// What an actor that talks had at the end.
    Marks {
        /// The actor, as type/key.
        actor: String,
        /// The sum that it kept.
        total: u64,
        /// Cause, amount, number of the occurrence and time of each turn.
        marks: Vec<(u64, u32, u64, i64)>,
    },
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Add to a ledger; the call's number is the add's.
    Add {
        /// How much.
        amount: u32,
    },
    /// Read a ledger.
    Total,
    /// Read a register.
    Get,
    /// Set a register.
    Write {
        /// To what.
        value: u64,
    },
    /// Set a register if it has a value.
    Swap {
        /// That value.
        expected: u64,
        /// The new one.
        value: u64,
    },
    /// Count a call.
    Count,
    /// Tell others to add.
    Tell {
        /// How much.
        amount: u32,
        /// Whom.
        to: Vec<Told>,
    },
    /// Let others answer.
    Relay {
        /// How much each adds.
        amount: u32,
        /// The keys of all stations, the called one first.
        route: Vec<String>,
        /// True if each gets the reply of the one before, false if it gets the call's argument.
        pipe: bool,
    },
    /// Say something on a channel.
    Say {
        /// How much everybody adds who hears it.
        amount: u32,
    },
}

/// Somebody who is told to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The key.
    pub key: String,
    /// How long it waits, in milliseconds.
    pub delay_ms: u64,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The ledger as it is then.
    Receipt {
        /// How many adds.
        count: u64,
        /// Their sum.
        total: u64,
    },
    /// The register's value.
    Value {
        /// The value.
        value: u64,
    },
    /// The register was set.
    Written,
    /// Whether the register was set.
    Swapped {
        /// True if it was.
        swapped: bool,
    },
    /// The call was counted.
    Counted {
        /// The epoch of the turn.
        epoch: u64,
        /// The life that counted.
        life: u64,
        /// The count.
        count: u64,
    },
    /// The last station of a route answered.
    Relayed {
        /// Its key.
        at: String,
        /// How many marks it had.
        count: u64,
    },
    /// The call will be run.
    Accepted,
    /// The call was not run, and never will be.
    Refused {
        /// Why.
        reason: String,
    },
    /// The call may have been run, and nobody will say.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Where a run writes its history.
#[derive(Debug)]
pub struct Recorder {
    begun: Instant,
    sink: Mutex<Sink>,
}

#[derive(Debug)]
struct Sink {
    entries: Vec<Entry>,
    file: BufWriter<File>,
}

impl Recorder {
    /// Begins a history in a file. Its clock starts now.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(Error::io("making the history's file"))?;
        let sink = Sink { entries: Vec::new(), file: BufWriter::new(file) };
        Ok(Self { begun: super::now(), sink: Mutex::new(sink) })
    }

    /// Writes down what happens now.
    pub fn note(&self, event: Event) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // Stamped inside the lock, so that the file is in the order of time.
        let at_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let entry = Entry { at_ns, event };
        if let Ok(line) = serde_json::to_string(&entry) {
            // A full disk shows when the history is closed.
            let _ = writeln!(sink.file, "{line}");
        }
        sink.entries.push(entry);
    }

    /// Writes down something in words.
    pub fn say(&self, text: impl Into<String>) {
        self.note(Event::Note { text: text.into() });
    }

    /// The time since the history began, in seconds. For people.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Everything so far; the file is complete when this returns.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(&self) -> Result<Vec<Entry>, Error> {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.file.flush().map_err(Error::io("writing the history"))?;
        Ok(std::mem::take(&mut sink.entries))
    }
}

/// Reads a history.
///
/// # Errors
/// If there is none, or a line is not of a history.
pub fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let file = File::open(path).map_err(Error::io(format!("opening {}", path.display())))?;
    let mut entries = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(Error::io("reading the history"))?;
        let entry = serde_json::from_str(&line).map_err(|error| {
            Error::failed(format!("{}:{}: {error}", path.display(), number + 1))
        })?;
        entries.push(entry);
    }
    Ok(entries)
}

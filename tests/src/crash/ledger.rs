//! How a ledger is written: 8 bytes of total, then 12 bytes for each add, in the order in which they were applied.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::check::{Entry, Ledger, Receipt};

/// The actor type.
pub const TYPE: &str = "CrashLedger";
/// Appends an [`Entry`], answers a [`Receipt`].
pub const ADD: &str = "Add";
/// Answers a [`Receipt`], read-only.
pub const READ: &str = "Read";
/// How payloads and state are labelled.
pub const CONTENT_TYPE: &str = "application/x-callboard-ledger";

const ENTRY_BYTES: usize = 12;
const RECEIPT_BYTES: usize = 16;

/// Writes an add.
#[must_use]
pub fn encode_entry(entry: Entry) -> Bytes {
    let mut out = BytesMut::with_capacity(ENTRY_BYTES);
    put_entry(&mut out, entry);
    out.freeze()
}

/// Reads an add; `None` if it is none.
#[must_use]
pub fn decode_entry(mut bytes: &[u8]) -> Option<Entry> {
    (bytes.len() == ENTRY_BYTES).then(|| take_entry(&mut bytes))
}

/// Writes a receipt.
#[must_use]
pub fn encode_receipt(receipt: Receipt) -> Bytes {
    let mut out = BytesMut::with_capacity(RECEIPT_BYTES);
    out.put_u64_le(receipt.count);
    out.put_u64_le(receipt.total);
    out.freeze()
}

/// Reads a receipt; `None` if it is none.
#[must_use]
pub fn decode_receipt(mut bytes: &[u8]) -> Option<Receipt> {
    (bytes.len() == RECEIPT_BYTES)
        .then(|| Receipt { count: bytes.get_u64_le(), total: bytes.get_u64_le() })
}

/// The receipt for the whole of a ledger's state.
#[must_use]
pub fn receipt(mut state: &[u8]) -> Receipt {
    if state.is_empty() {
        return Receipt { count: 0, total: 0 };
    }
    let total = state.get_u64_le();
    Receipt { count: (state.len() / ENTRY_BYTES) as u64, total }
}

/// The state after an add. Never looks whether the add is there already: that it comes once is the server's promise.
#[must_use]
pub fn append(state: &[u8], entry: Entry) -> Bytes {
    let total = receipt(state).total + u64::from(entry.amount);
    let mut out = BytesMut::with_capacity(state.len().max(8) + ENTRY_BYTES);
    out.put_u64_le(total);
    out.extend_from_slice(state.get(8..).unwrap_or_default());
    put_entry(&mut out, entry);
    out.freeze()
}

/// Reads a ledger's state; `None` if it is torn.
#[must_use]
pub fn decode(mut state: &[u8]) -> Option<Ledger> {
    if state.is_empty() {
        return Some(Ledger::default());
    }
    let total = state.try_get_u64_le().ok()?;
    if !state.len().is_multiple_of(ENTRY_BYTES) {
        return None;
    }
    let mut entries = Vec::with_capacity(state.len() / ENTRY_BYTES);
    while state.has_remaining() {
        entries.push(take_entry(&mut state));
    }
    Some(Ledger { entries, total })
}

fn put_entry(out: &mut BytesMut, entry: Entry) {
    out.put_u64_le(entry.add);
    out.put_u32_le(entry.amount);
}

fn take_entry(bytes: &mut &[u8]) -> Entry {
    Entry { add: bytes.get_u64_le(), amount: bytes.get_u32_le() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_reads_back_as_it_was_written() {
        let first = Entry { add: 7, amount: 3 };
        let second = Entry { add: u64::MAX, amount: 9 };
        let state = append(&append(&[], first), second);
        let ledger = decode(&state).expect("it is whole");
        assert_eq!(ledger.entries, [first, second]);
        assert_eq!(ledger.total, 12);
        assert_eq!(receipt(&state), Receipt { count: 2, total: 12 });
        assert_eq!(decode(&state[..state.len() - 1]), None);
        assert_eq!(decode(&[]), Some(Ledger::default()));
    }

    #[test]
    fn messages_read_back_and_others_are_refused() {
        let entry = Entry { add: 1, amount: 2 };
        let receipt = Receipt { count: 3, total: 4 };
        assert_eq!(decode_entry(&encode_entry(entry)), Some(entry));
        assert_eq!(decode_receipt(&encode_receipt(receipt)), Some(receipt));
        assert_eq!(decode_entry(&encode_receipt(receipt)), None);
        assert_eq!(decode_receipt(&[]), None);
    }
}

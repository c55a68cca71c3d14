//! Unsigned numbers in databases that only have signed ones.

/// A counter as the database keeps it. No counter gets near the largest number; one that did would stay there.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Reads a counter.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// An id as the database keeps it: the same bits.
pub(crate) fn bits(id: u64) -> i64 {
    id.cast_signed()
}

/// The reverse of [`bits`].
pub(crate) fn id(bits: i64) -> u64 {
    bits.cast_unsigned()
}

//! Which shard a key belongs to. Frozen: stored data depends on it.

use std::{fmt, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

/// One slice of a type's keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId {
    /// The system.
    pub system: Arc<str>,
    /// The type.
    pub actor_type: Arc<str>,
    /// The shard's number, from 0.
    pub number: u32,
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}#{}", self.system, self.actor_type, self.number)
    }
}

/// The shard of a key among `count` shards: XXH3-64 of the key's bytes with seed 0, modulo the count.
///
/// # Panics
/// If `count` is 0; a type has at least one shard.
#[must_use]
pub fn shard_of(key: &str, count: u32) -> u32 {
    u32::try_from(key_hash(key) % u64::from(count)).expect("a remainder of a u32 fits a u32")
}

/// The hash behind [`shard_of`]. Also good for tables, so that a key is hashed once per call.
#[must_use]
pub fn key_hash(key: &str) -> u64 {
    xxh3_64(key.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changing any of these moves stored actors to other shards: never do that.
    #[test]
    fn the_shard_hash_is_frozen() {
        let vectors =
            [("a", 64), ("user-1", 64), ("Counter", 1), ("caf\u{e9}", 64), ("\u{1f600}", 4_096)];
        let shards: Vec<u32> = vectors.iter().map(|(key, count)| shard_of(key, *count)).collect();
        assert_eq!(key_hash("a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(shards, [31, 9, 0, 63, 142]);
    }
}

//! The statements. Tables and columns are those of `callboard_migrations::tables`.
//!
//! Each takes one array per column (`unnest`), so there is one text per statement, prepared once per connection. The
//! first columns are the key, the last one, where it is asked back, the place of the row in the request.

use std::sync::Arc;

use callboard_migrations::tables::{SPILL_TABLES, spill_table};

mod workflow;

pub(crate) use workflow::*;

/// Locks fence rows against claims until the transaction ends: commits of one shard do not exclude each other.
/// Parameters: system, type, shard.
pub(crate) const FENCES_SHARED: &str = "\
SELECT w.n, f.epoch, f.node, f.low_water \
FROM unnest($1::text[], $2::text[], $3::int8[]) WITH ORDINALITY AS w(s, t, h, n) \
JOIN shard_fence f ON f.system = w.s AND f.type = w.t AND f.shard = w.h \
ORDER BY f.system, f.type, f.shard FOR SHARE OF f";

/// Locks fence rows against everybody. Parameters as above.
pub(crate) const FENCES_EXCLUSIVE: &str = "\
SELECT w.n, f.epoch, f.node, f.low_water \
FROM unnest($1::text[], $2::text[], $3::int8[]) WITH ORDINALITY AS w(s, t, h, n) \
JOIN shard_fence f ON f.system = w.s AND f.type = w.t AND f.shard = w.h \
ORDER BY f.system, f.type, f.shard FOR UPDATE OF f";

/// Makes fence rows that nobody has claimed, if they are not there. Parameters as above.
pub(crate) const FENCES_NEW: &str = "\
INSERT INTO shard_fence (system, type, shard, epoch, node, low_water) \
SELECT s, t, h, 0, 0, 0 FROM unnest($1::text[], $2::text[], $3::int8[]) AS w(s, t, h) \
ORDER BY s COLLATE \"C\", t COLLATE \"C\", h ON CONFLICT (system, type, shard) DO NOTHING";

/// Writes fence rows that are there. Parameters: system, type, shard, epoch, node, low-water time.
pub(crate) const FENCES_SET: &str = "\
UPDATE shard_fence AS f SET epoch = w.e, node = w.o, low_water = w.l \
FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::int8[]) AS w(s, t, h, e, o, l) \
WHERE f.system = w.s AND f.type = w.t AND f.shard = w.h AND f.epoch <= w.e";

/// Every fence row.
pub(crate) const EPOCHS: &str = "SELECT system, type, shard, epoch FROM shard_fence";

/// Rows that exist, at the expected revision; answers with the places of those that were written. Parameters as
/// [`super::rows::actors`] makes them.
pub(crate) const UPDATE: &str = "\
UPDATE actors AS a SET shard = w.shard, revision = w.revision, updated_at = w.updated_at, \
spilled_until = w.spilled_until, content_type = w.content_type, type_url = w.type_url, tags = w.tags, \
outcomes = w.outcomes, state = w.state \
FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], \
$9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::int8[]) \
AS w(s, t, k, shard, revision, previous, updated_at, spilled_until, content_type, type_url, tags, outcomes, state, n) \
WHERE a.system = w.s AND a.type = w.t AND a.key = w.k AND a.revision = w.previous RETURNING w.n";

/// Rows of actors without one; answers with the keys of those that were written. Parameters as above.
pub(crate) const INSERT: &str = "\
INSERT INTO actors AS a (system, type, key, shard, revision, updated_at, spilled_until, content_type, type_url, \
tags, outcomes, state) \
SELECT s, t, k, shard, revision, updated_at, spilled_until, content_type, type_url, tags, outcomes, state \
FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[], \
$9::bytea[], $10::bytea[], $11::bytea[], $12::bytea[], $13::bytea[], $14::int8[]) \
AS w(s, t, k, shard, revision, previous, updated_at, spilled_until, content_type, type_url, tags, outcomes, state, n) \
ON CONFLICT (system, type, key) DO UPDATE SET shard = excluded.shard, revision = excluded.revision, \
updated_at = excluded.updated_at, spilled_until = excluded.spilled_until, content_type = excluded.content_type, \
type_url = excluded.type_url, tags = excluded.tags, outcomes = excluded.outcomes, state = excluded.state \
WHERE a.revision = 0 RETURNING system, type, key";

/// Revisions of actors. Parameters: system, type, key.
pub(crate) const REVISIONS: &str = "\
SELECT w.n, a.revision FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w(s, t, k, n) \
JOIN actors a ON a.system = w.s AND a.type = w.t AND a.key = w.k";

/// Whole rows of actors. Parameters: system, type, key.
pub(crate) const LOAD: &str = "\
SELECT w.n, a.revision, a.updated_at, a.spilled_until, a.content_type, a.type_url, a.tags, a.outcomes, a.state, a.deleted \
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS w(s, t, k, n) \
JOIN actors a ON a.system = w.s AND a.type = w.t AND a.key = w.k";

/// Accepted calls. Parameters: system, type, shard, sequence, key, call.
pub(crate) const ACCEPT: &str = "\
INSERT INTO inbox (system, type, shard, sequence, key, call) \
SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::text[], $6::bytea[])";

/// Removes accepted calls. Each is found by itself: of a table that is empty now and then, the planner believes that it
/// is always, and would rather compare all of its rows with all that are asked for. Nobody but the shard's owner moves
/// rows of these tables. Parameters: system, type, shard, sequence.
pub(crate) const ANSWERED: &str = "\
DELETE FROM inbox WHERE ctid = ANY(ARRAY(SELECT (SELECT i.ctid FROM inbox AS i \
WHERE i.system = w.s AND i.type = w.t AND i.shard = w.h AND i.sequence = w.q) \
FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) AS w(s, t, h, q)))";

/// Accepted calls by sequence. Parameters: system, type, shard, sequence.
pub(crate) const ACCEPTED: &str = "\
SELECT w.n, i.key, i.call FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) WITH ORDINALITY AS w(s, t, h, q, n) \
JOIN inbox i ON i.system = w.s AND i.type = w.t AND i.shard = w.h AND i.sequence = w.q";

/// Accepted calls of a shard. Parameters: system, type, shard, after, limit.
pub(crate) const INBOX: &str = "\
SELECT sequence, key, call FROM inbox \
WHERE system = $1 AND type = $2 AND shard = $3 AND sequence > $4 ORDER BY sequence LIMIT $5";

/// Keeps spill tables from being emptied until the transaction ends, and says what they may hold. Parameter: tables.
pub(crate) const SLOTS_SHARED: &str = "SELECT slot, holds_until FROM spill_slot WHERE slot = ANY($1::int8[]) ORDER BY slot FOR KEY SHARE";

/// Lets spill tables hold more. Parameters: table, end of the period.
pub(crate) const SLOTS_EXTEND: &str = "\
INSERT INTO spill_slot AS o (slot, holds_until) SELECT s, e FROM unnest($1::int8[], $2::int8[]) AS w(s, e) ORDER BY s \
ON CONFLICT (slot) DO UPDATE SET holds_until = greatest(o.holds_until, excluded.holds_until)";

/// What spill tables hold.
pub(crate) const SLOTS: &str = "SELECT slot, holds_until FROM spill_slot WHERE holds_until > 0";

/// The first two tables of which no shard needs anything, locked; those in use are passed over.
pub(crate) const SLOTS_OVER: &str = "\
SELECT slot FROM spill_slot WHERE holds_until > 0 \
AND holds_until <= (SELECT min(low_water) FROM shard_fence) ORDER BY holds_until LIMIT 2 FOR UPDATE SKIP LOCKED";

/// Notes that a table is empty. Parameter: table.
pub(crate) const SLOT_EMPTY: &str = "UPDATE spill_slot SET holds_until = 0 WHERE slot = $1";

/// Records the cluster unless one is recorded. Parameter: its name.
pub(crate) const CLUSTER_RECORD: &str = "\
INSERT INTO store_meta (name, value) VALUES ('cluster_id', $1) ON CONFLICT (name) DO NOTHING";

/// The recorded cluster.
pub(crate) const CLUSTER: &str = "SELECT value FROM store_meta WHERE name = 'cluster_id'";

/// Actors of one type in key order, from above a key. Parameters: system, type, key, limit.
pub(crate) const LIST_AFTER: &str = "\
SELECT key, revision, updated_at, octet_length(state)::int8 FROM actors \
WHERE system = $1 AND type = $2 AND key > $3 AND deleted <> revision + 1 ORDER BY key LIMIT $4";

/// The same with the key itself.
pub(crate) const LIST_FROM: &str = "\
SELECT key, revision, updated_at, octet_length(state)::int8 FROM actors \
WHERE system = $1 AND type = $2 AND key >= $3 AND deleted <> revision + 1 ORDER BY key LIMIT $4";

/// Packs for one spill table. Parameters: key hash, wide, until, from, system, type, key, data.
fn spill(slot: usize) -> String {
    let table = spill_table(slot);
    format!(
        "INSERT INTO {table} (key_hash, wide, until_ms, from_ms, system, type, key, data) SELECT * FROM \
         unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::text[], $6::text[], $7::text[], $8::bytea[])"
    )
}

/// Looks for packs in a spill table. Parameters: key hash, creation time, narrow end, latest beginning, system, type, key.
fn spilled(slot: usize) -> String {
    let table = spill_table(slot);
    // Narrow packs are a short range of the index; wide ones are searched as a whole but are few.
    let part = |range: &str| {
        format!(
            "SELECT w.n, s.data FROM w JOIN {table} s ON s.key_hash = w.hash AND {range} AND s.from_ms <= w.latest \
             AND s.system = w.s AND s.type = w.t AND s.key = w.k"
        )
    };
    let narrow = part("s.wide = 0 AND s.until_ms BETWEEN w.created AND w.narrow_end");
    let wide = part("s.wide = 1 AND s.until_ms >= w.created");
    format!(
        "WITH w AS (SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::text[], $6::text[], \
         $7::text[]) WITH ORDINALITY AS w(hash, created, narrow_end, latest, s, t, k, n)) {narrow} UNION ALL {wide}"
    )
}

/// Empties a spill table.
pub(crate) fn empty(slot: usize) -> String {
    format!("TRUNCATE {}", spill_table(slot))
}

/// The texts that name spill tables, made once.
#[derive(Debug)]
pub(crate) struct SpillTexts {
    insert: Vec<Arc<str>>,
    find: Vec<Arc<str>>,
}

impl Default for SpillTexts {
    fn default() -> Self {
        let all = |text: fn(usize) -> String| {
            (0..SPILL_TABLES).map(|slot| text(slot).into()).collect::<Vec<Arc<str>>>()
        };
        Self { insert: all(spill), find: all(spilled) }
    }
}

impl SpillTexts {
    /// The statement that puts packs into a table.
    pub(crate) fn insert(&self, slot: usize) -> Arc<str> {
        Arc::clone(&self.insert[slot])
    }

    /// The statement that looks for packs in a table; none if there is no such table.
    pub(crate) fn find(&self, slot: usize) -> Option<Arc<str>> {
        self.find.get(slot).map(Arc::clone)
    }
}

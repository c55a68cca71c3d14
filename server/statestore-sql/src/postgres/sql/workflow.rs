//! Statements for what a commit brings beside the rows of actors, and for reading it.

/// Makes rows of actors tombstones, or stops them from being any. Parameters: system, type, key, 1 or 0.
pub(crate) const TOMBSTONES: &str = "\
UPDATE actors AS a SET deleted = (a.revision + 1) * w.d \
FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[]) AS w(s, t, k, d) \
WHERE a.system = w.s AND a.type = w.t AND a.key = w.k";

/// Outbox rows. Parameters: system, type, shard, sequence, due time, key, item.
pub(crate) const SEND: &str = "\
INSERT INTO outbox (system, type, shard, sequence, due_at, key, item) \
SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::text[], $7::bytea[])";

/// Removes outbox rows, found as [`super::ANSWERED`] finds calls. Parameters: system, type, shard, sequence.
pub(crate) const END: &str = "\
DELETE FROM outbox WHERE ctid = ANY(ARRAY(SELECT (SELECT o.ctid FROM outbox AS o \
WHERE o.system = w.s AND o.type = w.t AND o.shard = w.h AND o.sequence = w.q) \
FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) AS w(s, t, h, q)))";

/// One outbox row. Parameters: system, type, shard, sequence.
pub(crate) const SENT: &str = "\
SELECT key, item FROM outbox WHERE system = $1 AND type = $2 AND shard = $3 AND sequence = $4";

/// Dead letters that are not there. Parameters: id, system, type, key, time, letter.
pub(crate) const BURY: &str = "\
INSERT INTO dead_letter (id, system, type, key, died_at, letter) \
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::bytea[]) \
ON CONFLICT DO NOTHING";

/// Messages that are not there and not done. Parameters: system, type, shard, id, sequence, time, message.
pub(crate) const RECORD: &str = "\
INSERT INTO broadcast (system, type, shard, id, sequence, came_at, cursor, item) \
SELECT s, t, h, i, q, c, '', m \
FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::int8[], $6::int8[], $7::bytea[]) \
AS w(s, t, h, i, q, c, m) WHERE NOT EXISTS (SELECT 1 FROM broadcast_done d \
WHERE d.system = w.s AND d.type = w.t AND d.shard = w.h AND d.id = w.i) ON CONFLICT DO NOTHING";

/// How far messages got. Parameters: system, type, shard, id, cursor.
pub(crate) const ADVANCE: &str = "\
UPDATE broadcast AS b SET cursor = w.c \
FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::text[]) AS w(s, t, h, i, c) \
WHERE b.system = w.s AND b.type = w.t AND b.shard = w.h AND b.id = w.i";

/// Removes messages, found as above, and notes that they are done. Parameters: system, type, shard, id.
pub(crate) const FINISH: &str = "\
WITH gone AS (DELETE FROM broadcast WHERE ctid = ANY(ARRAY(SELECT (SELECT b.ctid FROM broadcast AS b \
WHERE b.system = w.s AND b.type = w.t AND b.shard = w.h AND b.id = w.i) \
FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[]) AS w(s, t, h, i))) \
RETURNING system, type, shard, id, came_at) \
INSERT INTO broadcast_done (system, type, shard, id, came_at) SELECT * FROM gone ON CONFLICT DO NOTHING";

/// Past states. Parameters: system, type, key, revision, time, content type, type URL, tags, state.
pub(crate) const KEEP: &str = "\
INSERT INTO history (system, type, key, revision, settled_at, content_type, type_url, tags, state) \
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[], $6::bytea[], $7::bytea[], \
$8::bytea[], $9::bytea[]) ON CONFLICT DO NOTHING";

/// Removes past states below a revision. Parameters: system, type, key, revision.
pub(crate) const FORGET_BELOW: &str = "\
DELETE FROM history AS p USING unnest($1::text[], $2::text[], $3::text[], $4::int8[]) AS w(s, t, k, b) \
WHERE p.system = w.s AND p.type = w.t AND p.key = w.k AND p.revision < w.b";

/// Removes past states of before a time. Parameters: system, type, key, time.
pub(crate) const FORGET_BEFORE: &str = "\
DELETE FROM history AS p USING unnest($1::text[], $2::text[], $3::text[], $4::int8[]) AS w(s, t, k, b) \
WHERE p.system = w.s AND p.type = w.t AND p.key = w.k AND p.settled_at < w.b";

/// Outbox rows of a shard that are due: those that were sent at once by the primary key, the delayed ones by an index of
/// their own. Parameters: system, type, shard, the due time and sequence to start after, the latest due time, limit.
pub(crate) const DELIVERIES: &str = "\
SELECT key, sequence, due_at, item FROM ((SELECT key, sequence, due_at, item FROM outbox \
WHERE system = $1 AND type = $2 AND shard = $3 AND due_at <= 0 AND due_at <= $6 AND sequence > $5 AND $4::int8 <= 0 \
ORDER BY sequence LIMIT $7) UNION ALL (SELECT key, sequence, due_at, item FROM outbox \
WHERE system = $1 AND type = $2 AND shard = $3 AND due_at > 0 AND (due_at, sequence) > ($4, $5) AND due_at <= $6 \
ORDER BY due_at, sequence LIMIT $7)) AS r ORDER BY due_at, sequence LIMIT $7";

/// When the next delayed outbox row is due, and the last sequence. Parameters: system, type, shard, the due time to start
/// after.
pub(crate) const ENDS: &str = "\
SELECT (SELECT due_at FROM outbox WHERE system = $1 AND type = $2 AND shard = $3 AND due_at > 0 AND due_at > $4 \
ORDER BY due_at LIMIT 1), (SELECT sequence FROM outbox WHERE system = $1 AND type = $2 AND shard = $3 \
ORDER BY sequence DESC LIMIT 1)";

/// Messages of a shard. Parameters: system, type, shard, the sequence to start after, limit.
pub(crate) const BROADCASTS: &str = "\
SELECT id, sequence, cursor, item FROM broadcast \
WHERE system = $1 AND type = $2 AND shard = $3 AND sequence > $4 ORDER BY sequence LIMIT $5";

/// Keys of the living actors of a shard. Parameters: system, type, shard, the key to start after, limit. The order names
/// all columns so that no other index than that of shards can give it.
pub(crate) const KEYS: &str = "\
SELECT key FROM actors WHERE system = $1 AND type = $2 AND shard = $3 AND key > $4 \
AND deleted <> revision + 1 ORDER BY system, type, shard, key LIMIT $5";

/// Past states below a revision, without the states. Parameters: system, type, key, revision, limit.
pub(crate) const PAST_BELOW: &str = "\
SELECT revision, settled_at, octet_length(state)::int8 FROM history \
WHERE system = $1 AND type = $2 AND key = $3 AND revision < $4 ORDER BY revision DESC LIMIT $5";

/// The past state of a revision. Parameters: system, type, key, revision, limit.
pub(crate) const PAST_REVISION: &str = "\
SELECT revision, settled_at, octet_length(state)::int8, content_type, type_url, tags, state FROM history \
WHERE system = $1 AND type = $2 AND key = $3 AND revision = $4 LIMIT $5";

/// The newest past state at a time. Parameters: system, type, key, time, limit.
pub(crate) const PAST_TIME: &str = "\
SELECT revision, settled_at, octet_length(state)::int8, content_type, type_url, tags, state FROM history \
WHERE system = $1 AND type = $2 AND key = $3 AND settled_at <= $4 ORDER BY settled_at DESC, revision DESC LIMIT $5";

/// Dead letters of a system. Parameters: system, the id to start after, limit.
pub(crate) const LETTERS: &str = "\
SELECT id, system, type, key, died_at, letter FROM dead_letter \
WHERE system = $1 AND id > $2 ORDER BY id LIMIT $3";

/// Dead letters of a type. Parameters: system, the id to start after, limit, type.
pub(crate) const LETTERS_OF_TYPE: &str = "\
SELECT id, system, type, key, died_at, letter FROM dead_letter \
WHERE system = $1 AND id > $2 AND type = $4 ORDER BY id LIMIT $3";

/// One dead letter. Parameter: id.
pub(crate) const LETTER: &str = "\
SELECT id, system, type, key, died_at, letter FROM dead_letter WHERE id = $1";

/// Removes a dead letter. Parameter: id.
pub(crate) const DROP_LETTER: &str = "DELETE FROM dead_letter WHERE id = $1 RETURNING 1::int8";

/// Drops ids of messages that are done and came so long before the lowest low-water time; says how many. Those that
/// somebody else drops are passed over. Parameters: how long, limit.
pub(crate) const DROP_OLD: &str = "\
WITH old AS (SELECT system, type, shard, id FROM broadcast_done \
WHERE came_at < (SELECT min(low_water) FROM shard_fence) - $1::int8 ORDER BY came_at LIMIT $2 FOR UPDATE SKIP LOCKED), \
gone AS (DELETE FROM broadcast_done AS d USING old WHERE d.system = old.system AND d.type = old.type \
AND d.shard = old.shard AND d.id = old.id RETURNING 1) SELECT count(*) FROM gone";

//! The statements, built once per shape by sea-query and kept as text, so that the driver finds them prepared.
//!
//! Everything that can be said portably is said through sea-query. What only SQLite has (its `BEGIN IMMEDIATE`,
//! `changes()` and several statements in one request, which saves a thread switch each) stands in [`Shape::Upsert`] and
//! the constants below.

use std::{collections::HashMap, sync::Arc};

use callboard_migrations::tables::{
    Actors, Inbox, ShardFence, Spill, SpillSlot, WriterEpoch, spill_table,
};
use sea_orm::sea_query::{
    Alias, Condition, Expr, ExprTrait, Func, InsertStatement, IntoIden, OnConflict, Order, Query,
    QueryStatementWriter, SelectStatement, SqliteQueryBuilder,
};

mod workflow;

pub(crate) use workflow::Flow;

/// Opens a transaction that excludes other writers and reads the writer epoch.
pub(crate) const BEGIN: &str =
    "BEGIN IMMEDIATE; SELECT \"epoch\" FROM \"writer_epoch\" WHERE \"id\" = 1";
/// How many rows the upsert before it wrote, and whether it inserted one where it should have updated.
const COUNT: &str =
    "SELECT changes(), EXISTS(SELECT 1 FROM \"actors\" WHERE \"prev_revision\" <> 0)";

/// Parameters of one row of an upsert.
pub(crate) const ACTOR_COLUMNS: [Actors; 13] = [
    Actors::System,
    Actors::Type,
    Actors::Key,
    Actors::Shard,
    Actors::Revision,
    Actors::PrevRevision,
    Actors::UpdatedAt,
    Actors::SpilledUntil,
    Actors::ContentType,
    Actors::TypeUrl,
    Actors::Tags,
    Actors::Outcomes,
    Actors::State,
];

/// A statement and how many rows, keys or queries it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shape {
    /// Actor rows. With `begin`, the transaction is opened first and the answer starts with the writer epoch.
    Upsert { rows: usize, begin: bool },
    /// One actor row that exists, in a transaction of its own; see [`UPDATE_ONE_GUARDS`].
    UpdateOne,
    /// Actors of one type by key.
    Load { keys: usize },
    /// Revisions of actors of one type by key.
    Revisions { keys: usize },
    /// Accepted calls.
    Accept { rows: usize },
    /// Removes accepted calls of one shard by sequence.
    Answered { sequences: usize },
    /// Accepted calls of one shard from above a sequence, in sequence.
    Inbox,
    /// Packs for one spill table.
    Spill { slot: usize, rows: usize },
    /// Looks for packs in one spill table; the answer starts with the number of the query.
    Spilled { slot: usize, queries: usize },
    /// What spill tables hold.
    Slots { rows: usize },
    /// Fence rows.
    Fences { rows: usize },
    /// Actors of one type in key order.
    List { after_is_excluded: bool },
    /// What a commit brings beside rows of actors.
    Flow(Flow),
}

/// The statements in use.
#[derive(Debug, Default)]
pub(crate) struct Statements(HashMap<Shape, Arc<str>>);

impl Statements {
    /// The text of a statement.
    pub(crate) fn get(&mut self, shape: Shape) -> Arc<str> {
        let text = self.0.entry(shape).or_insert_with(|| build(shape).into());
        Arc::clone(text)
    }
}

/// Splits `count` rows into statements: few statements per batch, few different ones over time. Exact up to 32; above,
/// a multiple of 32 up to `most`.
pub(crate) fn chunks(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let mut left = count;
    std::iter::from_fn(move || {
        let next = if left <= 32 { left } else { (left / 32 * 32).min(most) };
        left -= next;
        (next > 0).then_some(next)
    })
}

/// The same for rows that seldom come: sizes are powers of two, so that there are few different statements.
pub(crate) fn powers(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let mut left = count;
    std::iter::from_fn(move || {
        let next = left.checked_ilog2().map(|power| usize::min(1 << power, most))?;
        left -= next;
        Some(next)
    })
}

/// The smallest size of a padded statement that holds `count`; the largest one if none does.
pub(crate) fn padded(count: usize) -> usize {
    const SIZES: [usize; 5] = [1, 8, 32, 128, 256];
    SIZES.into_iter().find(|size| *size >= count).unwrap_or(256)
}

/// The same for rows that often come: at most seven too many, in one statement.
pub(crate) fn eighths(count: usize) -> usize {
    if count <= 8 { count } else { count.next_multiple_of(8) }
}

fn build(shape: Shape) -> String {
    match shape {
        Shape::Upsert { rows, begin } => {
            let insert = text(&upsert(rows));
            let open = if begin { format!("{BEGIN}; ") } else { String::new() };
            format!("{open}{insert}; {COUNT}")
        }
        Shape::UpdateOne => update_one(),
        Shape::Load { keys } => text(&by_key(load_columns(), keys)),
        Shape::Revisions { keys } => text(&by_key(revision_columns(), keys)),
        Shape::Accept { rows } => {
            let columns = [
                Inbox::System,
                Inbox::Type,
                Inbox::Shard,
                Inbox::Sequence,
                Inbox::Key,
                Inbox::Call,
            ];
            text(&insert(Inbox::Table, columns, rows))
        }
        Shape::Answered { sequences } => answered(sequences),
        Shape::Inbox => inbox(),
        Shape::Spill { slot, rows } => {
            let columns = [
                Spill::KeyHash,
                Spill::Wide,
                Spill::UntilMs,
                Spill::FromMs,
                Spill::System,
                Spill::Type,
                Spill::Key,
                Spill::Data,
            ];
            text(&insert(Alias::new(spill_table(slot)), columns, rows))
        }
        Shape::Spilled { slot, queries } => spilled(slot, queries),
        Shape::Slots { rows } => {
            let columns = [SpillSlot::Slot, SpillSlot::HoldsUntil];
            let replace =
                OnConflict::column(SpillSlot::Slot).update_column(SpillSlot::HoldsUntil).to_owned();
            text(insert(SpillSlot::Table, columns, rows).on_conflict(replace))
        }
        Shape::Fences { rows } => text(&fences(rows)),
        Shape::List { after_is_excluded } => list(after_is_excluded),
        Shape::Flow(flow) => workflow::build(flow),
    }
}

fn text(statement: &impl QueryStatementWriter) -> String {
    // The values are placeholders: only the text is used.
    statement.build(SqliteQueryBuilder).0
}

/// A bound parameter. Its value is given when the statement runs.
fn bound() -> Expr {
    Expr::val(1)
}

fn insert<C: IntoIden, const N: usize>(
    table: impl IntoIden,
    columns: [C; N],
    rows: usize,
) -> InsertStatement {
    let mut insert = Query::insert();
    insert.into_table(table.into_iden()).columns(columns);
    for _ in 0..rows {
        insert.values_panic((0..N).map(|_| bound()));
    }
    insert
}

fn upsert(rows: usize) -> InsertStatement {
    let expected = Expr::col((Actors::Table, Actors::Revision))
        .eq(Expr::col((Alias::new("excluded"), Actors::PrevRevision)));
    // All but the key (the first three) and the shard, which never change: writing them, the same or not, would write
    // their indexes too. The expectation itself is not kept.
    let updated =
        ACTOR_COLUMNS[4..].iter().copied().filter(|column| !matches!(column, Actors::PrevRevision));
    let replace = OnConflict::columns([Actors::System, Actors::Type, Actors::Key])
        .update_columns(updated)
        .value(Actors::PrevRevision, Expr::cust("0"))
        .action_and_where(expected)
        .to_owned();
    insert(Actors::Table, ACTOR_COLUMNS, rows).on_conflict(replace).take()
}

/// Parameters: revision, updated at, spilled until, content type, type url, tags, outcomes, state; then system,
/// type, key, the expected revision and the writer epoch.
fn update_one() -> String {
    let epoch = Query::select()
        .column(WriterEpoch::Epoch)
        .from(WriterEpoch::Table)
        .and_where(Expr::col(WriterEpoch::Id).eq(Expr::cust("1")))
        .take();
    let set = [
        Actors::Revision,
        Actors::UpdatedAt,
        Actors::SpilledUntil,
        Actors::ContentType,
        Actors::TypeUrl,
        Actors::Tags,
        Actors::Outcomes,
        Actors::State,
    ];
    let update = Query::update()
        .table(Actors::Table)
        .values(set.map(|column| (column, bound())))
        .and_where(Expr::col(Actors::System).eq(bound()))
        .and_where(Expr::col(Actors::Type).eq(bound()))
        .and_where(Expr::col(Actors::Key).eq(bound()))
        .and_where(Expr::col(Actors::Revision).eq(bound()))
        .and_where(bound().eq(Expr::SubQuery(None, Box::new(epoch.into()))))
        .take();
    text(&update)
}

fn load_columns() -> SelectStatement {
    Query::select()
        .columns([
            Actors::Key,
            Actors::Revision,
            Actors::UpdatedAt,
            Actors::SpilledUntil,
            Actors::ContentType,
            Actors::TypeUrl,
            Actors::Tags,
            Actors::Outcomes,
            Actors::State,
            Actors::Deleted,
        ])
        .take()
}

fn revision_columns() -> SelectStatement {
    Query::select().columns([Actors::Key, Actors::Revision]).take()
}

/// Parameters: system, type, keys.
fn by_key(mut select: SelectStatement, keys: usize) -> SelectStatement {
    select
        .from(Actors::Table)
        .and_where(Expr::col(Actors::System).eq(bound()))
        .and_where(Expr::col(Actors::Type).eq(bound()))
        .and_where(Expr::col(Actors::Key).is_in((0..keys).map(|_| bound())))
        .take()
}

/// Parameters: system, type, shard, sequences.
fn answered(sequences: usize) -> String {
    let delete = Query::delete()
        .from_table(Inbox::Table)
        .and_where(Expr::col(Inbox::System).eq(bound()))
        .and_where(Expr::col(Inbox::Type).eq(bound()))
        .and_where(Expr::col(Inbox::Shard).eq(bound()))
        .and_where(Expr::col(Inbox::Sequence).is_in((0..sequences).map(|_| bound())))
        .take();
    text(&delete)
}

/// Parameters: system, type, shard, after, limit.
fn inbox() -> String {
    let select = Query::select()
        .columns([Inbox::Sequence, Inbox::Key, Inbox::Call])
        .from(Inbox::Table)
        .and_where(Expr::col(Inbox::System).eq(bound()))
        .and_where(Expr::col(Inbox::Type).eq(bound()))
        .and_where(Expr::col(Inbox::Shard).eq(bound()))
        .and_where(Expr::col(Inbox::Sequence).gt(bound()))
        .order_by(Inbox::Sequence, Order::Asc)
        .limit(1)
        .take();
    text(&select)
}

/// Parameters per query: its number, key hash, creation time, narrow end, key hash, creation time; then creation time,
/// system, type, key.
fn spilled(slot: usize, queries: usize) -> String {
    let narrow = || {
        Condition::all()
            .add(Expr::col(Spill::KeyHash).eq(bound()))
            .add(Expr::col(Spill::Wide).eq(Expr::cust("0")))
            .add(Expr::col(Spill::UntilMs).gte(bound()))
            .add(Expr::col(Spill::UntilMs).lte(bound()))
    };
    let wide = || {
        Condition::all()
            .add(Expr::col(Spill::KeyHash).eq(bound()))
            .add(Expr::col(Spill::Wide).eq(Expr::cust("1")))
            .add(Expr::col(Spill::UntilMs).gte(bound()))
    };
    let one = || {
        Query::select()
            .expr(bound())
            .column(Spill::Data)
            .from(Alias::new(spill_table(slot)))
            .cond_where(Condition::any().add(narrow()).add(wide()))
            .and_where(Expr::col(Spill::FromMs).lte(bound()))
            .and_where(Expr::col(Spill::System).eq(bound()))
            .and_where(Expr::col(Spill::Type).eq(bound()))
            .and_where(Expr::col(Spill::Key).eq(bound()))
            .take()
    };
    // A compound of plain selects; sea-query would put each into parentheses, which SQLite does not take.
    let parts: Vec<String> = (0..queries).map(|_| text(&one())).collect();
    parts.join(" UNION ALL ")
}

fn fences(rows: usize) -> InsertStatement {
    let columns = [
        ShardFence::System,
        ShardFence::Type,
        ShardFence::Shard,
        ShardFence::Epoch,
        ShardFence::Node,
        ShardFence::LowWater,
    ];
    let replace = OnConflict::columns([ShardFence::System, ShardFence::Type, ShardFence::Shard])
        .update_columns([ShardFence::Epoch, ShardFence::Node, ShardFence::LowWater])
        .to_owned();
    insert(ShardFence::Table, columns, rows).on_conflict(replace).take()
}

/// Parameters: system, type, the key to start from, limit.
fn list(after_is_excluded: bool) -> String {
    let key = Expr::col(Actors::Key);
    let start = if after_is_excluded { key.gt(bound()) } else { key.gte(bound()) };
    let select = Query::select()
        .columns([Actors::Key, Actors::Revision, Actors::UpdatedAt])
        .expr(Func::cust("octet_length").arg(Expr::col(Actors::State)))
        .from(Actors::Table)
        .and_where(Expr::col(Actors::System).eq(bound()))
        .and_where(Expr::col(Actors::Type).eq(bound()))
        .and_where(start)
        .and_where(workflow::lives())
        .order_by(Actors::Key, Order::Asc)
        .limit(1)
        .take();
    text(&select)
}

#[cfg(test)]
mod tests;

//! Statements for what a commit brings beside the rows of actors, and for reading it.
//!
//! Rows that are found by their whole key are named one by one (`a AND b OR a AND b`), which is a search each.

use callboard_migrations::tables::{Actors, Broadcast, BroadcastDone, DeadLetter, History, Outbox};
use sea_orm::sea_query::{
    Condition, Expr, ExprTrait, Func, IntoIden, OnConflict, Order, Query, SelectStatement,
};

use super::{bound, insert, text};

/// Parameters of an outbox row.
const OUTBOX: [Outbox; 7] = [
    Outbox::System,
    Outbox::Type,
    Outbox::Shard,
    Outbox::Sequence,
    Outbox::DueAt,
    Outbox::Key,
    Outbox::Item,
];
/// What is read of an outbox row.
const DELIVERY: [Outbox; 4] = [Outbox::Key, Outbox::Sequence, Outbox::DueAt, Outbox::Item];
/// Parameters of a dead letter.
const LETTER: [DeadLetter; 6] = [
    DeadLetter::Id,
    DeadLetter::System,
    DeadLetter::Type,
    DeadLetter::Key,
    DeadLetter::DiedAt,
    DeadLetter::Letter,
];
/// Parameters of a past state.
const PAST: [History; 9] = [
    History::System,
    History::Type,
    History::Key,
    History::Revision,
    History::SettledAt,
    History::ContentType,
    History::TypeUrl,
    History::Tags,
    History::State,
];
/// What names a message.
const MESSAGE: [Broadcast; 4] =
    [Broadcast::System, Broadcast::Type, Broadcast::Shard, Broadcast::Id];

/// A statement and how many rows it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flow {
    /// Makes rows of actors tombstones, or stops them from being any.
    Tombstones { rows: usize, deleted: bool },
    /// Outbox rows.
    Send { rows: usize },
    /// Removes outbox rows.
    End { rows: usize },
    /// Dead letters that are not there.
    Bury { rows: usize },
    /// Messages that are not there and not done.
    Record { rows: usize },
    /// How far a message got.
    Advance,
    /// Notes that messages are done.
    Finish { rows: usize },
    /// Removes messages.
    Clear { rows: usize },
    /// Past states.
    Keep { rows: usize },
    /// Removes past states below a revision.
    ForgetBelow { rows: usize },
    /// Removes past states of before a time.
    ForgetBefore { rows: usize },
    /// Outbox rows of a shard that were sent at once.
    AtOnce,
    /// Delayed outbox rows of a shard that are due.
    Delayed,
    /// When the next outbox row is due, and the last sequence.
    Ends,
    /// Messages of a shard.
    Broadcasts,
    /// Keys of the living actors of a shard.
    Keys,
    /// Past states below a revision, without the states.
    PastBelow,
    /// The past state of a revision.
    PastRevision,
    /// The newest past state at a time.
    PastTime,
    /// Dead letters of a system, or of one type in it.
    Letters { of_type: bool },
    /// One dead letter.
    Letter,
    /// Removes a dead letter.
    DropLetter,
    /// How many ids of messages are old, up to a limit.
    OldCount,
    /// Removes old ids of messages, up to a limit.
    DropOld,
}

pub(super) fn build(flow: Flow) -> String {
    match flow {
        Flow::Tombstones { rows, deleted } => tombstones(rows, deleted),
        Flow::Send { rows } => text(&insert(Outbox::Table, OUTBOX, rows)),
        Flow::End { rows } => {
            let key = [Outbox::System, Outbox::Type, Outbox::Shard, Outbox::Sequence];
            delete(Outbox::Table, any_of(key, rows))
        }
        Flow::Bury { rows } => {
            let known = OnConflict::column(DeadLetter::Id).do_nothing().to_owned();
            text(insert(DeadLetter::Table, LETTER, rows).on_conflict(known))
        }
        Flow::Record { rows } => record(rows),
        Flow::Advance => advance(),
        Flow::Finish { rows } => finish(rows),
        Flow::Clear { rows } => delete(Broadcast::Table, any_of(MESSAGE, rows)),
        Flow::Keep { rows } => {
            let key = [History::System, History::Type, History::Key, History::Revision];
            let known = OnConflict::columns(key).do_nothing().to_owned();
            text(insert(History::Table, PAST, rows).on_conflict(known))
        }
        Flow::ForgetBelow { rows } => forget(History::Revision, rows),
        Flow::ForgetBefore { rows } => forget(History::SettledAt, rows),
        Flow::AtOnce => at_once(),
        Flow::Delayed => delayed(),
        Flow::Ends => ends(),
        Flow::Broadcasts => broadcasts(),
        Flow::Keys => keys(),
        Flow::PastBelow => {
            let below = Expr::col(History::Revision).lt(bound());
            let lines = past().and_where(below).order_by(History::Revision, Order::Desc).take();
            text(&limited(lines))
        }
        Flow::PastRevision => {
            let revision = Expr::col(History::Revision).eq(bound());
            text(&limited(past_states().and_where(revision).take()))
        }
        Flow::PastTime => {
            let until = Expr::col(History::SettledAt).lte(bound());
            let mut newest = past_states().and_where(until).take();
            newest.order_by(History::SettledAt, Order::Desc);
            text(&limited(newest.order_by(History::Revision, Order::Desc).take()))
        }
        Flow::Letters { of_type } => letters(of_type),
        Flow::Letter => {
            let id = Expr::col(DeadLetter::Id).eq(bound());
            text(&Query::select().columns(LETTER).from(DeadLetter::Table).and_where(id).take())
        }
        Flow::DropLetter => {
            let id = Condition::all().add(Expr::col(DeadLetter::Id).eq(bound()));
            delete(DeadLetter::Table, id)
        }
        // Rows have numbers in this database, and a deletion takes no limit.
        Flow::OldCount => format!("SELECT count(*) FROM ({})", old()),
        Flow::DropOld => format!("DELETE FROM \"broadcast_done\" WHERE \"rowid\" IN ({})", old()),
    }
}

/// Rows with one of so many keys.
fn any_of<C: IntoIden + Copy, const N: usize>(key: [C; N], rows: usize) -> Condition {
    let one = || {
        let equal = key.iter().map(|column| Expr::col(*column).eq(bound()));
        equal.fold(Condition::all(), Condition::add)
    };
    (0..rows).map(|_| one()).fold(Condition::any(), Condition::add)
}

fn delete(table: impl IntoIden, rows: Condition) -> String {
    text(&Query::delete().from_table(table.into_iden()).cond_where(rows).take())
}

/// Its last parameter is the limit.
fn limited(mut select: SelectStatement) -> SelectStatement {
    select.limit(1).take()
}

/// Parameters of each row: system, type, key.
fn tombstones(rows: usize, deleted: bool) -> String {
    let value = if deleted { "\"revision\" + 1" } else { "0" };
    let update = Query::update()
        .table(Actors::Table)
        .value(Actors::Deleted, Expr::cust(value))
        .cond_where(any_of([Actors::System, Actors::Type, Actors::Key], rows))
        .take();
    text(&update)
}

/// Parameters of each row: system, type, shard, id, sequence, when it came, message.
fn record(rows: usize) -> String {
    // A compound of values has columns without names of our own, which sea-query cannot put here.
    let values = vec!["(?, ?, ?, ?, ?, ?, '', ?)"; rows].join(", ");
    format!(
        "WITH w(s, t, h, i, q, c, k, m) AS (VALUES {values}) INSERT INTO \"broadcast\" (\"system\", \"type\", \
         \"shard\", \"id\", \"sequence\", \"came_at\", \"cursor\", \"item\") SELECT * FROM w WHERE NOT EXISTS \
         (SELECT 1 FROM \"broadcast_done\" d WHERE d.\"system\" = s AND d.\"type\" = t AND d.\"shard\" = h \
         AND d.\"id\" = i) ON CONFLICT DO NOTHING"
    )
}

/// Parameters: cursor, system, type, shard, id.
fn advance() -> String {
    let update = Query::update()
        .table(Broadcast::Table)
        .value(Broadcast::Cursor, bound())
        .cond_where(any_of(MESSAGE, 1))
        .take();
    text(&update)
}

/// Parameters of each row: system, type, shard, id.
fn finish(rows: usize) -> String {
    let came = Query::select()
        .columns(MESSAGE)
        .column(Broadcast::CameAt)
        .from(Broadcast::Table)
        .cond_where(any_of(MESSAGE, rows))
        .take();
    let columns = [
        BroadcastDone::System,
        BroadcastDone::Type,
        BroadcastDone::Shard,
        BroadcastDone::Id,
        BroadcastDone::CameAt,
    ];
    let mut note = Query::insert().into_table(BroadcastDone::Table).columns(columns).take();
    let noted = note.select_from(came).expect("as many columns as are inserted");
    text(noted.on_conflict(OnConflict::new().do_nothing().to_owned()))
}

/// Parameters of each row: system, type, key, the bound.
fn forget(column: History, rows: usize) -> String {
    let one = || {
        Condition::all()
            .add(Expr::col(History::System).eq(bound()))
            .add(Expr::col(History::Type).eq(bound()))
            .add(Expr::col(History::Key).eq(bound()))
            .add(Expr::col(column).lt(bound()))
    };
    let any = (0..rows).map(|_| one()).fold(Condition::any(), Condition::add);
    delete(History::Table, any)
}

/// Rows that were sent at once come by the primary key. Parameters: system, type, shard, the sequence to start after,
/// limit.
fn at_once() -> String {
    let select = Query::select()
        .columns(DELIVERY)
        .from(Outbox::Table)
        .cond_where(any_of([Outbox::System, Outbox::Type, Outbox::Shard], 1))
        .and_where(Expr::col(Outbox::DueAt).lte(Expr::cust("0")))
        .and_where(Expr::col(Outbox::Sequence).gt(bound()))
        .order_by(Outbox::Sequence, Order::Asc)
        .take();
    text(&limited(select))
}

/// The delayed ones come by an index of their own. Parameters: system, type, shard, the due time and sequence to start
/// after, the latest due time, limit.
fn delayed() -> String {
    let place = Expr::tuple([Expr::col(Outbox::DueAt), Expr::col(Outbox::Sequence)]);
    let select = Query::select()
        .columns(DELIVERY)
        .from(Outbox::Table)
        .cond_where(any_of([Outbox::System, Outbox::Type, Outbox::Shard], 1))
        .and_where(Expr::col(Outbox::DueAt).gt(Expr::cust("0")))
        .and_where(place.gt(Expr::tuple([bound(), bound()])))
        .and_where(Expr::col(Outbox::DueAt).lte(bound()))
        .order_by(Outbox::DueAt, Order::Asc)
        .order_by(Outbox::Sequence, Order::Asc)
        .take();
    text(&limited(select))
}

/// Parameters: system, type, shard, the due time to start after, system, type, shard.
fn ends() -> String {
    let of = |end: Expr| {
        Query::select()
            .expr(end)
            .from(Outbox::Table)
            .cond_where(any_of([Outbox::System, Outbox::Type, Outbox::Shard], 1))
            .take()
    };
    let mut due = of(Func::min(Expr::col(Outbox::DueAt)).into());
    due.and_where(Expr::col(Outbox::DueAt).gt(Expr::cust("0")));
    due.and_where(Expr::col(Outbox::DueAt).gt(bound()));
    let last = of(Func::max(Expr::col(Outbox::Sequence)).into());
    let both = [due, last].map(|end| Expr::SubQuery(None, Box::new(end.into())));
    text(&Query::select().exprs(both).take())
}

/// A shard has few messages under way: they are sorted. Parameters: system, type, shard, the sequence to start after,
/// limit.
fn broadcasts() -> String {
    let select = Query::select()
        .columns([Broadcast::Id, Broadcast::Sequence, Broadcast::Cursor, Broadcast::Item])
        .from(Broadcast::Table)
        .cond_where(any_of([Broadcast::System, Broadcast::Type, Broadcast::Shard], 1))
        .and_where(Expr::col(Broadcast::Sequence).gt(bound()))
        .order_by(Broadcast::Sequence, Order::Asc)
        .take();
    text(&limited(select))
}

/// True of rows that are no tombstones.
pub(super) fn lives() -> Expr {
    Expr::col(Actors::Deleted).ne(Expr::cust("\"revision\" + 1"))
}

/// Parameters: system, type, shard, the key to start after, limit.
fn keys() -> String {
    let select = Query::select()
        .column(Actors::Key)
        .from(Actors::Table)
        .cond_where(any_of([Actors::System, Actors::Type, Actors::Shard], 1))
        .and_where(Expr::col(Actors::Key).gt(bound()))
        .and_where(lives())
        .order_by(Actors::Key, Order::Asc)
        .take();
    // Without being told, the planner now and then reads through the keys of all shards.
    let from = "FROM \"actors\"";
    text(&limited(select)).replacen(from, &format!("{from} INDEXED BY \"actors_shard\""), 1)
}

/// Parameters: system, type, key.
fn past() -> SelectStatement {
    Query::select()
        .columns([History::Revision, History::SettledAt])
        .expr(Func::cust("octet_length").arg(Expr::col(History::State)))
        .from(History::Table)
        .cond_where(any_of([History::System, History::Type, History::Key], 1))
        .take()
}

fn past_states() -> SelectStatement {
    past().columns([History::ContentType, History::TypeUrl, History::Tags, History::State]).take()
}

/// Parameters: system, perhaps type, the id to start after, limit.
fn letters(of_type: bool) -> String {
    let mut select = Query::select()
        .columns(LETTER)
        .from(DeadLetter::Table)
        .and_where(Expr::col(DeadLetter::System).eq(bound()))
        .take();
    if of_type {
        select.and_where(Expr::col(DeadLetter::Type).eq(bound()));
    }
    select.and_where(Expr::col(DeadLetter::Id).gt(bound()));
    text(&limited(select.order_by(DeadLetter::Id, Order::Asc).take()))
}

/// Parameters: a time, limit.
fn old() -> String {
    let select = Query::select()
        .expr(Expr::cust("\"rowid\""))
        .from(BroadcastDone::Table)
        .and_where(Expr::col(BroadcastDone::CameAt).lt(bound()))
        .order_by(BroadcastDone::CameAt, Order::Asc)
        .take();
    text(&limited(select))
}

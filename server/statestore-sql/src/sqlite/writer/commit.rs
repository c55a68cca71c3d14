//! One batch, one transaction.

use std::collections::{BTreeMap, HashMap};

use callboard_statestore::{
    ActorCommit, BroadcastChange, CommitBatch, Error, HistoryInsert, InboxInsert, OutboxDone,
    SpillPack, StateBlob, Verdict,
};
use callboard_types::{ActorId, Millis, Revision, shard::key_hash};

use super::Writer;
use crate::{
    columns::Columns,
    counter::{signed, unsigned},
    ring,
    sqlite::{
        lane::{Lane, Parameters},
        sql::{ACTOR_COLUMNS, BEGIN, Shape, Statements, chunks, padded},
    },
    workflow::letters,
};

/// Actor rows of one statement: thirteen parameters each, of at most 32,766.
const ROWS_MAX: usize = 256;
/// Packs of one statement. Each spill table needs its own statements, so there should be few sizes.
const PACKS_MAX: usize = 64;

/// How a transaction ended.
enum Attempt {
    Committed,
    /// Some row was not as expected; nothing was written.
    Mismatch,
}

/// The part of a batch that goes into the transaction.
struct Included<'a> {
    actors: Vec<&'a ActorCommit>,
    inbox: Vec<&'a InboxInsert>,
    outbox_done: Vec<&'a OutboxDone>,
    broadcasts: Vec<&'a BroadcastChange>,
    /// Packs by table.
    spill: BTreeMap<usize, Vec<(&'a ActorId, &'a SpillPack)>>,
    /// Tables whose end rises, and the new end.
    slots: Vec<(usize, i64)>,
}

impl Writer {
    /// Commits what holds its fence and fits its row; says of the rest why not.
    pub(super) async fn commit(&mut self, batch: CommitBatch) -> Result<Vec<Verdict>, Error> {
        let mut verdicts = self.fences.verdicts(&batch);
        if self.commit_alone(&batch, &verdicts).await? {
            return Ok(verdicts);
        }
        // Neighbours in the tree are written together.
        let mut order: Vec<usize> = (0..batch.actors.len()).collect();
        order.sort_unstable_by(|a, b| batch.actors[*a].id.cmp(&batch.actors[*b].id));
        let mut mismatched = false;
        loop {
            let included = self.include(&batch, &order, &verdicts);
            if !verdicts.contains(&Verdict::Committed) {
                return Ok(verdicts);
            }
            let attempt = self.attempt(&included).await;
            match self.close_attempt(attempt, &included).await? {
                Attempt::Committed => return Ok(verdicts),
                Attempt::Mismatch if mismatched => {
                    return Err(Error::Fatal(
                        "a row changed between two transactions of the only writer".into(),
                    ));
                }
                Attempt::Mismatch => {
                    self.find_mismatches(&batch, &mut verdicts).await?;
                    mismatched = true;
                }
            }
        }
    }

    /// The most frequent batch of a quiet node: one more turn of one actor. One statement is one trip to the
    /// connection's thread instead of three. False if the batch is another one, or the row was not as expected.
    async fn commit_alone(
        &mut self,
        batch: &CommitBatch,
        verdicts: &[Verdict],
    ) -> Result<bool, Error> {
        let ([item], [Verdict::Committed]) = (&batch.actors[..], verdicts) else {
            return Ok(false);
        };
        if item.previous == Revision::ZERO || !is_only_a_row(item) {
            return Ok(false);
        }
        let mut parameters = Parameters::with_room(13);
        parameters.number(signed(item.record.revision.0));
        rest_of_row(&mut parameters, item);
        parameters
            .text(&item.id.system)
            .text(&item.id.actor_type)
            .text(&item.id.key)
            .number(signed(item.previous.0))
            .number(signed(self.epoch));
        let text = self.statements.get(Shape::UpdateOne);
        let updated = self.lane.execute(text, parameters).await?;
        self.count(row_bytes(item) as u64);
        Ok(updated == 1)
    }

    fn include<'a>(
        &self,
        batch: &'a CommitBatch,
        order: &[usize],
        verdicts: &[Verdict],
    ) -> Included<'a> {
        let committed = |at: usize| verdicts[at] == Verdict::Committed;
        let actors: Vec<&ActorCommit> =
            order.iter().filter(|at| committed(**at)).map(|at| &batch.actors[*at]).collect();
        // What is no actor's row stands in the batch as it does in the verdicts.
        let mut rest = (batch.actors.len()..verdicts.len()).map(committed);
        let mut next = || rest.next().unwrap_or(false);
        let inbox = batch.inbox.iter().filter(|_| next()).collect();
        let outbox_done = batch.outbox_done.iter().filter(|_| next()).collect();
        let broadcasts = batch.broadcasts.iter().filter(|_| next()).collect();
        let mut spill: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        let mut ends: BTreeMap<usize, i64> = BTreeMap::new();
        for (item, pack) in
            actors.iter().flat_map(|item| item.spill.iter().map(|pack| (&item.id, pack)))
        {
            let (slot, end) = self.ring.place(pack.until);
            spill.entry(slot).or_default().push((item, pack));
            if end > self.slots[slot] {
                let latest = ends.entry(slot).or_default();
                *latest = end.max(*latest);
            }
        }
        // From here on readers look into the tables; a pack must never be there without them knowing.
        for (slot, end) in &ends {
            self.ring.extend(*slot, *end);
        }
        let slots = ends.into_iter().collect();
        Included { actors, inbox, outbox_done, broadcasts, spill, slots }
    }

    /// Writes everything inside a transaction and leaves it open. False if a row was not as expected.
    async fn attempt(&mut self, included: &Included<'_>) -> Result<bool, Error> {
        if included.actors.is_empty() {
            let rows = self.lane.fixed(BEGIN).await?;
            self.guard(rows.first().map_or(Ok(0), |row| row.number(0))?)?;
        }
        let mut rest = &included.actors[..];
        let mut begin = true;
        for rows in chunks(rest.len(), ROWS_MAX) {
            let (now, later) = rest.split_at(rows);
            if !self.upsert(now, begin).await? {
                return Ok(false);
            }
            (rest, begin) = (later, false);
        }
        self.accept(&included.inbox).await?;
        self.remove_answered(&included.actors).await?;
        self.write_flow(&included.actors).await?;
        self.end_deliveries(&included.outbox_done).await?;
        self.bury(&letters(&included.actors, &included.outbox_done)).await?;
        self.step(&included.broadcasts).await?;
        for (slot, packs) in &included.spill {
            self.spill(*slot, packs).await?;
        }
        write_slots(&mut self.lane, &mut self.statements, &included.slots).await?;
        Ok(true)
    }

    async fn close_attempt(
        &mut self,
        attempt: Result<bool, Error>,
        included: &Included<'_>,
    ) -> Result<Attempt, Error> {
        match attempt {
            Ok(true) => {
                self.end(Ok(())).await?;
                for (slot, end) in &included.slots {
                    self.slots[*slot] = *end;
                }
                let rows: usize = included.actors.iter().map(|item| row_bytes(item)).sum();
                let calls: usize = (included.inbox.iter()).map(|item| item.call.len() + 256).sum();
                // Few pages hold what is deleted and stepped on.
                let others = (included.outbox_done.len() + included.broadcasts.len()) * 256;
                self.count((rows + calls + others) as u64);
                Ok(Attempt::Committed)
            }
            Ok(false) => {
                self.roll_back().await;
                Ok(Attempt::Mismatch)
            }
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }

    /// Upserts rows. False if a stored row has another revision than expected, or is missing.
    async fn upsert(&mut self, items: &[&ActorCommit], begin: bool) -> Result<bool, Error> {
        let mut parameters = Parameters::with_room(items.len() * ACTOR_COLUMNS.len());
        for item in items {
            parameters
                .text(&item.id.system)
                .text(&item.id.actor_type)
                .text(&item.id.key)
                .number(i64::from(item.shard))
                .number(signed(item.record.revision.0))
                .number(signed(item.previous.0));
            rest_of_row(&mut parameters, item);
        }
        let rows = items.len();
        let text = self.statements.get(Shape::Upsert { rows, begin });
        let answer = self.lane.rows(text, parameters).await?;
        if begin {
            self.guard(answer.first().map_or(Ok(0), |row| row.number(0))?)?;
        }
        let counts = answer.last().ok_or_else(|| {
            Error::Fatal("the database did not say how many rows were written".into())
        })?;
        let (written, strays) = (counts.number(0)?, counts.number(1)?);
        Ok(written == signed(rows as u64) && strays == 0)
    }

    /// Gives the actors whose stored revision is not the expected one their verdict.
    async fn find_mismatches(
        &mut self,
        batch: &CommitBatch,
        verdicts: &mut [Verdict],
    ) -> Result<(), Error> {
        let mut by_type: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, item) in batch.actors.iter().enumerate() {
            if verdicts[at] == Verdict::Committed {
                let name = (&item.id.system, &item.id.actor_type);
                by_type.entry(name).or_default().push(at);
            }
        }
        for ((system, actor_type), members) in by_type {
            for part in members.chunks(ROWS_MAX) {
                let keys = padded(part.len());
                let mut parameters = Parameters::with_room(keys + 2);
                parameters.text(system).text(actor_type);
                for at in 0..keys {
                    let item = &batch.actors[part[at.min(part.len() - 1)]];
                    parameters.text(&item.id.key);
                }
                let text = self.statements.get(Shape::Revisions { keys });
                let mut stored: HashMap<String, u64> = HashMap::new();
                for row in self.lane.rows(text, parameters).await? {
                    stored.insert(row.text(0)?.to_owned(), unsigned(row.number(1)?));
                }
                for at in part {
                    let item = &batch.actors[*at];
                    let stored = Revision(stored.get(&*item.id.key).copied().unwrap_or(0));
                    if stored != item.previous {
                        verdicts[*at] = Verdict::RevisionMismatch { stored };
                    }
                }
            }
        }
        Ok(())
    }

    async fn accept(&mut self, inserts: &[&InboxInsert]) -> Result<(), Error> {
        let mut rest = inserts;
        for rows in chunks(inserts.len(), ROWS_MAX) {
            let (now, later) = rest.split_at(rows);
            let mut parameters = Parameters::with_room(rows * 6);
            for item in now {
                parameters
                    .text(&item.id.system)
                    .text(&item.id.actor_type)
                    .number(i64::from(item.shard))
                    .number(signed(item.sequence))
                    .text(&item.id.key)
                    .bytes(&item.call);
            }
            let text = self.statements.get(Shape::Accept { rows });
            self.lane.execute(text, parameters).await?;
            rest = later;
        }
        Ok(())
    }

    async fn remove_answered(&mut self, items: &[&ActorCommit]) -> Result<(), Error> {
        let mut by_shard: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for item in items.iter().filter(|item| !item.inbox_done.is_empty()) {
            let shard = (&item.id.system, &item.id.actor_type, item.shard);
            by_shard.entry(shard).or_default().extend(&item.inbox_done);
        }
        for ((system, actor_type, shard), done) in by_shard {
            for part in done.chunks(ROWS_MAX) {
                let sequences = padded(part.len());
                let mut parameters = Parameters::with_room(sequences + 3);
                parameters.text(system).text(actor_type).number(i64::from(shard));
                for at in 0..sequences {
                    parameters.number(signed(part[at.min(part.len() - 1)]));
                }
                let text = self.statements.get(Shape::Answered { sequences });
                self.lane.execute(text, parameters).await?;
            }
        }
        Ok(())
    }

    async fn spill(&mut self, slot: usize, packs: &[(&ActorId, &SpillPack)]) -> Result<(), Error> {
        let mut rest = packs;
        for rows in chunks(packs.len(), PACKS_MAX) {
            let (now, later) = rest.split_at(rows);
            let mut parameters = Parameters::with_room(rows * 8);
            for (id, pack) in now {
                parameters
                    .number(key_hash(&id.key).cast_signed())
                    .number(i64::from(ring::is_wide(pack.from, pack.until)))
                    .number(pack.until.0)
                    .number(pack.from.0)
                    .text(&id.system)
                    .text(&id.actor_type)
                    .text(&id.key)
                    .bytes(&pack.data);
            }
            let text = self.statements.get(Shape::Spill { slot, rows });
            self.lane.execute(text, parameters).await?;
            rest = later;
        }
        Ok(())
    }
}

/// True if a commit is nothing but the next version of a row that is no tombstone.
fn is_only_a_row(item: &ActorCommit) -> bool {
    item.spill.is_empty()
        && item.inbox_done.is_empty()
        && item.outbox.is_empty()
        && item.letters.is_empty()
        && item.history.is_empty()
        && item.forget.is_none()
        && !item.record.deleted
        && item.record.revision > item.previous
}

/// Notes in the database what spill tables hold.
pub(super) async fn write_slots(
    lane: &mut Lane,
    statements: &mut Statements,
    slots: &[(usize, i64)],
) -> Result<(), Error> {
    if slots.is_empty() {
        return Ok(());
    }
    let mut parameters = Parameters::with_room(slots.len() * 2);
    for (slot, end) in slots {
        parameters.number(signed(*slot as u64)).number(*end);
    }
    let text = statements.get(Shape::Slots { rows: slots.len() });
    lane.execute(text, parameters).await.map(|_| ())
}

/// The columns that do not depend on the kind of statement.
fn rest_of_row(parameters: &mut Parameters, item: &ActorCommit) {
    let record = &item.record;
    let Millis(updated_at) = record.updated_at;
    let Millis(spilled_until) = record.spilled_until;
    parameters.number(updated_at).number(spilled_until);
    match &record.state {
        Some(StateBlob { content_type, type_url, .. }) => {
            parameters.string(content_type.clone()).string(type_url.clone())
        }
        None => parameters.null().string(String::new()),
    };
    parameters.bytes(&record.tags).bytes(&record.outcomes);
    match &record.state {
        Some(state) => parameters.bytes(&state.data),
        None => parameters.null(),
    };
}

/// What a row and its packs add to the log, roughly: pages are written whole.
fn row_bytes(item: &ActorCommit) -> usize {
    let state = item.record.state.as_ref().map_or(0, |state| state.data.len());
    let spill: usize = item.spill.iter().map(|pack| pack.data.len() + 4_096).sum();
    let sent: usize = item.outbox.iter().map(|row| row.item.len() + 256).sum();
    let past = |past: &HistoryInsert| past.state.as_ref().map_or(0, |state| state.data.len());
    let history: usize = item.history.iter().map(|kept| past(kept) + 4_096).sum();
    let letters: usize = item.letters.iter().map(|letter| letter.letter.len() + 512).sum();
    state + item.record.outcomes.len() + spill + sent + letters + history + 4_096
}

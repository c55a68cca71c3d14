//! How calls come in: checked for age, joined with repetitions in flight, answered from stored outcomes, or queued.

use callboard_statestore::ActorRecord;
use callboard_types::{
    CallError, Durability, ErrorKind, Kind, Millis, Revision, Tick, TypeDefinition, limits,
};

use super::{Activation, Effect, Env, Phase, Queued, Work, accepted, answer_all, operate, tell};
use crate::{
    activation::{
        marks::{MARKS_MAX, Mark},
        operate::Tool,
        outcome::{Known, Outcomes, StoredOutcome, fingerprint, id_hash},
    },
    call::{Call, ReplyTo},
    deliveries::outcome_call,
};

/// What became of a call that was handed to the activation.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It waits, or was answered at once.
    Taken,
    /// Its durable acceptance needs this: see [`Effect::Accept`].
    Refused,
}

impl Activation {
    /// Takes a call. Repetitions of a known call get its outcome or join it.
    ///
    /// `sequence` is the place in the shard's inbox that an asynchronous call of a durable type would get; `replayed`
    /// says that it has that place already.
    pub fn on_call(
        &mut self,
        env: Env<'_>,
        mut call: Call,
        sequence: u64,
        replayed: bool,
        fx: &mut Vec<Effect>,
    ) -> Admission {
        if call.action.starts_with('$') && Tool::named(&call.action).is_none() {
            return self.on_internal(env, call, fx);
        }
        self.last_used = env.now;
        let Some(work) = work_of(env.definition, &call) else {
            let error = unknown_action(env.definition, &call.action);
            if call.delivery {
                self.remember(env, &call, &Err(error.clone()), fx);
            }
            return refuse(call.reply_to, error, fx);
        };
        let durable = env.definition.durability == Durability::Durable;
        let keeps_outcome = durable && work.changes();
        let (mut hash, mut print, mut checking) = (0, 0, false);
        if keeps_outcome {
            hash = id_hash(&call.request_id);
            print = fingerprint(&call.action, &call.argument);
            if !replayed && let Err(error) = check_age(env, call.created_at) {
                return refuse(call.reply_to, error, fx);
            }
            if replayed && self.join_row(&call, hash, sequence) {
                return Admission::Taken;
            }
            let Some(unanswered) = self.join(call, hash, print, fx) else {
                return Admission::Taken;
            };
            match self.check_known(unanswered, print, fx) {
                Some((unknown, ask)) => (call, checking) = (unknown, ask),
                None => {
                    self.stale_rows.extend(replayed.then_some(sequence));
                    return Admission::Taken;
                }
            }
        }
        if call.delivery {
            match self.check_delivery(env, call, keeps_outcome, work, fx) {
                Some(goes_on) => call = goes_on,
                None => return Admission::Refused,
            }
        }
        if self.depth() >= env.definition.mailbox_limit as usize && !replayed {
            let error = call.refused_for(mailbox_full(env.definition));
            return refuse(call.reply_to, error, fx);
        }
        let mut item = Queued {
            id_hash: hash,
            fingerprint: print,
            checking,
            ..Queued::new(call, work, env.now)
        };
        if replayed {
            item.sequence = Some(sequence);
            item.row_durable = true;
        } else if item.call.asynchronous {
            let hold_back = checking || self.is_loading();
            accept(&mut item, sequence, keeps_outcome, hold_back, fx);
        }
        if checking {
            fx.push(Effect::LookUp {
                request_id: item.call.request_id.clone(),
                created_at: item.call.created_at,
            });
        }
        if item.call.delivery {
            item.askers = self.waiters_of(&item.call);
        }
        self.arm(item.next_deadline(), fx);
        self.busy_mut().mailbox.push_back(item);
        Admission::Taken
    }

    /// What holds for deliveries only, each of which a row stands for: it comes again, so it need not wait here for a host,
    /// and it finds the end of an earlier attempt that is not stored.
    fn check_delivery(
        &mut self,
        env: Env<'_>,
        call: Call,
        keeps_outcome: bool,
        work: Work,
        fx: &mut Vec<Effect>,
    ) -> Option<Call> {
        if !keeps_outcome
            && let Some(ended) = self.remembered.as_ref().and_then(|e| e.find(&call.request_id))
        {
            let outcome = ended.clone();
            tell(call.reply_to, call.deadline, outcome, fx);
            return None;
        }
        let needs_host = matches!(work, Work::Turn { .. }) && !env.hosted;
        let no_room = keeps_outcome && self.outcomes.marks_are_full();
        if !needs_host && !no_room {
            return Some(call);
        }
        let error = if needs_host {
            let text = "no host of the actor's type is connected to its node; the call was not run";
            CallError::new(ErrorKind::NoHost, text)
        } else {
            let text = "as many deliveries to this actor wait for their senders' confirmation as may; the call was not run";
            CallError::new(ErrorKind::MailboxFull, text).with("limit", MARKS_MAX)
        };
        let error = call.refused_for(error);
        refuse(call.reply_to, error, fx);
        None
    }

    /// Lets a call that is in flight already join; gives the call back if it is not.
    fn join(&mut self, call: Call, hash: u64, print: u64, fx: &mut Vec<Effect>) -> Option<Call> {
        let Some(busy) = self.busy.as_mut() else {
            return Some(call);
        };
        let same = |item: &&mut Queued| {
            item.id_hash == hash && item.call.request_id == call.request_id && item.fingerprint != 0
        };
        let Some(item) = busy.items_mut().find(|item| same(item)) else {
            return Some(call);
        };
        if item.fingerprint != print {
            refuse(call.reply_to, id_reused(&call.request_id), fx);
            return None;
        }
        item.call.begun |= call.begun;
        if !call.asynchronous {
            item.joined.push((call.reply_to, call.deadline));
            self.arm(call.deadline, fx);
        } else if item.row_durable {
            fx.push(Effect::Answer { to: call.reply_to, outcome: Ok(accepted(true)) });
        } else if item.sequence.is_some() {
            item.acceptance.push((call.reply_to, call.deadline));
            self.arm(call.deadline, fx);
        } else {
            item.joined.push((call.reply_to, call.deadline));
            self.arm(call.deadline, fx);
        }
        None
    }

    /// Finds the call of a row among those in flight. False if it is not there and must be run.
    fn join_row(&mut self, call: &Call, hash: u64, sequence: u64) -> bool {
        let Some(busy) = self.busy.as_mut() else { return false };
        let same = |item: &Queued| {
            item.id_hash == hash && item.call.request_id == call.request_id && item.fingerprint != 0
        };
        if busy.settled.iter().any(|turn| same(&turn.item) && turn.item.sequence != Some(sequence))
        {
            // Its outcome is on its way to the store; the row goes with the commit after it, at the earliest.
            self.stale_rows.push(sequence);
            return true;
        }
        let Some(item) = busy.items_mut().find(|item| same(item)) else { return false };
        match item.sequence {
            Some(known) if known == sequence => {}
            // A second row of the same accepted call.
            Some(_) => self.stale_rows.push(sequence),
            None => {
                // Callers wait for the call, and by its row it must be run even if they give up.
                let waiter = std::mem::replace(&mut item.call.reply_to, ReplyTo::Nobody);
                let deadline = std::mem::replace(&mut item.call.deadline, Tick::NEVER);
                item.joined.push((waiter, deadline));
                item.call.asynchronous = true;
                item.sequence = Some(sequence);
                item.row_durable = true;
            }
        }
        true
    }

    /// Answers a call whose outcome is known; otherwise gives it back and says whether the store must be asked.
    fn check_known(&self, call: Call, print: u64, fx: &mut Vec<Effect>) -> Option<(Call, bool)> {
        if self.is_loading() {
            // Looked at again when the row is there: see `on_loaded`.
            return Some((call, false));
        }
        match self.outcomes.find(&call.request_id, call.created_at) {
            Known::New => Some((call, false)),
            Known::AskStore => Some((call, true)),
            Known::Marked(mark) => {
                answer_marked(mark, print, call, fx);
                None
            }
            Known::Here(found) => {
                answer_known(found, print, call, fx);
                None
            }
        }
    }

    /// Takes up the row. Calls that waited are checked against its outcomes.
    ///
    /// # Errors
    /// The decoder's words if the row cannot be read; the activation must not be used then.
    pub fn on_loaded(
        &mut self,
        env: Env<'_>,
        record: Option<ActorRecord>,
        fx: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let record = record.unwrap_or_default();
        self.outcomes = Outcomes::load(&record.outcomes, record.spilled_until)?;
        self.revision = record.revision;
        self.submitted = record.revision;
        self.deleted_at = if record.deleted { record.revision } else { Revision::ZERO };
        self.state = record.state;
        self.tags = record.tags;
        self.phase = Phase::Active;
        self.last_used = env.now;
        let waiting = self.busy.as_mut().map(|busy| std::mem::take(&mut busy.mailbox));
        for mut item in waiting.into_iter().flatten() {
            if item.fingerprint != 0 {
                match self.outcomes.find(&item.call.request_id, item.call.created_at) {
                    Known::New => item.write_row(fx),
                    Known::AskStore => {
                        item.checking = true;
                        fx.push(Effect::LookUp {
                            request_id: item.call.request_id.clone(),
                            created_at: item.call.created_at,
                        });
                    }
                    Known::Here(found) => {
                        let found = found.clone();
                        self.answer_repeated(item, &found, fx);
                        continue;
                    }
                    Known::Marked(mark) => {
                        let ran = StoredOutcome::of_mark(&item.call.request_id, mark);
                        for (to, deadline) in std::mem::take(&mut item.askers) {
                            // The mark says that it ran, and the store how it ended.
                            let asks = outcome_call(to, deadline, ran.request_id.clone());
                            self.keep_waiting(asks, false, fx);
                        }
                        self.answer_repeated(item, &ran, fx);
                        continue;
                    }
                }
            }
            self.busy_mut().mailbox.push_back(item);
        }
        self.review_waits(env, fx);
        self.settle_in_memory(env, fx);
        self.arm(env.now.plus_millis(env.definition.idle_timeout_ms), fx);
        Ok(())
    }

    /// Takes the store's answer to [`Effect::LookUp`]; an error means that what is stored cannot be read.
    pub fn on_looked_up(
        &mut self,
        env: Env<'_>,
        request_id: &str,
        found: Result<Option<StoredOutcome>, String>,
        fx: &mut Vec<Effect>,
    ) {
        self.on_outcome_found(env, request_id, &found, fx);
        let Some(busy) = self.busy.as_mut() else { return };
        let at = busy
            .mailbox
            .iter()
            .position(|item| item.checking && item.call.request_id == request_id);
        let Some(at) = at else { return };
        match found {
            Ok(None) => {
                busy.mailbox[at].checking = false;
                busy.mailbox[at].write_row(fx);
            }
            Ok(Some(found)) => {
                let item = busy.mailbox.remove(at).expect("position is inside the mailbox");
                self.answer_repeated(item, &found, fx);
            }
            Err(error) => {
                let item = busy.mailbox.remove(at).expect("position is inside the mailbox");
                let error = CallError::new(
                    ErrorKind::Internal,
                    format!(
                        "stored outcomes of the actor cannot be read, so the call was not run: {error}"
                    ),
                );
                answer_all(item, &Err(error), fx);
            }
        }
        self.settle_in_memory(env, fx);
        self.rest(env, fx);
    }

    /// Answers everybody who waits for a call that was answered in an earlier life. An inbox row that is still there
    /// goes with the next commit.
    fn answer_repeated(&mut self, item: Queued, found: &StoredOutcome, fx: &mut Vec<Effect>) {
        let outcome = if found.fingerprint == item.fingerprint {
            found.to_outcome()
        } else {
            Err(id_reused(&item.call.request_id))
        };
        self.stale_rows.extend(item.sequence.filter(|_| !item.row_held_back));
        let acceptance = outcome.clone().map(|_| accepted(true));
        for (to, _) in item.acceptance {
            fx.push(Effect::Answer { to, outcome: acceptance.clone() });
        }
        if item.call.asynchronous && !matches!(item.call.reply_to, ReplyTo::Nobody) {
            fx.push(Effect::Answer { to: item.call.reply_to, outcome: acceptance });
        } else {
            tell(item.call.reply_to, item.call.deadline, outcome.clone(), fx);
        }
        for (to, deadline) in item.joined.into_iter().chain(item.askers) {
            tell(to, deadline, outcome.clone(), fx);
        }
    }
}

fn work_of(definition: &TypeDefinition, call: &Call) -> Option<Work> {
    if call.activates_only {
        return Some(Work::Read);
    }
    if call.action.starts_with('$') {
        return operate::tool_of(definition.kind, call);
    }
    if let Some(found) = definition.actions.get(&call.action) {
        let alone = definition.speculation_off || found.speculation_off;
        return Some(Work::Turn { read_only: found.read_only, alone });
    }
    let reads = definition.kind != Kind::Pooled && definition.is_default_read(&call.action);
    reads.then_some(Work::Read)
}

fn check_age(env: Env<'_>, created_at: Millis) -> Result<(), CallError> {
    if created_at.0 == 0 {
        // Not known: what is kept is looked through instead.
        return Ok(());
    }
    let oldest = env.low_water.max(env.wall.plus(-limits::OUTCOME_WINDOW_MS));
    if created_at < oldest {
        return Err(CallError::new(
            ErrorKind::RequestExpired,
            "the call was created before the outcomes that are still kept, so it can no longer be told \
             whether it was applied. It was not run now. Read the actor's state before calling anew",
        )
        .with("window_ms", limits::OUTCOME_WINDOW_MS));
    }
    if created_at > env.wall.plus(limits::CREATED_AHEAD_MS) {
        return Err(CallError::new(
            ErrorKind::RequestExpired,
            "the call's created_at lies in the future; it was not run. Set the caller's clock right",
        )
        .with("ahead_max_ms", limits::CREATED_AHEAD_MS));
    }
    Ok(())
}

fn accept(item: &mut Queued, sequence: u64, durable: bool, hold_back: bool, fx: &mut Vec<Effect>) {
    let waiter = std::mem::replace(&mut item.call.reply_to, ReplyTo::Nobody);
    let deadline = std::mem::replace(&mut item.call.deadline, Tick::NEVER);
    if durable {
        item.sequence = Some(sequence);
        item.acceptance.push((waiter, deadline));
        item.row_held_back = true;
        if !hold_back {
            item.write_row(fx);
        }
    } else {
        fx.push(Effect::Answer { to: waiter, outcome: Ok(accepted(false)) });
    }
}

fn answer_known(found: &StoredOutcome, print: u64, call: Call, fx: &mut Vec<Effect>) {
    let outcome = if found.fingerprint != print {
        Err(id_reused(&call.request_id))
    } else {
        match found.to_outcome() {
            // What it came to is for those who wait for it; that it failed is news for this caller as well.
            Ok(_) if call.asynchronous => Ok(accepted(true)),
            known => known,
        }
    };
    tell(call.reply_to, call.deadline, outcome, fx);
}

/// Answers a call whose id is that of a delivery that ran: its sender only wants to know that it did. Others hear it from
/// the store, if the outcome is kept.
fn answer_marked(mark: Mark, print: u64, call: Call, fx: &mut Vec<Effect>) {
    let ran = StoredOutcome::of_mark(&call.request_id, mark);
    answer_known(&ran, print, call, fx);
}

pub(super) fn refuse(to: ReplyTo, error: CallError, fx: &mut Vec<Effect>) -> Admission {
    fx.push(Effect::Answer { to, outcome: Err(error) });
    Admission::Refused
}

pub(super) fn unknown_action(definition: &TypeDefinition, action: &str) -> CallError {
    let shown: String = action.chars().take(64).collect();
    let known: Vec<&str> = definition.actions.keys().map(String::as_str).take(20).collect();
    CallError::new(
        ErrorKind::UnknownAction,
        format!(
            "type {} has no action \"{}\"; it has: {}",
            definition.name,
            shown.escape_debug(),
            known.join(", ")
        ),
    )
}

fn mailbox_full(definition: &TypeDefinition) -> CallError {
    CallError::new(
        ErrorKind::MailboxFull,
        "as many calls wait for this actor as its type allows; this one was not run. Retry later, or \
         spread the work over more actors",
    )
    .with("limit", definition.mailbox_limit)
    .retry_after(50)
}

fn id_reused(request_id: &str) -> CallError {
    let shown: String = request_id.chars().take(64).collect();
    CallError::new(
        ErrorKind::RequestIdReused,
        format!(
            "request id \"{}\" was used for another action or argument of this actor; the call was not \
             run. Use a new id for a new call",
            shown.escape_debug()
        ),
    )
}

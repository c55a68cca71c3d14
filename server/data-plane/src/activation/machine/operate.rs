//! Tools of operators, carried out between turns, and the past states that types may keep.

use callboard_statestore::{Forget, HistoryInsert};
use callboard_types::{CallError, Durability, ErrorKind, Kind, Millis, Revision, Tick};

use super::{Activation, Effect, Env, Phase, Queued, Work};
use crate::{
    activation::operate::{Past, Tool},
    call::{Call, Payload, Reply, ReplyTo},
};

/// How soon an actor that could not leave yet is looked at again, in milliseconds.
const LEAVE_RECHECK_MS: u64 = 50;

impl Activation {
    /// Carries out the tool at the front of the mailbox, while nothing runs. False if it has to wait.
    pub(super) fn run_tool(&mut self, env: Env<'_>, tool: Tool, fx: &mut Vec<Effect>) -> bool {
        let Some(busy) = self.busy.as_mut() else { return false };
        if busy.mailbox.front().is_none_or(|item| item.checking) {
            return false;
        }
        let carry_out = match tool {
            Tool::Checkpoint => Self::checkpoint,
            Tool::Deactivate => return self.deactivate(env, fx),
            Tool::Delete => Self::delete,
            Tool::Restore => Self::restore,
        };
        let item = busy.mailbox.pop_front().expect("there is a front");
        carry_out(self, env, item, fx);
        true
    }

    /// A snapshot actor that has something new is saved like a durable one, and the answer waits for that.
    fn checkpoint(&mut self, env: Env<'_>, item: Queued, fx: &mut Vec<Effect>) {
        let durability = env.definition.durability;
        let saves = durability == Durability::Snapshot && self.is_dirty();
        let durable = durability != Durability::Volatile;
        let reply = Reply { revision: self.revision, durable, ..Reply::default() };
        self.settle(env, item, Ok(reply), (saves, Vec::new()), fx);
    }

    /// Takes the actor out of memory, unless something else waits for it: that comes first. Whoever looks for the actor
    /// from then on finds a new activation.
    fn deactivate(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) -> bool {
        let Some(busy) = self.busy.as_mut() else { return false };
        let leaves = |item: &Queued| item.work == Work::Tool(Tool::Deactivate);
        if !busy.mailbox.iter().all(|item| leaves(item) || item.timer.is_some()) {
            busy.mailbox.rotate_left(1);
            return true;
        }
        if !busy.settled.is_empty() || !busy.waits.is_empty() || !self.stale_rows.is_empty() {
            return false;
        }
        if self.is_dirty() {
            if self.save_at != Tick::NEVER {
                self.save_at = env.now;
                self.arm(env.now, fx);
            }
            return false;
        }
        if self.outcomes.awaits_confirmation(env.now) || self.outcomes.save_confirmed() {
            // Marks that stay in the row stay for days, and there is room for so many only.
            self.arm(env.now.plus_millis(LEAVE_RECHECK_MS), fx);
            return false;
        }
        let busy = self.busy.take().unwrap_or_default();
        for item in busy.mailbox.into_iter().filter(leaves) {
            let reply = Reply { revision: self.revision, ..Reply::default() };
            super::answer_all(item, &Ok(reply), fx);
        }
        // Nothing begins here any more.
        self.phase = Phase::Loading;
        fx.push(Effect::Leave);
        false
    }

    /// Leaves a tombstone: the revision goes on from here, and so do stored outcomes.
    fn delete(&mut self, env: Env<'_>, item: Queued, fx: &mut Vec<Effect>) {
        let durability = env.definition.durability;
        let nothing = self.revision == Revision::ZERO || self.is_deleted();
        let durable = durability != Durability::Volatile;
        if !nothing {
            self.state = None;
            self.tags = bytes::Bytes::new();
            self.revision = self.revision.next();
            self.deleted_at = self.revision;
            self.past.clear();
            self.forget_below = self.revision;
            self.save_at = Tick::NEVER;
            self.init_due = env.definition.init_action().is_some();
            self.init_not_before = env.now;
            self.timers = Box::default();
            if durability == Durability::Durable {
                self.keep_outcome(env, &item, &Ok(Payload::default()), None);
            }
            // A fresh actor is made when somebody calls.
            self.last_used = Tick::default();
        }
        let reply = Reply { revision: self.revision, durable, ..Reply::default() };
        self.settle(env, item, Ok(reply), (durable && !nothing, Vec::new()), fx);
    }

    fn restore(&mut self, env: Env<'_>, item: Queued, fx: &mut Vec<Effect>) {
        if env.definition.durability != Durability::Durable {
            let text = "actors of this type keep no past states; nothing was done";
            let error = CallError::new(ErrorKind::UnknownRevision, text);
            return self.settle(env, item, Err(error), (false, Vec::new()), fx);
        }
        let past = match Past::decode(&item.call.argument.data) {
            Ok(past) => past,
            Err(error) => {
                let text =
                    format!("the state to be restored cannot be read: {error}; nothing was done");
                let error = CallError::new(ErrorKind::InvalidArgument, text);
                return self.settle(env, item, Err(error), (false, Vec::new()), fx);
            }
        };
        self.state = past.state;
        self.tags = past.tags;
        self.revision = self.revision.next();
        self.keep_outcome(env, &item, &Ok(Payload::default()), None);
        self.keep_past(env);
        let reply = Reply { revision: self.revision, durable: true, ..Reply::default() };
        self.settle(env, item, Ok(reply), (true, Vec::new()), fx);
    }

    /// A turn asked for its actor to leave: as if an operator had.
    pub(super) fn leave_soon(&mut self, env: Env<'_>) {
        let mut call = Tool::Deactivate.call(
            Payload::default(),
            String::new(),
            (env.now, env.wall),
            ReplyTo::Nobody,
        );
        // Nobody waits for it, and yet it is wanted.
        call.asynchronous = true;
        call.deadline = Tick::NEVER;
        let work = Work::Tool(Tool::Deactivate);
        self.busy_mut().mailbox.push_back(Queued::new(call, work, env.now));
    }

    /// True if the newest revision is that of a deletion.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted_at != Revision::ZERO && self.deleted_at == self.revision
    }

    // === past states ===

    /// A revision came to be: its state is kept if the type asks for that.
    pub(super) fn keep_past(&mut self, env: Env<'_>) {
        let definition = env.definition;
        if definition.durability == Durability::Durable && definition.settings.history.is_kept() {
            self.past.push(HistoryInsert {
                revision: self.revision,
                at: env.wall,
                state: self.state.clone(),
                tags: self.tags.clone(),
            });
        }
    }

    /// Which past states go with the next commit.
    pub(super) fn take_forget(&mut self, env: Env<'_>) -> Option<Forget> {
        let history = env.definition.settings.history;
        let mut forget =
            Forget { below: std::mem::take(&mut self.forget_below), before: Millis::default() };
        if !self.past.is_empty() && history.is_kept() {
            if history.revisions > 0 {
                let kept_from = (self.revision.0 + 1).saturating_sub(u64::from(history.revisions));
                forget.below = forget.below.max(Revision(kept_from));
            }
            if history.age_ms > 0 {
                let age = i64::try_from(history.age_ms).unwrap_or(i64::MAX);
                forget.before = env.wall.plus(-age);
            }
        }
        (forget != Forget { below: Revision::ZERO, before: Millis::default() }).then_some(forget)
    }
}

/// What kind of work the call of a tool is, if the type's actors have it.
pub(super) fn tool_of(kind: Kind, call: &Call) -> Option<Work> {
    let tool = Tool::named(&call.action)?;
    // Instances of a pool are Callboard's.
    (kind != Kind::Pooled).then_some(Work::Tool(tool))
}

//! Timers: actions that an actor runs at a fixed interval while it is in memory, without being asked.
//!
//! A firing is a call that nobody waits for. It is forgotten with the activation, its outcome is not kept, and a timer that
//! finds its last firing still waiting or running lets its turn pass: at most one of each is here at a time.

use callboard_types::Tick;

use super::{Activation, Effect, Env, Phase, Queued, Work};
use crate::call::{Call, Metadata, ReplyTo};

/// The metadata entry that tells the firing of a timer from a call; its value is the action.
pub const TIMER_ENTRY: &str = "callboard-timer";

/// A timer that is going.
#[derive(Debug)]
pub(super) struct Going {
    interval_ms: u64,
    next: Tick,
}

impl Activation {
    /// Sets the timers going once the actor is ready, and anew when its type has got others.
    pub(super) fn start_timers(&mut self, env: Env<'_>, fx: &mut Vec<Effect>) {
        let wanted = &env.definition.settings.timers;
        if wanted.is_empty() {
            self.timers = Box::default();
            return;
        }
        let ready = self.phase == Phase::Active && !self.init_due;
        let intervals = self.timers.iter().map(|timer| timer.interval_ms);
        if !ready || intervals.eq(wanted.iter().map(|timer| timer.interval_ms)) {
            return;
        }
        let going = wanted.iter().map(|timer| Going {
            interval_ms: timer.interval_ms,
            next: env.now.plus_millis(timer.interval_ms),
        });
        self.timers = going.collect();
        self.arm(self.next_firing(), fx);
    }

    /// Puts what is due into the mailbox. Firings are left out while the node may not begin anything, and while there is no
    /// host: they are not made up for.
    pub(super) fn fire_timers(&mut self, env: Env<'_>) {
        if self.timers.is_empty() || self.phase != Phase::Active || self.init_due {
            return;
        }
        if !env.hosted
            && let Some(busy) = self.busy.as_mut()
        {
            // They would keep an actor in memory that nobody can run.
            busy.mailbox.retain(|item| item.timer.is_none());
        }
        let mut due = Vec::new();
        for (timer, number) in self.timers.iter_mut().zip(0_u8..) {
            if timer.next <= env.now {
                let interval_us = timer.interval_ms.saturating_mul(1_000).max(1);
                let passed = env.now.micros_since(timer.next) / interval_us + 1;
                timer.next = timer.next.plus_millis(passed.saturating_mul(timer.interval_ms));
                due.push(number);
            }
        }
        if env.quiet || !env.hosted {
            return;
        }
        for number in due {
            if !self.holds_firing(number)
                && let Some(item) = firing(env, number)
            {
                self.busy_mut().mailbox.push_back(item);
            }
        }
    }

    /// When the next timer is due; [`Tick::NEVER`] if there is none.
    pub(super) fn next_firing(&self) -> Tick {
        self.timers.iter().map(|timer| timer.next).min().unwrap_or(Tick::NEVER)
    }

    /// True while a firing of the timer waits or runs.
    fn holds_firing(&self, number: u8) -> bool {
        self.busy.iter().any(|busy| {
            let running = busy.run.iter().map(|running| &running.item);
            running.chain(&busy.mailbox).any(|item| item.timer == Some(number))
        })
    }
}

fn firing(env: Env<'_>, number: u8) -> Option<Queued> {
    let timer = env.definition.settings.timers.get(usize::from(number))?;
    let action = env.definition.actions.get(&timer.action)?;
    let alone = env.definition.speculation_off || action.speculation_off;
    let work = Work::Turn { read_only: action.read_only, alone };
    let call = Call {
        action: timer.action.clone(),
        // Never drawn again: the tick tells firings of this life of the node apart, the epoch its lives.
        request_id: format!("timer-{}-{number}-{}", env.epoch, env.now.0),
        created_at: env.wall,
        deadline: Tick::NEVER,
        metadata: Metadata::from([(TIMER_ENTRY.to_owned(), timer.action.clone())]),
        asynchronous: true,
        activates_only: false,
        ..Call::activation(ReplyTo::Nobody, env.now)
    };
    Some(Queued { timer: Some(number), ..Queued::new(call, work, env.now) })
}

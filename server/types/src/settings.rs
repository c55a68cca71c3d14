//! What an actor type may ask for beyond the running of calls: timers, channels, a pool, history.
//!
//! Part of a [`TypeDefinition`](crate::TypeDefinition). Replicated apart from it, because the definition's encoding is
//! frozen: changing a field's meaning needs a new command version.

use serde::{Deserialize, Serialize};

use crate::{
    definition::{Durability, Kind},
    error::{CallError, ErrorKind},
    limits,
};

/// The action that hears of a channel, unless a subscription says otherwise.
pub const RECEIVE_ACTION: &str = "receive";

/// Settings that most types leave alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeSettings {
    /// Actions that an actor runs at a fixed interval while it is in memory.
    pub timers: Vec<Timer>,
    /// Channels whose messages the actors get.
    pub subscriptions: Vec<Subscription>,
    /// The bounds of a POOLED type; `None` for others.
    pub pool: Option<Pool>,
    /// Which past states are kept.
    pub history: History,
}

/// An action at a fixed interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// The action.
    pub action: String,
    /// The interval, in milliseconds.
    pub interval_ms: u64,
}

/// What the actors of a type hear of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The channel's name within the system.
    pub channel: String,
    /// The action that gets the message.
    pub action: String,
    /// Which actors get it.
    pub deliver: Deliver,
}

/// Which actors of a type get what is said on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deliver {
    /// Those that are in memory, at most once.
    Active,
    /// Every actor with a stored state, exactly once.
    Every,
}

/// The bounds of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Instances that are always in memory.
    pub min: u32,
    /// Instances that run at a time in the whole cluster.
    pub max: u32,
}

/// Which past states of an actor are kept. The default keeps none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// How many revisions; 0 sets no limit if there is an age, and keeps none otherwise.
    pub revisions: u32,
    /// For how long, in milliseconds; 0 sets no limit.
    pub age_ms: u64,
}

impl History {
    /// True if past states are kept.
    #[must_use]
    pub fn is_kept(self) -> bool {
        self.revisions > 0 || self.age_ms > 0
    }
}

impl TypeSettings {
    /// Checks the settings of a type of this kind and durability, which has these actions.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] with the rule that is broken.
    pub fn validate(
        &self,
        name: &str,
        kind: Kind,
        durability: Durability,
        has_action: impl Fn(&str) -> bool,
    ) -> Result<(), CallError> {
        let wrong = |what: String| {
            Err(CallError::new(ErrorKind::InvalidArgument, format!("type {name}: {what}")))
        };
        if self.timers.len() > limits::TIMERS_MAX {
            return wrong(format!("more than {} timers", limits::TIMERS_MAX));
        }
        for timer in &self.timers {
            if timer.interval_ms < limits::TIMER_INTERVAL_MIN_MS {
                let least = limits::TIMER_INTERVAL_MIN_MS;
                return wrong(format!(
                    "timer {}: the interval is at least {least} ms",
                    timer.action
                ));
            }
            if !has_action(&timer.action) {
                return wrong(format!(
                    "a timer names the action {}, which it has not",
                    timer.action
                ));
            }
        }
        if self.subscriptions.len() > limits::SUBSCRIPTIONS_MAX {
            return wrong(format!("more than {} subscriptions", limits::SUBSCRIPTIONS_MAX));
        }
        for subscription in &self.subscriptions {
            check_channel(&subscription.channel)?;
            let action = &subscription.action;
            if !has_action(action) {
                return wrong(format!(
                    "a subscription names the action {action}, which it has not"
                ));
            }
            if subscription.deliver == Deliver::Every && durability != Durability::Durable {
                return wrong(
                    "deliver EVERY is for durable types; others keep no actor for good".into(),
                );
            }
        }
        match self.pool {
            Some(_) if kind != Kind::Pooled => wrong("pool bounds are for kind POOLED".into()),
            Some(pool) if pool.max == 0 || pool.max > limits::POOL_MAX || pool.min > pool.max => {
                wrong(format!("a pool has 1 to {} instances, min at most max", limits::POOL_MAX))
            }
            None if kind == Kind::Pooled => {
                wrong("kind POOLED needs the bounds of its pool".into())
            }
            _ if kind == Kind::Pooled && durability != Durability::Volatile => {
                wrong("kind POOLED has no state and so no durability; leave it out".into())
            }
            _ if self.history.is_kept() && durability != Durability::Durable => {
                wrong("history is kept of durable types only".into())
            }
            _ if self.history.revisions > limits::HISTORY_REVISIONS_MAX => {
                wrong(format!("history of at most {} revisions", limits::HISTORY_REVISIONS_MAX))
            }
            _ => Ok(()),
        }
    }
}

/// Checks the name of a channel.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] with the rule.
pub fn check_channel(channel: &str) -> Result<(), CallError> {
    let fits = (1..=limits::NAME_BYTES_MAX).contains(&channel.len());
    if fits && !channel.chars().any(char::is_control) {
        return Ok(());
    }
    Err(CallError::new(
        ErrorKind::InvalidArgument,
        format!(
            "a channel's name has 1 to {} bytes and no control characters; nothing was done",
            limits::NAME_BYTES_MAX
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &TypeSettings, kind: Kind, durability: Durability) -> Result<(), CallError> {
        settings.validate("Counter", kind, durability, |action| action == "tick")
    }

    #[test]
    fn what_a_type_cannot_keep_is_refused_at_registration() {
        let none = TypeSettings::default();
        assert!(check(&none, Kind::Unnamed, Durability::Durable).is_ok());
        assert!(check(&none, Kind::Pooled, Durability::Volatile).is_err(), "no bounds");
        let subscription =
            Subscription { channel: "news".into(), action: "tick".into(), deliver: Deliver::Every };
        let every = TypeSettings { subscriptions: vec![subscription], ..TypeSettings::default() };
        assert!(check(&every, Kind::Unnamed, Durability::Durable).is_ok());
        assert!(check(&every, Kind::Unnamed, Durability::Volatile).is_err());
        let timer = |action: &str, interval_ms| Timer { action: action.into(), interval_ms };
        for (timers, fits) in [
            (vec![timer("tick", 10)], true),
            (vec![timer("tick", 9)], false),
            (vec![timer("tock", 1_000)], false),
            (vec![timer("tick", 10); limits::TIMERS_MAX + 1], false),
        ] {
            let settings = TypeSettings { timers, ..TypeSettings::default() };
            assert_eq!(check(&settings, Kind::Unnamed, Durability::Durable).is_ok(), fits);
        }
        let pool = TypeSettings { pool: Some(Pool { min: 3, max: 2 }), ..TypeSettings::default() };
        assert!(check(&pool, Kind::Pooled, Durability::Volatile).is_err());
    }
}

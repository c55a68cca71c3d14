//! Registers what a host offers, with what its types ask for beyond the running of calls.

use callboard_types::{CallError, ErrorKind, Kind, TypeDefinition, TypeSettings};
use serde::{Deserialize, Serialize};

use super::{RegisterTypes, TypesOffered};
use crate::machine::Machine;

/// A registration as [`TypesOffered`] describes it. A definition's own encoding has no room for settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypesOfferedWith {
    /// What the host offers.
    pub registration: RegisterTypes,
    /// The settings of each of its types, in the same order.
    pub settings: Vec<TypeSettings>,
}

impl TypesOfferedWith {
    /// True if a registration of these types has to travel with settings.
    #[must_use]
    pub fn is_needed(types: &[TypeDefinition]) -> bool {
        // Versions that know no settings know no pools either.
        let plain = TypeSettings::default();
        types.iter().any(|one| one.kind == Kind::Pooled || one.settings != plain)
    }

    /// The settings are taken from the definitions.
    #[must_use]
    pub fn new(registration: RegisterTypes) -> Self {
        let settings = registration.types.iter().map(|one| one.settings.clone()).collect();
        Self { registration, settings }
    }

    pub(super) fn run(mut self, machine: &mut Machine) -> Result<bool, CallError> {
        if self.settings.len() != self.registration.types.len() {
            let text = "a registration has the settings of each of its types, or of none";
            return Err(CallError::new(ErrorKind::InvalidArgument, text));
        }
        for (definition, settings) in self.registration.types.iter_mut().zip(self.settings) {
            definition.settings = settings;
        }
        TypesOffered(self.registration).run(machine)
    }
}

#[cfg(test)]
mod tests {
    use callboard_types::{
        Durability,
        settings::{Pool, RECEIVE_ACTION, Subscription, Timer},
    };

    use super::*;
    use crate::machine::command::{
        Command,
        fixtures::{cluster, counter, offer, offer_with, owners, view},
    };

    fn pool(min: u32, max: u32) -> TypeDefinition {
        let mut definition = counter(1);
        definition.kind = Kind::Pooled;
        definition.durability = Durability::Volatile;
        definition.settings.pool = Some(Pool { min, max });
        definition
    }

    #[test]
    fn settings_reach_the_view_and_the_newest_registration_wins() {
        let mut machine = cluster(1);
        let mut timed = counter(2);
        timed.settings.timers.push(Timer { action: "Add".into(), interval_ms: 50 });
        assert!(machine.apply(offer_with(1, vec![timed.clone()])).changed);
        assert_eq!(view(&machine, "Counter").definition.settings, timed.settings);
        assert!(!machine.apply(offer_with(1, vec![timed.clone()])).changed, "the same again");
        timed.settings.timers[0].interval_ms = 60;
        assert!(machine.apply(offer_with(1, vec![timed])).changed);
        assert!(machine.apply(offer(1, vec![counter(2)])).changed, "a host without any");
        assert_eq!(view(&machine, "Counter").definition.settings, TypeSettings::default());
    }

    #[test]
    fn a_pool_has_a_shard_for_each_instance_and_keeps_its_size() {
        let mut machine = cluster(1);
        assert!(machine.apply(offer_with(1, vec![pool(1, 5)])).changed);
        assert_eq!(owners(&machine), [1; 5]);
        assert!(machine.apply(offer_with(1, vec![pool(3, 5)])).changed, "the lower bound is free");
        let refused = machine.apply(offer_with(1, vec![pool(3, 6)])).outcome;
        let error = refused.expect_err("instances are shards");
        assert_eq!(error.kind, ErrorKind::IncompatibleType);
        assert!(error.message.contains('5') && error.message.contains('6'), "{error}");
        machine.apply(offer_with(1, vec![pool(6, 5)])).outcome.expect_err("min above max");
    }

    #[test]
    fn a_cluster_with_a_node_that_knows_no_settings_is_not_asked_for_them() {
        let older = cluster(2);
        assert!(older.admits(&offer(1, vec![counter(1)])));
        assert!(!older.admits(&offer_with(1, vec![counter(1)])));
        assert!(cluster(1).admits(&offer_with(1, vec![counter(1)])), "nobody else has to know it");
    }

    #[test]
    fn settings_that_are_wrong_too_large_or_of_nobody_are_refused() {
        let mut machine = cluster(1);
        let subscription = |channel: String| Subscription {
            channel,
            action: RECEIVE_ACTION.into(),
            deliver: callboard_types::settings::Deliver::Active,
        };
        let mut deaf = counter(1);
        deaf.settings.subscriptions.push(subscription("news".into()));
        machine.apply(offer_with(1, vec![deaf])).outcome.expect_err("it has no such action");
        let Command::TypesOfferedWith(mut odd) = offer_with(1, vec![counter(1)]) else {
            unreachable!()
        };
        odd.settings.clear();
        machine.apply(Command::TypesOfferedWith(odd)).outcome.expect_err("one each");
        assert_eq!(machine.types().count(), 0);
    }
}

//! Who should vote: the next change of the consensus group, decided from what is agreed and what is so. Pure.
//!
//! One change at a time, in the order of urgency: who left goes first, addresses follow, newcomers learn, and learners
//! that have caught up vote, in numbers that keep the count odd. A voter that is down stays one until it is removed: it
//! may come back, and every change of voters needs a majority anyway.

use std::collections::{BTreeMap, BTreeSet};

/// What is so in the consensus group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Everybody in it, voters and learners, with their addresses.
    pub(crate) addresses: BTreeMap<u64, String>,
    /// Who votes.
    pub(crate) voters: BTreeSet<u64>,
}

/// What the cluster agreed on about one node, and what the leader knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Where it is. Empty on a node that was always alone.
    pub(crate) address: String,
    /// True if it may be asked to vote: it is up, stays, and has nearly the whole log.
    pub(crate) ready: bool,
}

/// The next change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Voters that are no longer members vote no more; a leader among them lets another one lead first.
    Demote(BTreeSet<u64>),
    /// Learners that are no longer members leave.
    Remove(BTreeSet<u64>),
    /// A node is elsewhere.
    Move(u64, String),
    /// A node begins to learn what was agreed.
    Learn(u64, String),
    /// Learners vote from now on.
    Promote(BTreeSet<u64>),
}

/// The next change, if there is anything to change.
pub(crate) fn next(
    group: &Group,
    wanted: &BTreeMap<u64, Wanted>,
    voters_max: usize,
) -> Option<Change> {
    let gone: BTreeSet<u64> =
        group.addresses.keys().filter(|node| !wanted.contains_key(node)).copied().collect();
    // A group in which nobody is left has not been told of its members yet.
    if !gone.is_empty() && gone.len() < group.addresses.len() {
        let voters: BTreeSet<u64> = gone.intersection(&group.voters).copied().collect();
        if voters.is_empty() {
            return Some(Change::Remove(gone));
        }
        if voters.len() < group.voters.len() {
            return Some(Change::Demote(voters));
        }
    }
    for (node, wanted) in wanted {
        match group.addresses.get(node) {
            Some(address) if *address != wanted.address => {
                return Some(Change::Move(*node, wanted.address.clone()));
            }
            None if !wanted.address.is_empty() => {
                return Some(Change::Learn(*node, wanted.address.clone()));
            }
            _ => {}
        }
    }
    promotion(group, wanted, voters_max).map(Change::Promote)
}

/// The learners that vote next: as many as are ready, fit, and leave an odd number of voters.
fn promotion(
    group: &Group,
    wanted: &BTreeMap<u64, Wanted>,
    voters_max: usize,
) -> Option<BTreeSet<u64>> {
    let ready: Vec<u64> = wanted
        .iter()
        .filter(|(node, wanted)| wanted.ready && !group.voters.contains(node))
        .filter(|(node, _)| group.addresses.contains_key(node))
        .map(|(node, _)| *node)
        .collect();
    let most = (group.voters.len() + ready.len()).min(voters_max);
    let count = if most.is_multiple_of(2) { most.saturating_sub(1) } else { most };
    let more = count.checked_sub(group.voters.len()).filter(|more| *more > 0)?;
    Some(ready.into_iter().take(more).collect())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    fn group(voters: &[u64], learners: &[u64]) -> Group {
        let all = voters.iter().chain(learners);
        let addresses = all.map(|node| (*node, format!("n{node}:1"))).collect();
        Group { addresses, voters: voters.iter().copied().collect() }
    }

    fn wanted(ready: &[u64], others: &[u64]) -> BTreeMap<u64, Wanted> {
        let one = |node: &u64, ready| (*node, Wanted { address: format!("n{node}:1"), ready });
        let ready = ready.iter().map(|node| one(node, true));
        ready.chain(others.iter().map(|node| one(node, false))).collect()
    }

    #[test]
    fn learners_vote_in_numbers_that_keep_the_count_odd_up_to_five() {
        let promote = |ready: &[u64]| {
            let learners: Vec<u64> = ready.iter().copied().filter(|node| *node > 1).collect();
            next(&group(&[1], &learners), &wanted(ready, &[]), 5)
        };
        assert_eq!(promote(&[1]), None);
        assert_eq!(promote(&[1, 2]), None, "two voters would survive no more than one");
        assert_eq!(promote(&[1, 2, 3]), Some(Change::Promote([2, 3].into())));
        assert_eq!(promote(&[1, 2, 3, 4]), Some(Change::Promote([2, 3].into())));
        assert_eq!(promote(&[1, 2, 3, 4, 5, 6, 7]), Some(Change::Promote([2, 3, 4, 5].into())));
    }

    #[test]
    fn a_voter_that_was_removed_is_replaced_and_one_that_is_down_is_not() {
        let four = wanted(&[1, 3, 4], &[2]);
        assert_eq!(next(&group(&[1, 2, 3], &[4]), &four, 5), None, "2 may come back");
        let without = wanted(&[1, 3, 4], &[]);
        let leave = next(&group(&[1, 2, 3], &[4]), &without, 5);
        assert_eq!(leave, Some(Change::Demote([2].into())));
        let leave = next(&group(&[1, 3], &[2, 4]), &without, 5);
        assert_eq!(leave, Some(Change::Remove([2].into())));
        let replace = next(&group(&[1, 3], &[4]), &without, 5);
        assert_eq!(replace, Some(Change::Promote([4].into())));
    }

    #[test]
    fn a_node_that_moved_is_found_before_anybody_new_votes() {
        let mut all = wanted(&[1, 2, 3], &[]);
        all.get_mut(&2).expect("there").address = "elsewhere:1".into();
        let change = next(&group(&[1], &[2, 3]), &all, 5);
        assert_eq!(change, Some(Change::Move(2, "elsewhere:1".into())));
    }

    /// What the change makes of the group.
    fn apply(group: &mut Group, change: Change) {
        match change {
            Change::Demote(gone) => group.voters.retain(|node| !gone.contains(node)),
            Change::Remove(gone) => group.addresses.retain(|node, _| !gone.contains(node)),
            Change::Move(node, address) | Change::Learn(node, address) => {
                group.addresses.insert(node, address);
            }
            Change::Promote(nodes) => group.voters.extend(nodes),
        }
    }

    proptest! {
        #[test]
        fn changes_end_and_leave_everybody_in_and_no_more_voters_than_allowed(
            members in btree_map(1_u64..9, (1_u8..3, any::<bool>()), 1..8),
            before in btree_map(1_u64..9, any::<bool>(), 1..8), max in 1_usize..6,
        ) {
            let wanted: BTreeMap<u64, Wanted> = members
                .into_iter()
                .map(|(node, (at, ready))| (node, Wanted { address: format!("n{at}:1"), ready }))
                .collect();
            prop_assume!(before.iter().any(|(node, votes)| *votes && wanted.contains_key(node)));
            let voters: Vec<u64> = before.iter().filter(|(_, v)| **v).map(|(n, _)| *n).collect();
            let learners: Vec<u64> = before.iter().filter(|(_, v)| !**v).map(|(n, _)| *n).collect();
            let mut group = group(&voters, &learners);
            let at_first = group.voters.len();
            for _ in 0..30 {
                let Some(change) = next(&group, &wanted, max) else { break };
                apply(&mut group, change);
            }
            prop_assert_eq!(next(&group, &wanted, max), None, "it settles");
            prop_assert!(group.addresses.keys().eq(wanted.keys()));
            prop_assert!(group.voters.len() <= max.max(at_first));
        }
    }
}

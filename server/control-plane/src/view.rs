//! What was agreed, as the view that both planes look at.
//!
//! Two sources change it: the state machine, in log order, and elections, which are not in the log. Both go through one
//! [`Publisher`], which replaces the view on its watch. Types that did not change are the same objects as before.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use callboard_types::{ClusterView, NodeId, NodeView};
use tokio::sync::watch;

use crate::{metrics, raft::state_machine::State};

/// Publishes views. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    node: NodeId,
    view: watch::Sender<Arc<ClusterView>>,
    /// Which version of the schedules this node has.
    schedules: watch::Sender<u64>,
    /// How many views there were.
    count: Arc<AtomicU64>,
}

impl Publisher {
    pub(crate) fn new(node: NodeId) -> Self {
        let view = ClusterView { node, ..ClusterView::default() };
        let (view, schedules) = (watch::Sender::new(Arc::new(view)), watch::Sender::new(0));
        Self { node, view, schedules, count: Arc::default() }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.view.subscribe()
    }

    /// The version of the schedules, and each that follows. Views do not show schedules.
    pub(crate) fn schedules(&self) -> watch::Receiver<u64> {
        self.schedules.subscribe()
    }

    /// The newest view.
    pub(crate) fn current(&self) -> Arc<ClusterView> {
        Arc::clone(&self.view.borrow())
    }

    /// The newest view, and how many there were up to it.
    pub(crate) fn counted(&self) -> (Arc<ClusterView>, u64) {
        let view = self.view.borrow();
        (Arc::clone(&view), self.count.load(Ordering::Acquire))
    }

    /// Publishes what the machine holds, unless it is what the view shows already.
    pub(crate) fn publish(&self, state: &State) {
        self.schedules.send_if_modified(|version| {
            let changed = *version != state.schedules_version;
            if changed {
                *version = state.schedules_version;
                metrics::schedules_pending(state.machine.schedules().len());
            }
            changed
        });
        self.view.send_if_modified(|view| {
            if view.version == state.version && !view.cluster_id.is_empty() {
                return false;
            }
            let next = build(state, view);
            count_moves(view, &next);
            *view = Arc::new(next);
            self.measure(view);
            true
        });
    }

    /// Publishes who leads.
    pub(crate) fn publish_leader(&self, leader: Option<NodeId>, term: u64) {
        self.view.send_if_modified(|view| {
            if view.leader == leader && view.term == term {
                return false;
            }
            let mut next = ClusterView::clone(view);
            (next.leader, next.term) = (leader, term);
            *view = Arc::new(next);
            self.measure(view);
            true
        });
    }

    fn measure(&self, view: &ClusterView) {
        self.count.fetch_add(1, Ordering::AcqRel);
        metrics::view_published(view.leader == Some(self.node), view.term, view.version);
    }
}

/// The view of a state, with what only elections know taken from the view before.
fn build(state: &State, before: &ClusterView) -> ClusterView {
    let voters: Vec<u64> = state.membership.membership().voter_ids().collect();
    let nodes = state.machine.members().map(|(id, member)| NodeView {
        id,
        address: member.address().to_string(),
        peer_address: member.peer_address().to_string(),
        voter: voters.contains(&id.0),
        state: member.state(),
    });
    let mut view = ClusterView {
        version: state.version,
        cluster_id: state.machine.cluster_id().to_owned(),
        node: before.node,
        leader: before.leader,
        term: before.term,
        nodes: nodes.collect(),
        systems: state.machine.systems().cloned().collect(),
        ..ClusterView::default()
    };
    let types: Vec<_> = state.machine.types().cloned().collect();
    if same(&types, &before.types) {
        // Nothing to index anew: most versions change nodes, systems or a few types.
        view.index = before.index.clone();
        view.types = types;
    } else {
        view.set_types(types);
    }
    view
}

/// Counts the shards that changed their owner: by plan, or because it was gone.
fn count_moves(before: &ClusterView, after: &ClusterView) {
    let (mut planned, mut taken_over) = (0, 0);
    for now in &after.types {
        // Types that are the same object, as nearly all are, cost one comparison.
        let Some(was) = before.type_of(&now.system, &now.name).filter(|was| !Arc::ptr_eq(was, now))
        else {
            continue;
        };
        for (was, now) in was.shards.iter().zip(now.shards.iter()) {
            if was.node != now.node {
                if was.moving_to == now.node { planned += 1 } else { taken_over += 1 }
            }
        }
    }
    metrics::shards_moved(true, planned);
    metrics::shards_moved(false, taken_over);
}

/// True if the lists name the same types in the same places, so that an index of one fits the other.
fn same(
    types: &[Arc<callboard_types::TypeView>],
    before: &[Arc<callboard_types::TypeView>],
) -> bool {
    let mut pairs = types.iter().zip(before);
    types.len() == before.len() && pairs.all(|(a, b)| a.id == b.id)
}

#[cfg(test)]
mod tests {
    use callboard_types::TypeDefinition;

    use super::*;
    use crate::machine::{
        Command,
        command::{Bootstrap, RegisterTypes},
    };

    fn apply(state: &mut State, command: Command) {
        assert!(state.machine.apply(command).changed);
        state.version += 1;
    }

    fn register(types: Vec<TypeDefinition>) -> Command {
        Command::RegisterTypes(RegisterTypes {
            system: "default".into(),
            node: NodeId(1),
            types,
            descriptor_set: None,
        })
    }

    #[test]
    fn a_change_of_one_type_leaves_the_others_as_they_are() {
        let (publisher, mut state) = (Publisher::new(NodeId(1)), State::default());
        let (node, address) = (NodeId(1), "a:1".into());
        let bootstrap = Bootstrap { cluster_id: "c".into(), node, address };
        apply(&mut state, Command::Bootstrap(bootstrap));
        let (counter, clock) = (TypeDefinition::new("Counter"), TypeDefinition::new("Clock"));
        apply(&mut state, register(vec![counter.clone(), clock.clone()]));
        publisher.publish(&state);
        let before = publisher.current();

        let newer = TypeDefinition { mailbox_limit: 5, ..counter };
        apply(&mut state, register(vec![newer, clock]));
        publisher.publish(&state);
        let after = publisher.current();
        let find = |view: &ClusterView, name: &str| {
            Arc::clone(view.type_of("default", name).expect("registered"))
        };
        assert!(Arc::ptr_eq(&find(&before, "Clock"), &find(&after, "Clock")));
        assert_eq!(find(&after, "Counter").definition.mailbox_limit, 5);
        assert_eq!(find(&before, "Counter").definition.mailbox_limit, 1_000, "views never change");
        assert!(after.version > before.version);

        apply(&mut state, register(vec![TypeDefinition::new("Alpha")]));
        publisher.publish(&state);
        for name in ["Alpha", "Clock", "Counter"] {
            assert_eq!(&*find(&publisher.current(), name).name, name, "found under its own name");
        }
    }

    #[test]
    fn an_election_changes_the_view_and_not_its_version() {
        let publisher = Publisher::new(NodeId(1));
        let mut view = publisher.subscribe();
        publisher.publish_leader(Some(NodeId(2)), 7);
        assert!(view.has_changed().expect("alive"));
        let seen = view.borrow_and_update().clone();
        assert_eq!((seen.leader, seen.term, seen.version), (Some(NodeId(2)), 7, 0));
        publisher.publish_leader(Some(NodeId(2)), 7);
        assert!(!view.has_changed().expect("alive"), "nobody is woken for nothing");
    }

    /// Work of this thread so far: a busy machine takes time from it, and makes it work no more.
    fn worked_micros() -> i64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
    }

    /// Fails only if publishing came to copy types: that would take a hundred times as long.
    #[test]
    fn a_change_among_ten_thousand_types_costs_little_and_shares_all_others() {
        let (publisher, mut state) = (Publisher::new(NodeId(1)), State::default());
        let (node, address) = (NodeId(1), "a:1".into());
        let bootstrap = Bootstrap { cluster_id: "c".into(), node, address };
        apply(&mut state, Command::Bootstrap(bootstrap));
        for batch in 0..50 {
            let names = (0..200).map(|number| format!("T{:05}", batch * 200 + number));
            apply(&mut state, register(names.map(|name| TypeDefinition::new(&name)).collect()));
        }
        publisher.publish(&state);
        let before = publisher.current();
        let mut fastest = i64::MAX;
        for limit in 1..=20 {
            let changed = TypeDefinition { mailbox_limit: limit, ..TypeDefinition::new("T05000") };
            apply(&mut state, register(vec![changed]));
            let began = worked_micros();
            publisher.publish(&state);
            fastest = fastest.min(worked_micros() - began);
        }
        let after = publisher.current();
        let mut pairs = before.types.iter().zip(&after.types);
        assert_eq!(pairs.by_ref().filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
        assert_eq!(after.types.len(), 10_000);
        assert!(fastest < 50_000, "{fastest} us in a debug build");
    }
}

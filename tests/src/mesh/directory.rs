//! What the nodes of a mesh agree on, as the test says it.

use std::{
    collections::{BTreeMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use bytes::Bytes;
use callboard_data_plane::ports::{Directory, Hosting, Schedules};
use callboard_types::{
    CallError, ClusterView, Epoch, Lease, NodeId, NodeState, NodeView, ShardId, ShardOwner,
    TypeDefinition, TypeView,
};
use tokio::sync::{Notify, watch};

use super::schedules::ScriptedSchedules;

/// The agreement of a mesh. Every change makes a new version of the view, which goes to each node that is not held back.
#[derive(Debug, Default)]
pub struct Script {
    agreed: Mutex<Agreed>,
    schedules: Arc<ScriptedSchedules>,
}

#[derive(Debug, Default)]
struct Agreed {
    version: u64,
    nodes: Vec<NodeView>,
    types: BTreeMap<String, TypeView>,
    views: BTreeMap<NodeId, watch::Sender<Arc<ClusterView>>>,
    leases: BTreeMap<NodeId, Lease>,
    /// Nodes that hear nothing new.
    held: HashSet<NodeId>,
    /// What nodes said of their hosts, in order.
    hosting: Vec<(NodeId, String, Hosting)>,
    heard: Arc<Notify>,
}

impl Script {
    fn agreed(&self) -> MutexGuard<'_, Agreed> {
        self.agreed.lock().expect("no test panics in here")
    }

    pub(super) fn schedules(&self) -> &Arc<ScriptedSchedules> {
        &self.schedules
    }

    pub(super) fn add_node(&self, node: NodeView) {
        let mut agreed = self.agreed();
        agreed.views.insert(node.id, watch::Sender::new(Arc::default()));
        agreed.leases.insert(node.id, Lease::unlimited());
        agreed.nodes.push(node);
        agreed.publish();
    }

    /// The owner of a shard.
    #[must_use]
    pub fn owner(&self, actor_type: &str, shard: u32) -> ShardOwner {
        self.agreed().types[actor_type].shards[shard as usize]
    }

    /// Gives a shard to another node, or to nobody, in a new epoch, without asking its owner.
    pub fn give(&self, actor_type: &str, shard: u32, to: u64) {
        self.agreed().change(actor_type, shard, |owner| {
            *owner = ShardOwner::new(NodeId(to), owner.epoch.next());
        });
    }

    /// Asks a shard's owner to let it go. It moves once the owner has.
    pub fn begin_move(&self, actor_type: &str, shard: u32, to: u64) {
        self.agreed().change(actor_type, shard, |owner| {
            if owner.node != NodeId(to) {
                owner.moving_to = NodeId(to);
            }
        });
    }

    /// True while the shard is to move and its owner has not let it go.
    #[must_use]
    pub fn is_moving(&self, actor_type: &str, shard: u32) -> bool {
        self.owner(actor_type, shard).is_moving()
    }

    /// Says what the cluster thinks of a node.
    pub fn set_state(&self, node: u64, state: NodeState) {
        let mut agreed = self.agreed();
        agreed.nodes.iter_mut().filter(|n| n.id == NodeId(node)).for_each(|n| n.state = state);
        agreed.publish();
    }

    /// Waits until a node has said this of its hosts of a type.
    pub async fn hosting(&self, node: u64, actor_type: &str, hosting: Hosting) {
        let heard = Arc::clone(&self.agreed().heard);
        loop {
            let more = heard.notified();
            let said = (NodeId(node), actor_type.to_owned(), hosting);
            if self.agreed().hosting.contains(&said) {
                return;
            }
            more.await;
        }
    }

    /// From now on a node hears nothing new; or everything again.
    pub fn hold(&self, node: u64, held: bool) {
        let mut agreed = self.agreed();
        if held {
            agreed.held.insert(NodeId(node));
        } else {
            agreed.held.remove(&NodeId(node));
            agreed.send();
        }
    }
}

impl Agreed {
    fn change(&mut self, actor_type: &str, shard: u32, change: impl FnOnce(&mut ShardOwner)) {
        let view = self.types.get_mut(actor_type).expect("the type is registered");
        let mut shards = view.shards.to_vec();
        change(&mut shards[shard as usize]);
        view.shards = shards.into();
        self.publish();
    }

    fn publish(&mut self) {
        self.version += 1;
        self.send();
    }

    fn send(&self) {
        let types: Vec<Arc<TypeView>> =
            self.types.values().map(|view| Arc::new(copy(view))).collect();
        for (node, sender) in &self.views {
            if self.held.contains(node) {
                continue;
            }
            let mut view = ClusterView {
                version: self.version,
                cluster_id: "mesh".to_owned(),
                node: *node,
                leader: Some(NodeId(1)),
                term: 1,
                nodes: self.nodes.clone(),
                systems: vec!["default".into()],
                ..ClusterView::default()
            };
            view.set_types(types.clone());
            sender.send_replace(Arc::new(view));
        }
    }

    fn register(&mut self, definition: TypeDefinition, set: &Bytes) {
        let id = u32::try_from(self.types.len()).expect("few types");
        let nodes = self.nodes.len() as u64;
        let deal = |shard: u32| ShardOwner::new(NodeId(u64::from(shard) % nodes + 1), Epoch(1));
        let shards: Vec<ShardOwner> = (0..definition.shards).map(deal).collect();
        let mut hash = DefaultHasher::new();
        set.hash(&mut hash);
        let name = definition.name.clone();
        let known = self.types.get(&name);
        let view = TypeView {
            id: known.map_or(id, |known| known.id),
            system: "default".into(),
            name: name.as_str().into(),
            definition,
            descriptor_hash: format!("{:x}", hash.finish()).into(),
            descriptor_set: set.as_ref().into(),
            shards: known.map_or_else(|| shards.into(), |known| Arc::clone(&known.shards)),
        };
        if known != Some(&view) {
            self.types.insert(name, view);
            self.publish();
        }
    }
}

fn copy(view: &TypeView) -> TypeView {
    TypeView {
        id: view.id,
        system: Arc::clone(&view.system),
        name: Arc::clone(&view.name),
        definition: view.definition.clone(),
        descriptor_hash: Arc::clone(&view.descriptor_hash),
        descriptor_set: Arc::clone(&view.descriptor_set),
        shards: Arc::clone(&view.shards),
    }
}

/// One node's way to the agreement.
#[derive(Debug)]
pub(super) struct ScriptedDirectory {
    node: NodeId,
    view: watch::Receiver<Arc<ClusterView>>,
    lease: Lease,
    script: Arc<Script>,
}

impl ScriptedDirectory {
    pub(super) fn new(node: NodeId, script: &Arc<Script>) -> Self {
        let agreed = script.agreed();
        let view = agreed.views[&node].subscribe();
        let lease = agreed.leases[&node].clone();
        drop(agreed);
        Self { node, view, lease, script: Arc::clone(script) }
    }
}

#[async_trait]
impl Directory for ScriptedDirectory {
    fn view(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.view.clone()
    }

    fn lease(&self) -> Lease {
        self.lease.clone()
    }

    fn schedules(&self) -> Arc<dyn Schedules> {
        Arc::clone(&self.script.schedules) as _
    }

    fn released(&self, shards: Vec<(ShardId, Epoch)>) {
        let mut agreed = self.script.agreed();
        for (shard, epoch) in shards {
            agreed.change(&shard.actor_type, shard.number, |owner| {
                if owner.epoch == epoch && owner.is_moving() {
                    *owner = ShardOwner::new(owner.moving_to, epoch.next());
                }
            });
        }
    }

    fn epoch_too_low(&self, stored: Vec<(ShardId, Epoch)>) {
        let mut agreed = self.script.agreed();
        for (shard, stored) in stored {
            agreed.change(&shard.actor_type, shard.number, |owner| {
                owner.epoch = owner.epoch.max(stored.next());
            });
        }
    }

    async fn register_types(
        &self,
        _system: &str,
        types: Vec<TypeDefinition>,
        descriptor_set: Bytes,
    ) -> Result<u64, CallError> {
        let mut agreed = self.script.agreed();
        for definition in types {
            agreed.register(definition, &descriptor_set);
        }
        Ok(agreed.version)
    }

    async fn set_hosted(&self, types: Vec<(String, String)>, hosting: Hosting) {
        let mut agreed = self.script.agreed();
        agreed.hosting.extend(types.into_iter().map(|(_, name)| (self.node, name, hosting)));
        agreed.heard.notify_waiters();
    }
}

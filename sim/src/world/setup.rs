//! How a simulation begins.

use std::{collections::BinaryHeap, rc::Rc};

use callboard_control_plane::machine::{
    COMMAND_VERSIONS, Command, Machine,
    command::{BootstrapCluster, HostedChanged, RegisterTypes, TypesOffered},
};
use callboard_types::{Action, Durability, TypeDefinition};

use super::{CALLERS, FAULTS, PROBES_AT, What, World};
use crate::{
    bugs::Bug,
    callers::{Callers, SHARDS, VOLATILE},
    clock::Clock,
    coverage::Coverage,
    faults,
    history::History,
    net::Net,
    node::{Facts, Node, TICK, joins, life_of, node_id, started},
    raft::Entry,
    rng::Rng,
    store::Store,
};

/// Host sessions per node.
pub(super) const HOSTS: usize = 2;

impl World {
    /// A simulation that depends on its seed only, and on what is broken on purpose.
    #[must_use]
    pub(crate) fn new(seed: u64, bug: Option<Bug>, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let count = usize::try_from(rng.between(3, 8)).expect("few");
        let voters = if count >= 5 { 5 } else { 3 };
        let types: Rc<[TypeDefinition]> = definitions().into();
        // The last node may join while the others are at work.
        let members = count - usize::from(count > voters && rng.chance(500));
        let commands = first_commands(members, &types);
        let (log, agreed) = agree(&commands);
        let machine = agreed.last().expect("a cluster").clone();
        let nodes = (0..count)
            .map(|me| {
                let clock = Clock {
                    origin: rng.between(1 << 32, 1 << 40),
                    rate: rng.between(9_300, 10_700),
                    stepped: 0,
                };
                let hosts = Vec::new();
                let types = Rc::clone(&types);
                let facts = Facts { me, life: life_of(me), clock, hosts, types };
                let mut node = Node::new(facts, (voters, count, log.clone()), machine.clone());
                node.connect_hosts(HOSTS);
                node
            })
            .collect();
        let faults = faults::draw(&mut rng, count, FAULTS.0, FAULTS.1);
        let mut world = Self {
            now: 0,
            order: 0,
            events: 0,
            queue: BinaryHeap::new(),
            rng,
            bug,
            trace,
            net: Net::default(),
            store: Store::default(),
            nodes,
            paused: (0..count).map(|_| (0, Vec::new())).collect(),
            callers: Callers::default(),
            faults,
            agreed,
            history: History::default(),
            coverage: Coverage::default(),
            out: Vec::new(),
        };
        world.schedule_all();
        world
    }

    fn schedule_all(&mut self) {
        for node in 0..self.nodes.len() {
            let at = self.rng.between(1, TICK);
            self.schedule(at, What::Tick(node));
        }
        self.schedule(TICK, What::Callers);
        for caller in 0..CALLERS {
            let at = self.rng.between(1, 500_000);
            self.schedule(at, What::Next(caller));
        }
        for (number, fault) in self.faults.clone().into_iter().enumerate() {
            self.schedule(fault.begins, What::Strike(number));
            self.schedule(fault.ends, What::Mend(number));
        }
        self.schedule(PROBES_AT, What::Probe);
    }
}

fn definitions() -> Vec<TypeDefinition> {
    let definition = |(number, shards): (usize, &u32)| {
        let mut definition = TypeDefinition::new(&format!("T{number}"));
        definition.shards = *shards;
        definition.turn_timeout_ms = 1_500;
        definition.idle_timeout_ms = 3_000;
        if number == VOLATILE as usize {
            definition.durability = Durability::Volatile;
        }
        definition.actions.insert("Add".into(), Action::default());
        definition
    };
    SHARDS.iter().enumerate().map(definition).collect()
}

/// The log with which all nodes begin: they are members, up, and have hosts of every type.
fn first_commands(nodes: usize, types: &[TypeDefinition]) -> Vec<Command> {
    let (commands_min, commands_max) = COMMAND_VERSIONS;
    let folder_id = |node: usize| format!("folder {node}");
    let mut commands = vec![Command::BootstrapCluster(BootstrapCluster {
        cluster_id: "simulated".into(),
        node: node_id(0),
        folder_id: folder_id(0),
        address: "gateway".into(),
        peer_address: "peer".into(),
        commands_min,
        commands_max,
    })];
    commands.extend((1..nodes).map(joins));
    commands.extend((0..nodes).map(|node| started(node_id(node), life_of(node), 0)));
    commands.push(Command::TypesOffered(TypesOffered(RegisterTypes {
        system: "default".into(),
        node: node_id(0),
        types: types.to_vec(),
        descriptor_set: None,
    })));
    commands.extend((1..nodes).map(|node| {
        let name = |definition: &TypeDefinition| ("default".into(), definition.name.clone(), true);
        let types = types.iter().map(name).collect();
        Command::HostedChanged(HostedChanged { node: node_id(node), types })
    }));
    commands
}

/// The log of commands that everybody has, and the machine after each index.
fn agree(commands: &[Command]) -> (Vec<Entry>, Vec<Machine>) {
    let mut agreed = vec![Machine::default()];
    let mut log = Vec::new();
    for command in commands {
        let mut machine = agreed.last().expect("it begins with one").clone();
        let applied = machine.apply(command.clone());
        applied.outcome.expect("the first commands are right");
        agreed.push(machine);
        log.push(Entry { term: 1, command: Some(Rc::new(command.clone())) });
    }
    (log, agreed)
}

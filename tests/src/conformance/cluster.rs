//! A host and several nodes: a session to each, opened and closed as the cluster changes, none disturbing another.

use callboard_proto::{
    host::v1::{Drained, Draining, Hello, Topology, host_frame, node_frame},
    types::v1::NodeAddress,
};

use super::{
    Scenario,
    check::{Check, Failure, ensure, same},
    lifecycle::{EXIT, let_finish, start_waiting, wait_for_drain},
    program::{Mode, Program, Role},
    server::FakeServer,
    session::{End, Session},
    stage::{START, Stage},
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["cluster":
    "a session is opened to every node that Welcome names" => every_node,
    "every configured address is used, whichever answers first" => every_address,
    "a node that goes away is found again and disturbs no other session" => comes_back,
    "a node that joins gets a session" => joins,
    "a node that is removed is drained, and no other" => removed,
    "an older Topology changes nothing" => older_topology,
    "Draining of one node leaves the others alone" => one_drains,
    "SIGTERM drains every session before the program ends" => drain_all,
    "a node under two addresses keeps one session" => two_names,
    "a node that cannot be reached keeps nobody waiting" => unreachable,
    "the host's credits are shared out among its sessions" => credits,
    "turns of one node do not wait for those of another" => independent,
    "sidecar mode stays on the configured node" => sidecar,
];

/// A host program and the nodes of a cluster, numbered from 1.
struct Cluster {
    servers: Vec<FakeServer>,
    sessions: Vec<Session>,
    program: Program,
    hello: Hello,
}

impl Cluster {
    /// Starts nodes and a host that is told of the first, which names all of them.
    async fn start(stage: &Stage, count: usize) -> Result<Self, Failure> {
        let mut servers = Vec::new();
        for _ in 0..count {
            servers.push(stage.server().await?);
        }
        let first = servers[0].address().to_string();
        let program = stage.program_at(Role::Host, Mode::Default, &first)?;
        let nodes = addresses(&servers);
        let mut sessions = Vec::new();
        let mut hello = None;
        for (id, server) in (1..).zip(&mut servers) {
            let mut session = server.session(START).await?;
            let (said, _) = session.handshake_as(id, nodes.clone()).await?;
            hello.get_or_insert(said);
            sessions.push(session);
        }
        let hello = hello.ok_or_else(|| Failure("a cluster needs a node".to_owned()))?;
        Ok(Cluster { servers, sessions, program, hello })
    }

    /// Every session runs turns.
    async fn works(&mut self, turn_id: u64) -> Check {
        for session in &mut self.sessions {
            session.works(turn_id).await?;
        }
        Ok(())
    }

    /// The next session to a node, after its handshake.
    async fn session_of(&mut self, index: usize) -> Result<(Session, Hello), Failure> {
        let nodes = addresses(&self.servers);
        let mut session = self.servers[index].session(START).await?;
        let (hello, _) = session.handshake_as(index as u64 + 1, nodes).await?;
        Ok((session, hello))
    }

    async fn tell(&self, index: usize, version: u64, nodes: Vec<NodeAddress>) {
        let topology = Topology { nodes, view_version: version };
        self.sessions[index].send([node_frame::Frame::Topology(topology)]).await;
    }
}

fn addresses(servers: &[FakeServer]) -> Vec<NodeAddress> {
    let name = |server: &FakeServer| server.address().to_string();
    (1..).zip(servers).map(|(node_id, s)| NodeAddress { node_id, address: name(s) }).collect()
}

async fn credit(session: &mut Session) -> Result<u32, Failure> {
    session
        .take("Credit", |frame| match frame {
            host_frame::Frame::Credit(credit) => Some(credit.turns),
            _ => None,
        })
        .await
}

async fn every_node(stage: Stage) -> Check {
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(stage.server().await?);
    }
    let first = servers[0].address().to_string();
    let _program = stage.program_at(Role::Host, Mode::Default, &first)?;
    let nodes = addresses(&servers);
    let mut offered = None;
    let mut sessions = Vec::new();
    for (id, server) in (1..).zip(&mut servers) {
        let mut session = server.session(START).await?;
        let (hello, register) = session.handshake_as(id, nodes.clone()).await?;
        let first = offered.get_or_insert((hello.instance_id.clone(), register.types.clone()));
        same("instance_id and types", (hello.instance_id, register.types), first.clone())?;
        session.works(1).await?;
        sessions.push(session);
    }
    for (session, server) in sessions.iter_mut().zip(&servers) {
        session.works(2).await?;
        ensure(!server.has_session(), "a node got a second session")?;
    }
    Ok(())
}

async fn every_address(stage: Stage) -> Check {
    let mut servers = [stage.server().await?, stage.server().await?, stage.server().await?];
    servers[0].kill();
    let list = servers.iter().map(|server| server.address().to_string()).collect::<Vec<_>>();
    let _program = stage.program_at(Role::Host, Mode::Default, &list.join(","))?;
    let mut sessions = Vec::new();
    for (id, server) in (2..).zip(&mut servers[1..]) {
        let mut session = server.session(START).await?;
        session.handshake_as(id, Vec::new()).await?;
        session.works(1).await?;
        sessions.push(session);
    }
    servers[0].restart().await?;
    let mut late = servers[0].session(START).await?;
    late.handshake_as(1, Vec::new()).await?;
    late.works(1).await?;
    for session in &mut sessions {
        session.works(2).await?;
    }
    Ok(())
}

async fn comes_back(stage: Stage) -> Check {
    let mut cluster = Cluster::start(&stage, 2).await?;
    for round in 1..=2 {
        start_waiting(&mut cluster.sessions[0], "held", 10 * round).await?;
        cluster.servers[1].kill();
        cluster.sessions[0].works(10 * round + 1).await?;
        cluster.servers[1].restart().await?;
        let (session, hello) = cluster.session_of(1).await?;
        same("instance_id", &hello.instance_id, &cluster.hello.instance_id)?;
        cluster.sessions[1] = session;
        let_finish(&mut cluster.sessions[0], 10 * round).await?;
        cluster.works(10 * round + 2).await?;
        ensure(!cluster.servers[0].has_session(), "the other node got another session")?;
    }
    Ok(())
}

async fn joins(stage: Stage) -> Check {
    let mut cluster = Cluster::start(&stage, 2).await?;
    cluster.servers.push(stage.server().await?);
    cluster.tell(1, 4, addresses(&cluster.servers)).await;
    let (session, hello) = cluster.session_of(2).await?;
    same("instance_id", &hello.instance_id, &cluster.hello.instance_id)?;
    cluster.sessions.push(session);
    cluster.works(1).await
}

async fn removed(stage: Stage) -> Check {
    let mut cluster = Cluster::start(&stage, 3).await?;
    start_waiting(&mut cluster.sessions[1], "k", 1).await?;
    let mut nodes = addresses(&cluster.servers);
    nodes.remove(1);
    cluster.tell(0, 5, nodes).await;
    let mut leaving = cluster.sessions.remove(1);
    wait_for_drain(&mut leaving).await?;
    leaving.send([node_frame::Frame::Drained(Drained {})]).await;
    let_finish(&mut leaving, 1).await?;
    same("the end of the session", leaving.ended().await?, End::HalfClosed)?;
    leaving.half_close();
    cluster.works(2).await?;
    ensure(!cluster.servers[1].has_session(), "the removed node got another session")
}

async fn older_topology(stage: Stage) -> Check {
    let mut cluster = Cluster::start(&stage, 2).await?;
    let nodes = addresses(&cluster.servers);
    cluster.tell(0, 9, nodes.clone()).await;
    cluster.works(1).await?;
    cluster.tell(1, 8, nodes[..1].to_vec()).await;
    // What comes after Topology on the same session shows that the host has read it.
    cluster.sessions[1].ping().await?;
    cluster.works(2).await?;
    for session in &cluster.sessions {
        let left = session.left_over();
        ensure(left.is_empty(), format!("an older view moved the host: {left:?}"))?;
    }
    Ok(())
}

async fn one_drains(stage: Stage) -> Check {
    let mut cluster = Cluster::start(&stage, 2).await?;
    start_waiting(&mut cluster.sessions[0], "a", 1).await?;
    start_waiting(&mut cluster.sessions[1], "b", 1).await?;
    let draining = node_frame::Frame::Draining(Draining { grace_ms: 10_000 });
    cluster.sessions[1].send([draining]).await;
    let_finish(&mut cluster.sessions[1], 1).await?;
    cluster.sessions[1].half_close();
    let (session, hello) = cluster.session_of(1).await?;
    same("instance_id", &hello.instance_id, &cluster.hello.instance_id)?;
    cluster.sessions[1] = session;
    let_finish(&mut cluster.sessions[0], 1).await?;
    cluster.works(2).await?;
    ensure(!cluster.servers[0].has_session(), "the other node got another session")
}

async fn drain_all(stage: Stage) -> Check {
    let mut cluster = Cluster::start(&stage, 2).await?;
    for session in &mut cluster.sessions {
        start_waiting(session, "k", 1).await?;
    }
    cluster.program.signal("TERM").await?;
    for session in &mut cluster.sessions {
        wait_for_drain(session).await?;
        session.send([node_frame::Frame::Drained(Drained {})]).await;
    }
    for session in &mut cluster.sessions {
        session.ping().await?;
        ensure(cluster.program.is_running()?, "the program ended while a turn was running")?;
        let_finish(session, 1).await?;
        same("the end of the session", session.ended().await?, End::HalfClosed)?;
        session.half_close();
    }
    let status = cluster.program.ended(EXIT).await?;
    ensure(status.success(), format!("the program ended with {status}"))
}

async fn two_names(stage: Stage) -> Check {
    let mut server = stage.server().await?;
    let address = server.address();
    let both = format!("{address},localhost:{}", address.port());
    let mut program = stage.program_at(Role::Host, Mode::Default, &both)?;
    let mut kept = server.session(START).await?;
    kept.handshake_as(1, Vec::new()).await?;
    let mut second = server.session(START).await?;
    second.hello().await?;
    second.welcome_as(1, Vec::new()).await;
    second.ended().await?;
    ensure(second.left_over().is_empty(), "the second session registered types too")?;
    kept.works(1).await?;
    program.signal("TERM").await?;
    wait_for_drain(&mut kept).await?;
    kept.send([node_frame::Frame::Drained(Drained {})]).await;
    kept.ended().await?;
    kept.half_close();
    let status = program.ended(EXIT).await?;
    ensure(status.success(), format!("the program ended with {status}"))
}

async fn unreachable(stage: Stage) -> Check {
    let mut server = stage.server().await?;
    let mut gone = stage.server().await?;
    gone.kill();
    let first = server.address().to_string();
    let mut program = stage.program_at(Role::Host, Mode::Default, &first)?;
    let mut session = server.session(START).await?;
    let node = |node_id, address: &str| NodeAddress { node_id, address: address.to_owned() };
    let nodes = vec![
        node(1, &first),
        node(2, &gone.address().to_string()),
        node(3, "no-such-host.invalid:7070"),
        node(4, "not an address"),
        node(5, ""),
    ];
    session.handshake_as(1, nodes).await?;
    for id in 1..=20 {
        session.works(id).await?;
    }
    program.signal("TERM").await?;
    wait_for_drain(&mut session).await?;
    session.send([node_frame::Frame::Drained(Drained {})]).await;
    same("the end of the session", session.ended().await?, End::HalfClosed)?;
    session.half_close();
    let status = program.ended(EXIT).await?;
    ensure(status.success(), format!("the program ended with {status}"))
}

async fn credits(stage: Stage) -> Check {
    let mut servers = vec![stage.server().await?, stage.server().await?];
    let first = servers[0].address().to_string();
    let _program = stage.program_at(Role::Host, Mode::Default, &first)?;
    let nodes = addresses(&servers);
    let mut one = servers[0].session(START).await?;
    let (hello, _) = one.handshake_as(1, nodes.clone()).await?;
    let mut two = servers[1].session(START).await?;
    let (second, _) = two.handshake_as(2, nodes).await?;
    let share = credit(&mut one).await?;
    let total = hello.credits;
    let sum = share + second.credits;
    ensure(sum <= total && share > 0, format!("{share} + {} of {total}", second.credits))?;
    two.works(1).await?;
    servers[1].kill();
    same("the credits of the only session", credit(&mut one).await?, total)?;
    one.works(1).await
}

async fn independent(stage: Stage) -> Check {
    let mut cluster = Cluster::start(&stage, 2).await?;
    // A node that was cut off may still wait for a turn of an actor that another node serves already.
    start_waiting(&mut cluster.sessions[0], "works-2", 1).await?;
    cluster.sessions[1].works(2).await?;
    let_finish(&mut cluster.sessions[0], 1).await
}

async fn sidecar(stage: Stage) -> Check {
    let mut servers = vec![stage.server().await?, stage.server().await?];
    let first = servers[0].address().to_string();
    let _program = stage.program_at(Role::Host, Mode::Sidecar, &first)?;
    let nodes = addresses(&servers);
    for id in 1..=3 {
        let mut session = servers[0].session(START).await?;
        session.handshake_as(1, nodes.clone()).await?;
        let topology = Topology { nodes: nodes.clone(), view_version: 10 + id };
        session.send([node_frame::Frame::Topology(topology)]).await;
        session.works(id).await?;
        session.half_close();
    }
    ensure(!servers[1].has_session(), "a sidecar host opened a session to another node")
}

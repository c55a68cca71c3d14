//! A client that knows several nodes: what one of them cannot answer is sent to another under the same request id.

use std::{collections::BTreeSet, time::Duration};

use callboard_proto::types::v1::Retry;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    Scenario,
    calls::{add_command, server_error},
    check::{Check, Failure, ensure, same},
    gateway::{Event, IncomingCall, Transport},
    program::{Mode, Program, Role},
    server::FakeServer,
    stage::{START, Stage},
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["client failover":
    "a call on a broken connection goes to another node under the same id" => broken,
    "a node that cannot answer is left for another under the same id" => refused,
    "calls under way on a node that crashes are all sent again elsewhere" => crashed,
    "a node that stops still answers what it took" => stops,
    "a node that is not there costs no call" => absent,
    "a node that falls silent is left in time for the default timeout" => silent,
    "calls stay with the node that answers" => stays,
];

/// How long a client may wait for a silent node; half of it is left of the default timeout then.
const SILENCE: Duration = Duration::from_secs(20);

const BOTH: [Transport; 2] = [Transport::Stream, Transport::Unary];

/// A client program and the two nodes that it knows.
struct Failover {
    servers: [FakeServer; 2],
    program: Program,
    next_id: u64,
}

impl Failover {
    async fn start(stage: &Stage) -> Result<Self, Failure> {
        let servers = [stage.server().await?, stage.server().await?];
        Self::with(stage, servers)
    }

    fn with(stage: &Stage, servers: [FakeServer; 2]) -> Result<Self, Failure> {
        let list = format!("{},{}", servers[0].address(), servers[1].address());
        let program = stage.program_at(Role::Client, Mode::Default, &list)?;
        Ok(Failover { servers, program, next_id: 1 })
    }

    async fn invoke(&mut self, transport: Transport) -> Result<u64, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        self.program.commands(&[add_command(id, transport)]).await?;
        Ok(id)
    }

    /// The next call at one of the nodes.
    async fn call_at(&mut self, node: usize) -> Result<IncomingCall, Failure> {
        self.call_within(node, START).await
    }

    async fn call_within(
        &mut self,
        node: usize,
        patience: Duration,
    ) -> Result<IncomingCall, Failure> {
        loop {
            match timeout(patience, self.servers[node].events.recv()).await {
                Ok(Some(Event::Call(call))) => return Ok(*call),
                Ok(Some(Event::Cancelled(_))) => {}
                _ => return Err(Failure(format!("no call came to node {node} in time"))),
            }
        }
    }

    /// The next call at either node, and which.
    async fn call(&mut self) -> Result<(usize, IncomingCall), Failure> {
        let [one, two] = &mut self.servers;
        let either = async {
            loop {
                // A node that is gone has no more events, which must not hide those of the other.
                let (node, event) = tokio::select! {
                    Some(event) = one.events.recv() => (0, event),
                    Some(event) = two.events.recv() => (1, event),
                };
                if let Event::Call(call) = event {
                    return (node, *call);
                }
            }
        };
        timeout(START, either).await.map_err(|_| Failure("no call came to either node".to_owned()))
    }

    async fn ok(&mut self, id: u64) -> Result<Value, Failure> {
        let result = self.program.result().await?;
        let right = result["id"].as_u64() == Some(id) && result.get("error").is_none();
        ensure(right, format!("command {id} should have gone well: {result}"))?;
        Ok(result["ok"].clone())
    }

    async fn end(mut self) -> Check {
        self.program.no_more_commands();
        let status = self.program.ended(START).await?;
        ensure(status.success(), format!("the client program ended with {status}"))
    }
}

fn identity(call: &IncomingCall) -> (String, i64) {
    (call.request.request_id.clone(), call.request.created_at_ms)
}

async fn broken(stage: Stage) -> Check {
    let mut client = Failover::start(&stage).await?;
    for transport in BOTH {
        let id = client.invoke(transport).await?;
        let (node, first) = client.call().await?;
        let before = identity(&first);
        first.break_connection().await;
        let second = client.call_at(1 - node).await?;
        same("request id and created_at_ms", identity(&second), before)?;
        same("transport", second.transport, transport)?;
        second.reply(&json!("done")).await;
        same("the reply", client.ok(id).await?, json!("done"))?;
    }
    client.end().await
}

async fn refused(stage: Stage) -> Check {
    let mut client = Failover::start(&stage).await?;
    let reasons = [
        ("SHUTTING_DOWN", Retry::Safe),
        ("LEASE_LOST", Retry::SameId),
        ("NOT_OWNER", Retry::Safe),
        ("STORE_UNAVAILABLE", Retry::SameId),
    ];
    for transport in BOTH {
        for (reason, retry) in reasons {
            let id = client.invoke(transport).await?;
            let (node, first) = client.call().await?;
            let before = identity(&first);
            first.error(server_error(reason, 14, retry)).await;
            let second = client.call_at(1 - node).await?;
            same("request id and created_at_ms", identity(&second), before)?;
            second.reply(&json!(reason)).await;
            same("the reply", client.ok(id).await?, json!(reason))?;
        }
    }
    client.end().await
}

async fn crashed(stage: Stage) -> Check {
    const CALLS: usize = 20;
    let mut client = Failover::start(&stage).await?;
    for transport in BOTH {
        let mut ids = BTreeSet::new();
        for _ in 0..CALLS {
            ids.insert(client.invoke(transport).await?);
        }
        let (node, call) = client.call().await?;
        let mut before = BTreeSet::from([identity(&call)]);
        while before.len() < CALLS {
            before.insert(identity(&client.call_at(node).await?));
        }
        client.servers[node].kill();
        let mut after = BTreeSet::new();
        for _ in 0..CALLS {
            let call = client.call_at(1 - node).await?;
            after.insert(identity(&call));
            call.reply(&json!("done")).await;
        }
        same("request ids and created_at_ms", after, before)?;
        for _ in 0..CALLS {
            let result = client.program.result().await?;
            ensure(result["ok"] == json!("done"), format!("a call failed: {result}"))?;
            ids.remove(&result["id"].as_u64().unwrap_or_default());
        }
        same("commands without a result", ids, BTreeSet::new())?;
        client.servers[node].restart().await?;
    }
    client.end().await
}

async fn stops(stage: Stage) -> Check {
    let mut client = Failover::start(&stage).await?;
    for transport in BOTH {
        let taken = client.invoke(transport).await?;
        let (node, held) = client.call().await?;
        let late = client.invoke(transport).await?;
        let refused = client.call_at(node).await?;
        refused.error(server_error("SHUTTING_DOWN", 14, Retry::Safe)).await;
        client.call_at(1 - node).await?.reply(&json!("elsewhere")).await;
        same("the reply", client.ok(late).await?, json!("elsewhere"))?;
        held.reply(&json!("here")).await;
        same("the reply", client.ok(taken).await?, json!("here"))?;
    }
    client.end().await
}

async fn absent(stage: Stage) -> Check {
    for dead in 0..2 {
        let mut servers = [stage.server().await?, stage.server().await?];
        servers[dead].kill();
        let mut client = Failover::with(&stage, servers)?;
        for transport in BOTH {
            let id = client.invoke(transport).await?;
            client.call_at(1 - dead).await?.reply(&json!(1)).await;
            client.ok(id).await?;
        }
        client.end().await?;
    }
    Ok(())
}

async fn silent(stage: Stage) -> Check {
    let mut client = Failover::start(&stage).await?;
    let mut ids = BTreeSet::from([client.invoke(Transport::Stream).await?]);
    let (node, streamed) = client.call().await?;
    ids.insert(client.invoke(Transport::Unary).await?);
    let (other, mut unary) = client.call().await?;
    if other != node {
        // Each transport has a client of its own, which began at the other node.
        unary.error(server_error("SHUTTING_DOWN", 14, Retry::Safe)).await;
        unary = client.call_at(node).await?;
    }
    let before = BTreeSet::from([identity(&streamed), identity(&unary)]);
    client.servers[node].freeze();
    let mut after = BTreeSet::new();
    for _ in BOTH {
        let call = client.call_within(1 - node, SILENCE).await?;
        after.insert(identity(&call));
        call.reply(&json!("elsewhere")).await;
        let result = client.program.result().await?;
        ensure(result["ok"] == json!("elsewhere"), format!("a call failed: {result}"))?;
        ids.remove(&result["id"].as_u64().unwrap_or_default());
    }
    same("request ids and created_at_ms", after, before)?;
    same("commands without a result", ids, BTreeSet::new())?;
    client.end().await
}

async fn stays(stage: Stage) -> Check {
    let mut client = Failover::start(&stage).await?;
    for transport in BOTH {
        let id = client.invoke(transport).await?;
        let (node, first) = client.call().await?;
        first.break_connection().await;
        client.call_at(1 - node).await?.reply(&json!(0)).await;
        client.ok(id).await?;
        for reason in ["MAILBOX_FULL", "NO_HOST", "OUTCOME_UNKNOWN"] {
            let id = client.invoke(transport).await?;
            let call = client.call_at(1 - node).await?;
            call.error(server_error(reason, 14, Retry::SameId)).await;
            // Another node would answer the same, so there is no reason to leave this one.
            client.call_at(1 - node).await?.reply(&json!(reason)).await;
            same("the reply", client.ok(id).await?, json!(reason))?;
        }
    }
    client.end().await
}

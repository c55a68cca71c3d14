//! `callboard types describe TYPE`.

use std::io::{self, Write};

use callboard_proto::control::v1::{self as control, GetActorTypeRequest};
use clap::Args;
use serde::Serialize;

use crate::{
    args::Global,
    commands::types::actor_type::ActorType,
    failure::{Exit, Failure},
    output::{self, Noun},
};

/// Which type to show.
#[derive(Args)]
pub(crate) struct DescribeArgs {
    /// The type's name
    #[arg(value_name = "TYPE")]
    actor_type: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(flatten)]
    item: ActorType,
    shard_owners: Vec<ShardOwner>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardOwner {
    shard: u32,
    node_id: u64,
    epoch: u64,
}

impl From<control::ShardOwner> for ShardOwner {
    fn from(owner: control::ShardOwner) -> Self {
        Self { shard: owner.shard, node_id: owner.node_id, epoch: owner.epoch }
    }
}

impl Noun for Described {
    const KIND: &'static str = ActorType::KIND;
    const COLUMNS: &'static [&'static str] = ActorType::COLUMNS;

    fn cells(&self) -> Vec<String> {
        self.item.cells()
    }

    fn name(&self) -> String {
        self.item.name()
    }

    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        let item = &self.item;
        let or_none = |text: &str| {
            if text.is_empty() { "-".into() } else { text.to_owned() }
        };
        let ms = |ms| humantime::format_duration(std::time::Duration::from_millis(ms)).to_string();
        let owned = self.shard_owners.iter().filter(|owner| owner.node_id != 0).count();
        let mut rows = vec![
            ("type", format!("{}/{}", item.system, item.name)),
            ("kind", item.actor_kind.into()),
            ("durability", item.durability.into()),
            ("service", or_none(&item.service)),
            ("state", or_none(&item.state_type)),
            ("idle timeout", ms(item.idle_timeout_ms)),
            ("turn timeout", ms(item.turn_timeout_ms)),
            ("mailbox limit", item.mailbox_limit.to_string()),
            ("speculation", if item.speculation { "on" } else { "off" }.into()),
            ("shards", format!("{}, {owned} with an owner", item.shards)),
            ("hosts", item.hosts.to_string()),
            ("active", item.active.to_string()),
        ];
        if item.snapshot_interval_ms > 0 {
            rows.insert(3, ("snapshot every", ms(item.snapshot_interval_ms)));
        }
        output::pairs(out, rows.into_iter().map(|(label, text)| (label.to_owned(), text)))?;
        writeln!(out)?;
        let actions = item.actions.iter().map(|action| {
            let mode = if action.read_only { "reads" } else { "writes" };
            let names = [&action.name, &action.input_type, &action.output_type];
            let [name, input, output] = names.map(|name| or_none(name));
            vec![name, mode.into(), input, output]
        });
        output::columns(out, &["ACTION", "STATE", "ARGUMENT", "REPLY"], actions)
    }
}

// === impl DescribeArgs ===

impl DescribeArgs {
    /// Shows the type.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let request =
            GetActorTypeRequest { system: global.system.clone(), r#type: self.actor_type.clone() };
        let answer = connection.answer(connection.types().get_actor_type(request)).await?;
        let item = answer.r#type.ok_or_else(|| {
            let message = format!("there is no type {} in {}", self.actor_type, global.system);
            Failure::new(Exit::NotFound, "UNKNOWN_TYPE", message)
        })?;
        let shard_owners = answer.shards.into_iter().map(ShardOwner::from).collect();
        Ok(global.printer().one(&Described { item: item.into(), shard_owners })?)
    }
}

#[cfg(test)]
mod tests {
    use callboard_proto::types::v1::{ActionDefinition, ActorTypeDefinition};

    use crate::output::{Format, Printer};

    use super::*;

    fn printed(format: Format) -> String {
        let item = control::ActorType {
            system: "default".into(),
            definition: Some(ActorTypeDefinition {
                name: "Counter".into(),
                state_type: "acme.v1.CounterState".into(),
                service: "acme.v1.Counter".into(),
                idle_timeout_ms: 60_000,
                turn_timeout_ms: 30_000,
                mailbox_limit: 1_000,
                shards: 2,
                actions: vec![ActionDefinition {
                    name: "Add".into(),
                    input_type: "acme.v1.AddRequest".into(),
                    output_type: "acme.v1.AddReply".into(),
                    ..ActionDefinition::default()
                }],
                ..ActorTypeDefinition::default()
            }),
            descriptor_hash: "9f2c".into(),
            hosts: 3,
            active: 12,
        };
        let shard_owners = vec![
            ShardOwner { shard: 0, node_id: 1, epoch: 1 },
            ShardOwner { shard: 1, node_id: 0, epoch: 0 },
        ];
        let mut out = Vec::new();
        Printer::new(format, &mut out)
            .one(&Described { item: item.into(), shard_owners })
            .expect("a vector takes everything");
        String::from_utf8(out).expect("output is text")
    }

    #[test]
    fn the_json_contract_of_a_type_holds() {
        insta::assert_snapshot!(printed(Format::Json), @r#"
        {
          "apiVersion": "callboard.io/cli/v1",
          "kind": "ActorType",
          "system": "default",
          "name": "Counter",
          "actorKind": "unnamed",
          "durability": "durable",
          "service": "acme.v1.Counter",
          "stateType": "acme.v1.CounterState",
          "idleTimeoutMs": 60000,
          "snapshotIntervalMs": 0,
          "turnTimeoutMs": 30000,
          "mailboxLimit": 1000,
          "shards": 2,
          "speculation": true,
          "descriptorHash": "9f2c",
          "hosts": 3,
          "active": 12,
          "actions": [
            {
              "name": "Add",
              "inputType": "acme.v1.AddRequest",
              "outputType": "acme.v1.AddReply",
              "readOnly": false,
              "speculation": true
            }
          ],
          "shardOwners": [
            {
              "shard": 0,
              "nodeId": 1,
              "epoch": 1
            },
            {
              "shard": 1,
              "nodeId": 0,
              "epoch": 0
            }
          ]
        }
        "#);
    }

    #[test]
    fn people_read_settings_first_and_actions_below() {
        insta::assert_snapshot!(printed(Format::Table), @"
        type:           default/Counter
        kind:           unnamed
        durability:     durable
        service:        acme.v1.Counter
        state:          acme.v1.CounterState
        idle timeout:   1m
        turn timeout:   30s
        mailbox limit:  1000
        speculation:    on
        shards:         2, 1 with an owner
        hosts:          3
        active:         12

        ACTION  STATE   ARGUMENT            REPLY
        Add     writes  acme.v1.AddRequest  acme.v1.AddReply
        ");
    }
}

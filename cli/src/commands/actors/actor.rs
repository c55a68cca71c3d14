//! An actor as `callboard actors` shows it.

use callboard_proto::control::v1 as control;
use serde::Serialize;

use crate::{
    actor_ref::name_of,
    output::{self, Noun},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Actor {
    #[serde(skip)]
    name: String,
    system: String,
    r#type: String,
    key: String,
    active: bool,
    revision: u64,
    state_bytes: u64,
    mailbox_depth: u32,
    shard: Option<Shard>,
    updated_at_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shard {
    shard: u32,
    node_id: u64,
    epoch: u64,
}

impl From<control::Actor> for Actor {
    fn from(actor: control::Actor) -> Self {
        let id = actor.actor.unwrap_or_default();
        Self {
            name: name_of(&id),
            system: id.system,
            r#type: id.r#type,
            key: id.key,
            active: actor.active,
            revision: actor.revision,
            state_bytes: actor.state_bytes,
            mailbox_depth: actor.mailbox_depth,
            shard: actor.shard.map(|owner| Shard {
                shard: owner.shard,
                node_id: owner.node_id,
                epoch: owner.epoch,
            }),
            updated_at_ms: actor.updated_at_ms,
        }
    }
}

impl Noun for Actor {
    const KIND: &'static str = "Actor";
    const COLUMNS: &'static [&'static str] =
        &["ACTOR", "STATUS", "REVISION", "STATE BYTES", "MAILBOX", "NODE", "SHARD", "UPDATED"];

    fn cells(&self) -> Vec<String> {
        let shard = self.shard.as_ref();
        vec![
            self.name.clone(),
            if self.active { "active" } else { "idle" }.into(),
            self.revision.to_string(),
            self.state_bytes.to_string(),
            self.mailbox_depth.to_string(),
            shard.map_or("-".into(), |shard| shard.node_id.to_string()),
            shard.map_or("-".into(), |shard| shard.shard.to_string()),
            output::time(self.updated_at_ms),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use callboard_proto::types::v1::ActorId;

    use crate::output::{Format, Printer};

    use super::*;

    fn printed(format: Format) -> String {
        let actor = |key: &str, active| {
            Actor::from(control::Actor {
                actor: Some(ActorId {
                    system: "default".into(),
                    r#type: "Counter".into(),
                    key: key.into(),
                }),
                active,
                revision: 7,
                state_bytes: 12,
                mailbox_depth: 1,
                shard: Some(control::ShardOwner { shard: 9, node_id: 1, epoch: 3 }),
                updated_at_ms: 1_763_632_800_000,
            })
        };
        let mut out = Vec::new();
        Printer::new(format, &mut out)
            .list(&[actor("u1", true), actor("a/b", false)], true)
            .expect("a vector takes everything");
        String::from_utf8(out).expect("output is text")
    }

    #[test]
    fn the_json_contract_of_actors_holds() {
        insta::assert_snapshot!(printed(Format::Json), @r#"
        {
          "apiVersion": "callboard.io/cli/v1",
          "kind": "ActorList",
          "items": [
            {
              "system": "default",
              "type": "Counter",
              "key": "u1",
              "active": true,
              "revision": 7,
              "stateBytes": 12,
              "mailboxDepth": 1,
              "shard": {
                "shard": 9,
                "nodeId": 1,
                "epoch": 3
              },
              "updatedAtMs": 1763632800000
            },
            {
              "system": "default",
              "type": "Counter",
              "key": "a/b",
              "active": false,
              "revision": 7,
              "stateBytes": 12,
              "mailboxDepth": 1,
              "shard": {
                "shard": 9,
                "nodeId": 1,
                "epoch": 3
              },
              "updatedAtMs": 1763632800000
            }
          ],
          "truncated": true
        }
        "#);
    }

    #[test]
    fn json_lines_carry_one_whole_document_each() {
        insta::assert_snapshot!(printed(Format::Jsonl), @r#"
        {"apiVersion":"callboard.io/cli/v1","kind":"Actor","system":"default","type":"Counter","key":"u1","active":true,"revision":7,"stateBytes":12,"mailboxDepth":1,"shard":{"shard":9,"nodeId":1,"epoch":3},"updatedAtMs":1763632800000}
        {"apiVersion":"callboard.io/cli/v1","kind":"Actor","system":"default","type":"Counter","key":"a/b","active":false,"revision":7,"stateBytes":12,"mailboxDepth":1,"shard":{"shard":9,"nodeId":1,"epoch":3},"updatedAtMs":1763632800000}
        "#);
    }

    #[test]
    fn names_are_what_other_commands_take() {
        insta::assert_snapshot!(printed(Format::Name), @"
        Counter/u1
        Counter/a/b
        ");
    }
}

//! What rows of an outbox hold. Neither the source nor the due time is in the item: the row has them.

use bytes::Bytes;
use callboard_types::{ActorId, Millis, Tick};
use serde::{Deserialize, Serialize};

use crate::call::{Call, Hop, Lineage, Metadata, Payload, ReplyTo};

/// Something that a turn set going, with the time at which it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// When it is due; 0 for at once.
    pub due_at: Millis,
    /// What it is.
    pub item: Item,
}

/// What is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An effect, or the next call of a chain.
    Call(Box<CallItem>),
    /// A message to a channel of the source's system.
    Broadcast(Box<BroadcastItem>),
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallItem {
    /// Whom it is for.
    pub target: ActorId,
    /// The action.
    pub action: String,
    /// Its argument.
    pub argument: Payload,
    /// Its request id.
    pub request_id: String,
    /// When its turn was settled.
    pub created_at: Millis,
    /// Its metadata.
    pub metadata: Metadata,
    /// The stations of the chain behind it; empty for effects.
    pub hops: Vec<Hop>,
    /// Actors whose turns wait for the end of the chain; empty for effects.
    pub chain: Vec<ActorId>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BroadcastItem {
    /// The channel.
    pub channel: String,
    /// The message.
    pub payload: Payload,
    /// Names it.
    pub id: String,
    /// When its turn was settled.
    pub created_at: Millis,
    /// Its metadata.
    pub metadata: Metadata,
}

/// An actor as (system, type, key).
type Name = (String, String, String);
/// A payload as (content type, type, bytes).
type Parts = (String, String, Vec<u8>);

/// Version 1 of the encoding. Later fields go into new variants, so that old rows stay readable.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
enum Stored {
    CallV1 {
        target: Name,
        action: String,
        argument: Parts,
        request_id: String,
        created_at: Millis,
        metadata: Vec<(String, String)>,
        hops: Vec<(Name, String)>,
        chain: Vec<Name>,
    },
    BroadcastV1 {
        channel: String,
        payload: Parts,
        id: String,
        created_at: Millis,
        metadata: Vec<(String, String)>,
    },
}

/// What is encoded as [`Stored`], without a copy of its own: rows are written with each turn that sets something going,
/// and read after failures only.
#[derive(Serialize)]
enum Written<'a> {
    CallV1 {
        target: NameOf<'a>,
        action: &'a str,
        argument: PartsOf<'a>,
        request_id: &'a str,
        created_at: Millis,
        metadata: Vec<(&'a str, &'a str)>,
        hops: Vec<(NameOf<'a>, &'a str)>,
        chain: Vec<NameOf<'a>>,
    },
    BroadcastV1 {
        channel: &'a str,
        payload: PartsOf<'a>,
        id: &'a str,
        created_at: Millis,
        metadata: Vec<(&'a str, &'a str)>,
    },
}

type NameOf<'a> = (&'a str, &'a str, &'a str);
type PartsOf<'a> = (&'a str, &'a str, Raw<'a>);

/// Bytes that are written in one piece, as a sequence of them is encoded.
struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl Item {
    /// The item for a row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let written = match self {
            Self::Call(call) => Written::CallV1 {
                target: name(&call.target),
                action: &call.action,
                argument: parts(&call.argument),
                request_id: &call.request_id,
                created_at: call.created_at,
                metadata: pairs(&call.metadata),
                hops: call.hops.iter().map(|hop| (name(&hop.actor), &*hop.action)).collect(),
                chain: call.chain.iter().map(name).collect(),
            },
            Self::Broadcast(said) => Written::BroadcastV1 {
                channel: &said.channel,
                payload: parts(&said.payload),
                id: &said.id,
                created_at: said.created_at,
                metadata: pairs(&said.metadata),
            },
        };
        let row = Vec::with_capacity(self.size());
        postcard::to_extend(&written, row).expect("plain data always encodes").into()
    }

    /// The item of a row.
    ///
    /// # Errors
    /// The decoder's words: the row was damaged, or written by a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        Ok(match stored {
            Stored::CallV1 {
                target,
                action,
                argument,
                request_id,
                created_at,
                metadata,
                hops,
                chain,
            } => Self::Call(Box::new(CallItem {
                target: actor(target),
                action,
                argument: payload(argument),
                request_id,
                created_at,
                metadata: metadata.into_iter().collect(),
                hops: hops
                    .into_iter()
                    .map(|(id, action)| Hop { actor: actor(id), action })
                    .collect(),
                chain: chain.into_iter().map(actor).collect(),
            })),
            Stored::BroadcastV1 { channel, payload: said, id, created_at, metadata } => {
                Self::Broadcast(Box::new(BroadcastItem {
                    channel,
                    payload: payload(said),
                    id,
                    created_at,
                    metadata: metadata.into_iter().collect(),
                }))
            }
        })
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        let of = |payload: &Payload, metadata: &Metadata| {
            let metadata: usize = metadata.iter().map(|(k, v)| k.len() + v.len() + 64).sum();
            payload.data.len() + metadata
        };
        match self {
            Self::Call(call) => {
                400 + of(&call.argument, &call.metadata)
                    + 400 * (call.hops.len() + call.chain.len())
            }
            Self::Broadcast(said) => 300 + of(&said.payload, &said.metadata),
        }
    }

    /// Names the item: the request id of a call, the id of a message.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Call(call) => &call.request_id,
            Self::Broadcast(said) => &said.id,
        }
    }

    /// When its turn was settled.
    #[must_use]
    pub fn created_at(&self) -> Millis {
        match self {
            Self::Call(call) => call.created_at,
            Self::Broadcast(said) => said.created_at,
        }
    }
}

impl CallItem {
    /// An attempt at the delivery. `created_at` stands for the attempt, not for the item: the target refuses attempts that
    /// are older than the outcomes that it keeps.
    #[must_use]
    pub fn attempt(&self, source: &ActorId, created_at: Millis, reply_to: ReplyTo) -> Call {
        let lineage = Lineage { caller: Some(source.clone()), chain: self.chain.clone() };
        Call {
            action: self.action.clone(),
            argument: self.argument.clone(),
            request_id: self.request_id.clone(),
            created_at,
            deadline: Tick::NEVER,
            metadata: self.metadata.clone(),
            lineage: Some(Box::new(lineage)),
            activates_only: false,
            delivery: true,
            hops: (!self.hops.is_empty()).then(|| Box::new(self.hops.clone())),
            ..Call::activation(reply_to, Tick::default())
        }
    }
}

fn name(id: &ActorId) -> NameOf<'_> {
    (&id.system, &id.actor_type, &id.key)
}

fn actor((system, actor_type, key): Name) -> ActorId {
    ActorId { system: system.into(), actor_type: actor_type.into(), key: key.into() }
}

fn parts(payload: &Payload) -> PartsOf<'_> {
    (&payload.content_type, &payload.type_url, Raw(&payload.data))
}

fn payload((content_type, type_url, data): Parts) -> Payload {
    Payload { content_type, type_url, data: data.into() }
}

fn pairs(metadata: &Metadata) -> Vec<(&str, &str)> {
    metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_holds_is_what_was_put_there() {
        let id = |key: &str| ActorId::parse("default", "Counter", key).expect("a valid name");
        let argument = Payload {
            content_type: "application/json".into(),
            type_url: "t".into(),
            data: "5".into(),
        };
        let call = Item::Call(Box::new(CallItem {
            target: id("a"),
            action: "add".into(),
            argument: argument.clone(),
            request_id: "r".into(),
            created_at: Millis(7),
            metadata: [("k".to_owned(), "v".to_owned())].into(),
            hops: vec![Hop { actor: id("b"), action: "pass".into() }],
            chain: vec![id("c")],
        }));
        let said = Item::Broadcast(Box::new(BroadcastItem {
            channel: "news".into(),
            payload: argument,
            id: "m".into(),
            created_at: Millis(8),
            metadata: Metadata::new(),
        }));
        for item in [call, said] {
            assert_eq!(Item::decode(&item.encode()).expect("readable"), item);
        }
        assert!(Item::decode(b"\x63junk").is_err(), "damage is never taken for an item");
    }

    #[test]
    fn rows_are_encoded_as_earlier_releases_encoded_them() {
        let text = |text: &str| text.to_owned();
        let parts = || (text("application/json"), text("t"), (0_u8..=255).collect::<Vec<u8>>());
        let name = |key: &str| (text("default"), text("Counter"), text(key));
        let metadata = || vec![(text("k"), text("v"))];
        let call = Stored::CallV1 {
            target: name("a"),
            action: text("add"),
            argument: parts(),
            request_id: text("r"),
            created_at: Millis(7),
            metadata: metadata(),
            hops: vec![(name("b"), text("pass"))],
            chain: vec![name("c")],
        };
        let said = Stored::BroadcastV1 {
            channel: text("news"),
            payload: parts(),
            id: text("m"),
            created_at: Millis(8),
            metadata: metadata(),
        };
        for earlier in [call, said] {
            let row = postcard::to_stdvec(&earlier).expect("plain data always encodes");
            let item = Item::decode(&row).expect("readable");
            assert_eq!(item.encode(), row);
        }
    }
}

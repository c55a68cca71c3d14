//! A message of a channel: as rows hold it, as nodes exchange it, and as actors and listeners get it.

use std::sync::Arc;

use bytes::Bytes;
use callboard_proto::{
    gateway::v1::{ChannelMessage, channel_message::Body},
    peer::v1::BroadcastRequest,
    types::v1 as pb,
};
use callboard_types::{
    ActorId, CallError, ErrorKind, Millis, limits,
    settings::{Deliver, Subscription, check_channel},
};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    call::{Metadata, Payload},
    catalog::TypeRuntime,
    grpc::convert,
    transcode,
};

/// The name under which an action finds the channel in its metadata.
pub const CHANNEL_KEY: &str = "callboard-channel";

/// Something that was said on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Names it within its channel; the same at each repetition.
    pub id: String,
    /// The system.
    pub system: Arc<str>,
    /// The channel.
    pub channel: Arc<str>,
    /// The message.
    pub payload: Payload,
    /// What its subscribers see beside it.
    pub metadata: Metadata,
    /// The actor that said it; `None` for outside.
    pub source: Option<ActorId>,
    /// When it was said.
    pub published_at: Millis,
}

/// Version 1 of a message as rows hold it. The system is the shard's.
#[derive(Serialize, Deserialize)]
enum Record {
    V1 {
        id: String,
        channel: String,
        payload: (String, String, Vec<u8>),
        metadata: Vec<(String, String)>,
        source: Option<(String, String, String)>,
        published_at: Millis,
    },
}

// === impl Said ===

impl Said {
    /// Checks what a publisher chose.
    ///
    /// # Errors
    /// What breaks a limit or a rule.
    pub fn check(&self) -> Result<(), CallError> {
        check_channel(&self.channel)?;
        convert::check_size(self.payload.data.len())?;
        convert::check_metadata(&self.metadata)?;
        if self.id.is_empty() || self.id.len() > limits::REQUEST_ID_BYTES_MAX {
            let text = "the id of a message has 1 to 128 bytes; nothing was said";
            return Err(CallError::new(ErrorKind::InvalidArgument, text));
        }
        Ok(())
    }

    /// Names the message within a shard, whatever other channels use as ids.
    #[must_use]
    pub fn record_id(&self) -> String {
        self.hashed("")
    }

    /// The request id of its delivery to an action. One actor gets it once per action.
    #[must_use]
    pub fn request_id(&self, action: &str) -> String {
        format!("said-{}", self.hashed(action))
    }

    fn hashed(&self, action: &str) -> String {
        let mut hash = Xxh3::new();
        for part in [&*self.channel, self.id.as_str(), action] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        format!("{:032x}", hash.digest128())
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        let metadata: usize =
            self.metadata.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        256 + self.id.len() + self.channel.len() + self.payload.data.len() + metadata
    }

    /// What its subscribers see beside it.
    #[must_use]
    pub fn metadata_for_actors(&self) -> Metadata {
        let mut metadata = self.metadata.clone();
        metadata.insert(CHANNEL_KEY.to_owned(), self.channel.to_string());
        metadata
    }

    // === rows ===

    /// The message for a row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Payload { content_type, type_url, data } = self.payload.clone();
        let source = self.source.as_ref();
        let record = Record::V1 {
            id: self.id.clone(),
            channel: self.channel.to_string(),
            payload: (content_type, type_url, data.to_vec()),
            metadata: self.metadata.clone().into_iter().collect(),
            source: source
                .map(|id| (id.system.to_string(), id.actor_type.to_string(), id.key.to_string())),
            published_at: self.published_at,
        };
        postcard::to_stdvec(&record).expect("plain data always encodes").into()
    }

    /// A message from a row of a shard of this system.
    ///
    /// # Errors
    /// The decoder's words.
    pub fn decode(system: &Arc<str>, row: &[u8]) -> Result<Self, String> {
        let Record::V1 { id, channel, payload, metadata, source, published_at } =
            postcard::from_bytes(row).map_err(|error| error.to_string())?;
        let (content_type, type_url, data) = payload;
        Ok(Self {
            id,
            system: Arc::clone(system),
            channel: channel.into(),
            payload: Payload { content_type, type_url, data: data.into() },
            metadata: metadata.into_iter().collect(),
            source: source.map(|(system, actor_type, key)| ActorId {
                system: system.into(),
                actor_type: actor_type.into(),
                key: key.into(),
            }),
            published_at,
        })
    }

    // === the wire ===

    /// The message for another node, without shards.
    #[must_use]
    pub fn to_request(&self) -> BroadcastRequest {
        BroadcastRequest {
            id: self.id.clone(),
            system: self.system.to_string(),
            channel: self.channel.to_string(),
            payload: convert::payload_to_proto(self.payload.clone()),
            metadata: self.metadata.clone(),
            source: self.source.as_ref().map(convert::actor_id_to_proto),
            published_at_ms: self.published_at.0,
            shards: Vec::new(),
            view_version: 0,
        }
    }

    /// A message from another node.
    ///
    /// # Errors
    /// What breaks a limit or a rule.
    pub fn from_request(request: &mut BroadcastRequest) -> Result<Self, CallError> {
        let source = request.source.take();
        let source = source.map(|id: pb::ActorId| ActorId::parse(&id.system, &id.r#type, &id.key));
        let said = Self {
            id: std::mem::take(&mut request.id),
            system: request.system.as_str().into(),
            channel: request.channel.as_str().into(),
            payload: convert::payload_from_proto(request.payload.take()),
            metadata: std::mem::take(&mut request.metadata),
            source: source.transpose()?,
            published_at: Millis(request.published_at_ms),
        };
        said.check()?;
        Ok(said)
    }

    /// The message for those who listen from outside.
    #[must_use]
    pub fn to_listeners(&self, resume_token: String) -> ChannelMessage {
        let body = match transcode::json_value(&self.payload) {
            Some(json) => Some(Body::Json(json)),
            None => convert::payload_to_proto(self.payload.clone()).map(Body::Payload),
        };
        ChannelMessage {
            channel: self.channel.to_string(),
            id: self.id.clone(),
            body,
            metadata: self.metadata.clone(),
            source: self.source.as_ref().map(convert::actor_id_to_proto),
            published_at_ms: self.published_at.0,
            resume_token,
        }
    }
}

/// What the actors of a type hear of a channel.
pub fn subscriptions<'a>(
    actor_type: &'a TypeRuntime,
    channel: &'a str,
    deliver: Deliver,
) -> impl Iterator<Item = &'a Subscription> {
    let all = actor_type.definition.settings.subscriptions.iter();
    all.filter(move |one| one.deliver == deliver && one.channel == channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(channel: &str, id: &str) -> Said {
        Said {
            id: id.to_owned(),
            system: "default".into(),
            channel: channel.into(),
            payload: Payload {
                content_type: "text/plain".into(),
                type_url: String::new(),
                data: Bytes::from_static(b"hello"),
            },
            metadata: Metadata::from([("a".to_owned(), "b".to_owned())]),
            source: Some(ActorId::parse("default", "Room", "r1").expect("a name")),
            published_at: Millis(7),
        }
    }

    #[test]
    fn a_message_survives_its_row_and_its_way_to_another_node() {
        let message = said("news", "1");
        assert_eq!(Said::decode(&message.system, &message.encode()), Ok(message.clone()));
        let mut request = message.to_request();
        assert_eq!(Said::from_request(&mut request), Ok(message));
    }

    #[test]
    fn the_same_id_on_another_channel_is_another_message() {
        let (news, sports) = (said("news", "1"), said("sports", "1"));
        assert_ne!(news.record_id(), sports.record_id());
        assert_ne!(news.request_id("hear"), sports.request_id("hear"));
        assert_ne!(news.request_id("hear"), news.request_id("note"));
        assert_ne!(said("a", "b").record_id(), said("ab", "").record_id());
    }

    #[test]
    fn an_id_of_the_greatest_length_still_makes_a_request_id() {
        let long = said(&"c".repeat(128), &"i".repeat(128));
        assert!(long.request_id(&"a".repeat(128)).len() <= limits::REQUEST_ID_BYTES_MAX);
    }
}

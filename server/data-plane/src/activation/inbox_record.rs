//! Accepted calls as rows hold them.

use bytes::Bytes;
use callboard_types::{ActorId, Millis, Tick};
use serde::{Deserialize, Serialize};

use crate::call::{Call, Lineage, Payload, ReplyTo};

/// Version 1 of the record. Later fields go into a new variant, so that old rows stay readable.
#[derive(Serialize, Deserialize)]
enum Record {
    V1 {
        action: String,
        argument: (String, String, Vec<u8>),
        request_id: String,
        created_at: Millis,
        metadata: Vec<(String, String)>,
        caller: Option<(String, String, String)>,
    },
}

/// Encodes an accepted call. Its chain is left out: nobody waits for it, so it cannot be part of a cycle.
#[must_use]
pub fn encode(call: &Call) -> Bytes {
    let caller = call.lineage.as_ref().and_then(|lineage| lineage.caller.as_ref());
    let record = Record::V1 {
        action: call.action.clone(),
        argument: (
            call.argument.content_type.clone(),
            call.argument.type_url.clone(),
            call.argument.data.to_vec(),
        ),
        request_id: call.request_id.clone(),
        created_at: call.created_at,
        metadata: call.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        caller: caller
            .map(|id| (id.system.to_string(), id.actor_type.to_string(), id.key.to_string())),
    };
    postcard::to_stdvec(&record).expect("plain data always encodes").into()
}

/// Decodes an accepted call.
///
/// # Errors
/// The decoder's words.
pub fn decode(bytes: &[u8]) -> Result<Call, String> {
    let Record::V1 { action, argument, request_id, created_at, metadata, caller } =
        postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
    let (content_type, type_url, data) = argument;
    let caller = caller.map(|(system, actor_type, key)| ActorId {
        system: system.into(),
        actor_type: actor_type.into(),
        key: key.into(),
    });
    Ok(Call {
        action,
        argument: Payload { content_type, type_url, data: data.into() },
        request_id,
        created_at,
        deadline: Tick::NEVER,
        metadata: metadata.into_iter().collect(),
        lineage: caller.map(|caller| Box::new(Lineage { caller: Some(caller), chain: Vec::new() })),
        asynchronous: true,
        activates_only: false,
        from_json: false,
        begun: false,
        delivery: false,
        hops: None,
        seat: None,
        reply_to: ReplyTo::Nobody,
    })
}

//! Makes the calls of a load: which key comes next, which id, which argument.

use bytes::Bytes;
use callboard_proto::{
    gateway::v1::{InvokeMode, InvokeRequest, invoke_request::Argument},
    types::v1::{ActorId, Payload},
};

use crate::{
    cli::{KeyOrder, LoadArgs},
    payload::{self, Ids},
};

/// A source of calls. Each caller of a generator may have its own, or they share one.
pub(crate) struct Calls {
    actor_type: String,
    action: String,
    payload: Payload,
    ids: Ids,
    order: KeyOrder,
    key_start: u64,
    keys: u64,
    most: u64,
    mode: InvokeMode,
    delay_ms: u64,
    due_at_ms: i64,
    /// Added to the key's number from call to call when each key comes once, so that neighbours in the store are not
    /// neighbours in time.
    stride: u64,
    taken: u64,
}

impl Calls {
    /// The calls that the arguments describe.
    pub(crate) fn new(args: &LoadArgs) -> Self {
        let payload = match &args.json {
            Some(text) => Payload {
                content_type: "application/json".into(),
                type_url: String::new(),
                data: Bytes::from(text.clone().into_bytes()),
            },
            None => payload::counter(1),
        };
        Self {
            actor_type: args.actor_type.clone(),
            action: args.action.clone(),
            payload,
            ids: Ids::new(args.seed),
            order: args.key_order,
            key_start: args.key_start,
            keys: args.keys,
            most: args.calls.unwrap_or(u64::MAX),
            mode: if args.accept { InvokeMode::Async } else { InvokeMode::Unspecified },
            delay_ms: args.delay_ms.unwrap_or(0),
            due_at_ms: args.due_at_ms.unwrap_or(0),
            stride: stride(args.keys),
            taken: 0,
        }
    }

    /// The next call, made at the given Unix time in milliseconds, or `None` after the last one.
    pub(crate) fn next(&mut self, now_ms: i64) -> Option<InvokeRequest> {
        let offset = match self.order {
            _ if self.taken >= self.most => return None,
            KeyOrder::Random => self.ids.below(self.keys),
            KeyOrder::Once if self.taken < self.keys => self.taken * self.stride % self.keys,
            KeyOrder::Once => return None,
        };
        self.taken += 1;
        let mut request = self.request(now_ms);
        request.actor = Some(ActorId {
            system: String::new(),
            r#type: self.actor_type.clone(),
            key: payload::key(self.key_start + offset),
        });
        Some(request)
    }

    /// A call without an actor. `now_ms` 0 lets the server stamp it.
    pub(crate) fn request(&mut self, now_ms: i64) -> InvokeRequest {
        InvokeRequest {
            actor: None,
            action: self.action.clone(),
            argument: Some(Argument::Payload(self.payload.clone())),
            request_id: self.ids.next(now_ms),
            created_at_ms: now_ms,
            timeout_ms: 0,
            metadata: Default::default(),
            mode: self.mode as i32,
            delay_ms: self.delay_ms,
            due_at_ms: self.due_at_ms,
        }
    }
}

/// A step that goes through all numbers below `keys` before it repeats one: it has no divisor in common with `keys`.
fn stride(keys: u64) -> u64 {
    // Near the golden section, which keeps successive numbers far apart.
    let near = (keys as f64 * 0.618) as u64;
    (near.max(1)..).find(|step| divisor(*step, keys) <= 1).unwrap_or(1)
}

/// The greatest common divisor.
fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;

    use super::*;
    use crate::cli::{Args, Command};

    fn args(line: &str) -> LoadArgs {
        let words = format!("callboard-bench load {line}");
        match Args::parse_from(words.split(' ')).command {
            Command::Load(args) => args,
            other => panic!("parsed as {other:?}"),
        }
    }

    fn key_of(request: InvokeRequest) -> String {
        request.actor.expect("every call has an actor").key
    }

    #[test]
    fn each_key_comes_once_and_then_the_load_ends() {
        let mut calls = Calls::new(&args("--mode stream --key-order once --keys 3 --key-start 7"));
        let mut keys: Vec<_> = std::iter::from_fn(|| calls.next(1)).map(key_of).collect();
        keys.sort();
        assert_eq!(keys, ["bench-00000007", "bench-00000008", "bench-00000009"]);
    }

    #[test]
    fn a_counted_load_ends_after_its_calls() {
        let mut calls = Calls::new(&args("--mode stream --keys 3 --calls 5 --accept"));
        let made: Vec<_> = std::iter::from_fn(|| calls.next(1)).collect();
        assert_eq!(made.len(), 5);
        assert!(made.iter().all(|call| call.mode == InvokeMode::Async as i32));
    }

    #[test]
    fn random_keys_cover_the_whole_key_space_and_ids_never_repeat() {
        let mut calls = Calls::new(&args("--mode stream --keys 10"));
        let mut ids = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for _ in 0..1_000 {
            let request = calls.next(1_700_000_000_000).expect("random keys never end");
            assert!(ids.insert(request.request_id.clone()));
            keys.insert(key_of(request));
        }
        assert_eq!(keys.len(), 10);
    }
}

//! What travels in a simulation.

use std::rc::Rc;

use callboard_control_plane::machine::Command;
use callboard_data_plane::activation::machine::TurnEnd;
use callboard_types::{ErrorKind, SessionId};

use crate::{
    history::Shard,
    net::Place,
    raft::RaftMessage,
    store::{Answer, Envelope},
};

/// A caller's operation as it travels; the same for all its attempts.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The operation's number.
    pub(crate) operation: u32,
    /// The request id.
    pub(crate) id: String,
    /// The shard of the actor.
    pub(crate) shard: Shard,
    /// The actor's key.
    pub(crate) key: u32,
    /// True for a read.
    pub(crate) reads: bool,
    /// When it was first sent, by its caller's clock.
    pub(crate) created_at: i64,
    /// When nobody waits any longer, in true time.
    pub(crate) deadline: u64,
}

/// A request on its way from a gateway to an owner.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The gateway's number for the custody.
    pub(crate) custody: u64,
    /// The gateway's count of attempts in that custody.
    pub(crate) number: u32,
    /// The gateway.
    pub(crate) gateway: usize,
    /// Its life.
    pub(crate) life: u64,
    /// What is asked.
    pub(crate) request: Rc<Request>,
    /// What the gateway had applied.
    pub(crate) view: u64,
}

/// How an attempt ended at an owner, or a call at a gateway.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// With these bytes.
    Replied(bytes::Bytes),
    /// The receiver, which applied this much, does not serve the shard.
    Redirected {
        /// What it applied.
        view: u64,
    },
    /// With an error.
    Failed(ErrorKind),
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// Consensus.
    Raft(RaftMessage),
    /// A command for the leader.
    Propose(Rc<Command>),
    /// A sign of life for the leader.
    Renew { life: u64, number: u64 },
    /// Its confirmation.
    Renewed { life: u64, number: u64, index: u64 },
    /// A caller's call, with the number of the caller's attempt.
    Call { request: Rc<Request> },
    /// To an owner.
    Forward(Box<Attempt>),
    /// Back to the gateway.
    Forwarded { life: u64, custody: u64, number: u32, end: Ended },
    /// To the store.
    Ask(Box<Envelope>),
    /// From the store.
    Answered { life: u64, shard: Shard, answer: Box<Answer> },
    /// A host's answers to a run.
    Results { life: u64, shard: Shard, key: u32, session: SessionId, ends: Vec<(u64, TurnEnd)> },
}

/// What a node wants to happen.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A message leaves.
    Send {
        /// To whom.
        to: Place,
        /// What.
        message: Message,
    },
    /// A message comes back to the node itself after a time, whatever the network is like.
    Later {
        /// After so many microseconds.
        after: u64,
        /// What.
        message: Message,
    },
    /// A caller is told.
    Tell {
        /// The operation.
        operation: u32,
        /// How it ended.
        end: Ended,
    },
}

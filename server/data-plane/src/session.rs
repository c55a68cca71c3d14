//! Host sessions: what a worker needs to hand turns to a host and to know how much it takes.
//!
//! A session belongs to the task that reads its stream (`grpc/host.rs`). Workers share a [`SessionLink`]: they reserve
//! credits and queue frames, without locks. The link is closed by whoever finds the stream broken first.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use callboard_proto::host::v1::NodeFrame;
use callboard_types::{Millis, SessionId};
use tokio::sync::mpsc;

/// What a host said about itself. For people.
#[derive(Clone, Debug, Default)]
pub struct HostInfo {
    /// The host process.
    pub instance_id: String,
    /// The SDK and its version.
    pub sdk: String,
    /// What it runs on.
    pub runtime: String,
    /// Its address.
    pub remote_address: String,
    /// When the session began.
    pub connected_at: Millis,
}

/// A worker's end of a host session.
#[derive(Debug)]
pub struct SessionLink {
    /// The session.
    pub id: SessionId,
    /// Who is at the other end.
    pub info: HostInfo,
    frames: mpsc::Sender<Vec<NodeFrame>>,
    credits: AtomicU32,
    in_flight: AtomicU32,
    /// True if somebody asked for credit and got none.
    starved: AtomicBool,
    draining: AtomicBool,
    closed: AtomicBool,
}

impl SessionLink {
    /// A link that queues frames to `frames` and takes up to `credits` turns at a time.
    #[must_use]
    pub fn new(
        id: SessionId,
        info: HostInfo,
        credits: u32,
        frames: mpsc::Sender<Vec<NodeFrame>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            info,
            frames,
            credits: AtomicU32::new(credits),
            in_flight: AtomicU32::new(0),
            starved: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    /// Takes up to `wanted` credits and says how many it got.
    pub fn reserve(&self, wanted: u32) -> u32 {
        if self.draining.load(Ordering::Acquire) || self.is_closed() {
            return 0;
        }
        let credits = self.credits.load(Ordering::Relaxed);
        let mut got = 0;
        let taken = self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |in_flight| {
            got = credits.saturating_sub(in_flight).min(wanted);
            (got > 0).then_some(in_flight + got)
        });
        if taken.is_err() {
            self.starved.store(true, Ordering::Release);
            return 0;
        }
        got
    }

    /// Gives credits back: turns were answered, or fewer were sent than reserved.
    pub fn release(&self, turns: u32) {
        let _ = self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |in_flight| {
            Some(in_flight.saturating_sub(turns))
        });
    }

    /// True, once, if somebody asked for credit and got none since this was asked last.
    pub fn was_starved(&self) -> bool {
        self.starved.swap(false, Ordering::AcqRel)
    }

    /// Turns that the host runs now.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Turns that the host takes at a time.
    #[must_use]
    pub fn credits(&self) -> u32 {
        self.credits.load(Ordering::Relaxed)
    }

    /// The host takes this many turns at a time from now on.
    pub fn set_credits(&self, turns: u32) {
        self.credits.store(turns, Ordering::Relaxed);
    }

    /// True if the host, or the node, is about to leave.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// No more turns go to this host.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// True once the stream is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The stream is gone, or must go.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Queues frames. A host that lets thousands of batches pile up is cut off: its turns run elsewhere.
    pub fn send(&self, frames: Vec<NodeFrame>) {
        if self.frames.try_send(frames).is_err() {
            self.close();
        }
    }
}

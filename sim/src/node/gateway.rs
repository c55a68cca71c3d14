//! Custody: a caller's request stays with its gateway until an owner answered it.

use std::{collections::BTreeMap, rc::Rc};

use callboard_types::{ErrorKind, NodeState, ShardOwner};

use super::{Facts, Stage, control::Control};
use crate::{
    coverage::Seen,
    message::{Attempt, Ended, Outgoing, Request},
};

/// After which time an attempt counts as lost, in microseconds.
const ATTEMPT_TIMEOUT: u64 = 800_000;
/// How long a call that came back waits before it goes to the same owner again, in microseconds.
const PAUSE: u64 = 100_000;
/// Redirects that a call may meet.
pub(crate) const REDIRECTS_MAX: u32 = 2;

#[derive(Debug)]
struct Kept {
    request: Rc<Request>,
    /// Counts attempts.
    number: u32,
    redirects: u32,
    /// What the node must have applied before it tries again.
    view: u64,
    not_before: u64,
    /// When the present attempt was sent, if there is one.
    sent: Option<u64>,
}

/// A node's gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    life: u64,
    next: u64,
    kept: BTreeMap<u64, Kept>,
}

impl Gateway {
    pub(super) fn new(life: u64) -> Self {
        Self { life, next: 0, kept: BTreeMap::new() }
    }

    /// Takes a call.
    pub(super) fn take(&mut self, request: Rc<Request>) {
        self.next += 1;
        let kept = Kept { request, number: 0, redirects: 0, view: 0, not_before: 0, sent: None };
        self.kept.insert(self.next, kept);
    }

    /// Sends what can be sent now, as (node, attempt).
    pub(super) fn route(
        &mut self,
        facts: &Facts,
        control: &Control,
        stage: &mut Stage<'_>,
    ) -> Vec<(usize, Attempt)> {
        let (now, view) = (stage.now, control.applied());
        let mut sent = Vec::new();
        self.kept.retain(|custody, kept| {
            let request = &kept.request;
            if now >= request.deadline {
                let end = Ended::Failed(ErrorKind::DeadlineExceeded);
                tell(request.operation, end, kept.redirects, stage);
                return false;
            }
            if kept.sent.is_some_and(|at| now >= at + ATTEMPT_TIMEOUT) {
                kept.sent = None;
            }
            if kept.sent.is_some() || kept.view > view || now < kept.not_before {
                return true;
            }
            let Some(to) = owner(control, request.shard) else {
                return true;
            };
            kept.sent = Some(now);
            kept.view = view;
            kept.number += 1;
            let attempt = Attempt {
                custody: *custody,
                number: kept.number,
                gateway: facts.me,
                life: self.life,
                request: Rc::clone(request),
                view,
            };
            sent.push((to, attempt));
            true
        });
        sent
    }

    /// An attempt ended.
    pub(super) fn on_end(&mut self, custody: u64, number: u32, end: Ended, stage: &mut Stage<'_>) {
        let Some(kept) = self.kept.get_mut(&custody) else { return };
        let Ended::Redirected { view } = end else {
            let kept = self.kept.remove(&custody).expect("it was there a line ago");
            return tell(kept.request.operation, end, kept.redirects, stage);
        };
        if kept.number != number {
            return;
        }
        // Only a receiver that knows as much as the sender did redirects; what it says moves the call on.
        kept.sent = None;
        kept.redirects += 1;
        kept.not_before = if view > kept.view { stage.now } else { stage.now + PAUSE };
        kept.view = kept.view.max(view);
        if kept.redirects > REDIRECTS_MAX {
            let kept = self.kept.remove(&custody).expect("it was there a line ago");
            let redirects = kept.redirects - 1;
            tell(kept.request.operation, Ended::Failed(ErrorKind::NotOwner), redirects, stage);
        } else {
            stage.coverage.saw(Seen::Redirected);
        }
    }
}

/// The node that serves a shard, unless it is about to change or down.
fn owner(control: &Control, (type_id, number): (u32, u32)) -> Option<usize> {
    let machine = control.machine();
    let owner: ShardOwner = *machine.type_by_id(type_id)?.shards.get(number as usize)?;
    let state = machine.member(owner.node)?.state();
    let served = state != NodeState::Down && !owner.is_moving();
    served.then(|| usize::try_from(owner.node.0 - 1).expect("few nodes"))
}

fn tell(operation: u32, end: Ended, redirects: u32, stage: &mut Stage<'_>) {
    stage.history.redirects.push(redirects);
    stage.out.push(Outgoing::Tell { operation, end });
}

//! Before and after a run: makes the hearers known, and reads what the actors that talk have at the end, when everything
//! that was set going has reached them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use callboard_proto::gateway::v1::InvokeRequest;
use callboard_types::Millis;

use super::{
    Error, Options, RECOVERY_MAX, actors, cast,
    client::Shared,
    history::{Entry, Event, Recorder},
    talk::{self, HEARER, HEARERS},
    verdict::talk as told,
};
use crate::check::once::{self, Marks, Violation};

/// How long everything that was set going may take until it has ended, once everything serves.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Lets every hearer have a state, so that it hears whatever is said from now on.
///
/// # Errors
/// If one cannot be called.
pub async fn join_hearers(options: &Options, shared: &Shared) -> Result<(), Error> {
    let give_up = super::now() + RECOVERY_MAX;
    for key in HEARERS {
        let call = InvokeRequest {
            actor: Some(actors::id(HEARER, key)),
            action: "join".into(),
            request_id: uuid::Uuid::now_v7().to_string(),
            created_at_ms: Millis::now().0,
            timeout_ms: 4_000,
            ..InvokeRequest::default()
        };
        let mut ports = cast::node_ports(options.nodes).into_iter().cycle();
        loop {
            let link = ports.next().and_then(|port| shared.usable_link(port));
            let Some(link) = link else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            match link.unary(call.clone()).await {
                Ok(_) => break,
                Err(error) if super::now() > give_up => {
                    return Err(Error::failed(format!("hearer {key} cannot join: {error}")));
                }
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }
    Ok(())
}

/// Reads every actor that something was set going for, until nothing is missing or the time is over, and writes down what
/// they had then.
///
/// # Errors
/// If an actor cannot be read.
pub async fn read(shared: &Shared, recorder: &Recorder, entries: &[Entry]) -> Result<(), Error> {
    let give_up = super::now() + DRAIN_MAX;
    let mut story = told::story(entries);
    let actors: BTreeSet<String> = story
        .causes
        .values()
        .flat_map(|cause| cause.places.iter().map(|place| place.actor.clone()))
        .collect();
    let mut left = actors.clone();
    loop {
        for actor in std::mem::take(&mut left) {
            let marks = read_one(shared, &actor, give_up + RECOVERY_MAX).await?;
            story.actors.insert(actor, marks);
        }
        for violation in once::check(&story) {
            if let Violation::Missing { actor, .. } = violation {
                left.insert(actor);
            }
        }
        if left.is_empty() || super::now() > give_up {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    // Once more, so that what came meanwhile, or came twice, is seen.
    for actor in actors {
        let Marks { total, marks } = read_one(shared, &actor, super::now() + RECOVERY_MAX).await?;
        let marks = marks.into_iter();
        let marks = marks.map(|mark| (mark.cause, mark.amount, mark.number, mark.at_ms));
        recorder.note(Event::Marks { actor, total, marks: marks.collect() });
    }
    Ok(())
}

async fn read_one(shared: &Shared, actor: &str, give_up: Instant) -> Result<Marks, Error> {
    let (kind, key) = actor.split_once('/').unwrap_or((actor, ""));
    let data = shared.read(actors::id(kind, key), give_up).await?;
    talk::marks(&data).ok_or_else(|| Error::failed(format!("the state of {actor} is torn")))
}

//! Schedules of a run: single times and intervals, made and sometimes deleted while faults go on. Each calls an actor of
//! its own, which keeps what it was called for.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use callboard_proto::control::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, Overlap, ScheduleSpec,
    schedule_spec::{Argument, When},
    schedules_service_client::SchedulesServiceClient,
};
use callboard_transport::status;
use callboard_types::{Millis, Retry};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::{task::JoinSet, time::timeout};
use tonic::transport::{Channel, Endpoint};

use super::{Error, GIVE_UP, actors, client::Shared, history::Event, node, talk::ALARM};

/// How much each firing adds.
pub const AMOUNT: u32 = 3;
/// Schedules that are looked after at a time.
const ALARMS_MAX: usize = 16;
/// Pause between two of them for each call of a hundred that does not set something going, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 3..9;
/// How far ahead the first occurrence is, in milliseconds.
const AHEAD_MS: std::ops::Range<i64> = 300..3_000;
/// The interval, in milliseconds.
const INTERVAL_MS: std::ops::Range<u64> = 150..600;
/// How often an interval fires.
const FIRINGS: std::ops::Range<u32> = 4..12;
/// When a schedule is deleted after it was made, in milliseconds.
const DELETE_MS: std::ops::Range<u64> = 0..2_500;
/// However late, everything is made up for: a clock that jumps must not count as lateness. In milliseconds.
const WINDOW_MS: u64 = 24 * 3_600 * 1_000;
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Pause between attempts.
const AGAIN: Duration = Duration::from_millis(50);

/// Makes schedules until the run stops, and waits for the last ones.
///
/// # Errors
/// If a task of it panicked.
pub async fn run(shared: Arc<Shared>, seed: u64) -> Result<(), Error> {
    let mut random = StdRng::seed_from_u64(seed);
    let share = u64::from(100 - shared.talk.min(99));
    let mut lives = JoinSet::new();
    let ended = |error| Error::failed(format!("an alarm: {error}"));
    while !shared.stopping.load(Ordering::Relaxed) {
        if lives.len() >= ALARMS_MAX
            && let Some(life) = lives.join_next().await
        {
            life.map_err(ended)?;
        }
        lives.spawn(live(Arc::clone(&shared), random.random()));
        tokio::time::sleep(Duration::from_millis(random.random_range(PAUSE_MS) * share)).await;
    }
    while let Some(life) = lives.join_next().await {
        life.map_err(ended)?;
    }
    Ok(())
}

/// The life of one schedule.
async fn live(shared: Arc<Shared>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let alarm = shared.next_call();
    let repeats = random.random_bool(0.5);
    let interval_ms = if repeats { random.random_range(INTERVAL_MS) } else { 0 };
    let firings = if repeats { random.random_range(FIRINGS) } else { 1 };
    let now_ms = Millis::now().0;
    let starts_ms = now_ms + random.random_range(AHEAD_MS);
    let recorder = shared.recorder();
    recorder.note(Event::Alarm { alarm, starts_ms, interval_ms, firings, now_ms });
    let argument = json!({"add": alarm, "amount": AMOUNT});
    let request = CreateScheduleRequest {
        name: name(alarm),
        spec: Some(ScheduleSpec {
            target: Some(actors::id(ALARM, &name(alarm))),
            action: "ring".into(),
            argument: Some(Argument::Payload(actors::payload(&argument))),
            when: Some(match interval_ms {
                0 => When::AtMs(starts_ms),
                every => When::IntervalMs(every),
            }),
            starts_at_ms: if repeats { starts_ms } else { 0 },
            max_firings: if repeats { u64::from(firings) } else { 0 },
            overlap: Overlap::Allow as i32,
            catchup_window_ms: WINDOW_MS,
            ..ScheduleSpec::default()
        }),
        // An attempt that nobody answered may be late, and must not make the schedule once more after its deletion.
        request_id: name(alarm),
        ..CreateScheduleRequest::default()
    };
    if !settle(&shared, &mut random, &Ask::Create(Box::new(request))).await {
        return;
    }
    recorder.note(Event::AlarmMade { alarm });
    if !random.random_ratio(1, 3) {
        return;
    }
    tokio::time::sleep(Duration::from_millis(random.random_range(DELETE_MS))).await;
    recorder.note(Event::AlarmDeleting { alarm });
    let request = DeleteScheduleRequest {
        name: name(alarm),
        request_id: name(alarm),
        ..DeleteScheduleRequest::default()
    };
    if settle(&shared, &mut random, &Ask::Delete(request)).await {
        recorder.note(Event::AlarmDeleted { alarm, now_ms: Millis::now().0 });
    }
}

/// What is asked of the cluster.
enum Ask {
    Create(Box<CreateScheduleRequest>),
    Delete(DeleteScheduleRequest),
}

impl Ask {
    async fn of(&self, mut client: SchedulesServiceClient<Channel>) -> Result<(), tonic::Status> {
        match self {
            Self::Create(request) => {
                client.create_schedule(CreateScheduleRequest::clone(request)).await.map(drop)
            }
            Self::Delete(request) => client.delete_schedule(request.clone()).await.map(drop),
        }
    }
}

/// The name of a schedule, and the key of its actor.
#[must_use]
pub fn name(alarm: u64) -> String {
    format!("a{alarm}")
}

/// Asks one node after the other until one agrees. False if none does, or never will.
async fn settle(shared: &Shared, random: &mut StdRng, ask: &Ask) -> bool {
    let give_up = super::now() + GIVE_UP;
    while super::now() < give_up {
        if let Some(client) = shared.pick_port(random).and_then(connect) {
            match timeout(ATTEMPT, ask.of(client)).await {
                Ok(Ok(())) => return true,
                Ok(Err(refused)) => {
                    let error = status::from_status(&refused);
                    if error.retry() == Retry::Never {
                        shared.recorder().say(format!("an alarm is refused: {error}"));
                        return false;
                    }
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
    false
}

fn connect(port: crate::net::Port) -> Option<SchedulesServiceClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{}", node::gateway(port))).ok()?;
    let channel = endpoint.connect_timeout(Duration::from_secs(2)).connect_lazy();
    Some(SchedulesServiceClient::new(channel))
}

//! Schedules over real nodes: agreed by all, fired by nobody twice, and quick to make.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use callboard_proto::{
    control::v1::{
        CreateScheduleRequest, ListSchedulesRequest, PreviewScheduleRequest, ScheduleSpec,
        schedule_spec::{Argument as PbArgument, When as PbWhen},
        schedules_service_server::SchedulesService,
    },
    types::v1 as pb,
};
use callboard_types::{
    ActorId, DueCursor, ErrorKind, Millis, Occurrence, OccurrenceEnd, Tick, limits,
};
use futures::future::join_all;
use tonic::Request;

use super::fixture::{Node, PATIENCE, cluster, counter, measured};
use crate::{
    grpc,
    machine::schedules::{Argument, Counters, Overlap, Spec, When},
};

pub(super) fn spec(when: When) -> Spec {
    Spec {
        system: String::new(),
        actor_type: "Counter".into(),
        key: "a".into(),
        action: "Add".into(),
        argument: Argument::default(),
        metadata: Vec::new(),
        when,
        jitter_ms: 0,
        overlap: Overlap::Skip,
        window_ms: 60_000,
        starts_at: None,
        ends_at: None,
        max_firings: None,
    }
}

/// Waits until something is due at the node, and returns it.
pub(super) fn until_due(node: &Node, count: usize) -> Vec<Occurrence> {
    let schedules = node.handle.schedules();
    node.run(async {
        let looking = async {
            loop {
                let due = schedules.due(DueCursor::default(), Millis::now(), 100);
                if due.len() >= count {
                    return due;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("due in time")
    })
}

pub(super) fn end(of: &Occurrence) -> OccurrenceEnd {
    OccurrenceEnd {
        schedule: of.at.schedule,
        generation: of.generation,
        number: of.number,
        fired_at: Millis::now(),
        error: None,
    }
}

#[test]
fn the_leader_dies_between_due_and_ended_and_no_occurrence_is_lost_or_ends_twice() {
    let mut nodes = cluster(3, |_| {});
    let leader = nodes.iter().position(|node| node.handle.is_leader()).expect("one leads");
    let other = (leader + 1) % 3;
    let registered = nodes[other].handle.register_types("default", vec![counter()], Bytes::new());
    nodes[other].run(registered).expect("registered");
    let soon = Millis::now().plus(2_000);
    nodes[other].run(async {
        let schedules = nodes[other].handle.schedules();
        let made = (0..20).map(|number| async move {
            let mut spec = spec(When::Every(3_600_000));
            spec.starts_at = Some(soon);
            schedules
                .create("default", &format!("s{number}"), spec, false, "")
                .await
                .expect("made");
        });
        join_all(made).await;
        schedules.create("default", "once", spec(When::At(soon)), false, "").await.expect("made");
    });
    let due = until_due(&nodes[other], 21);
    assert!(Millis::now() >= soon, "never early");
    nodes[leader].kill();
    let ends: Vec<OccurrenceEnd> = due.iter().map(end).collect();
    let survivor = &nodes[other];
    survivor.run(async {
        let schedules = survivor.handle.schedules();
        // Somebody else leads by then; it is said as often as it takes.
        while schedules.ended(ends.clone()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        schedules.ended(ends.clone()).await.expect("known");
        assert_eq!(schedules.due(DueCursor::default(), Millis::now(), 100), []);
        for number in 0..20 {
            let known = schedules.get("default", &format!("s{number}")).expect("there");
            assert_eq!(known.counters(), Counters { fired: 1, missed: 0, failed: 0 });
            let next = known.next().expect("an hour later");
            assert_eq!((next.number, next.nominal), (2, soon.plus(3_600_000)));
        }
        assert!(schedules.get("default", "once").is_none(), "it has fired");
    });
    nodes[leader].restart();
    let back = &nodes[leader];
    back.run(async {
        let mut changed = back.handle.schedules().changed();
        let caught_up = async {
            while back.handle.schedules().get("default", "once").is_some()
                || back.handle.schedules().get("default", "s19").is_none()
            {
                changed.changed().await.expect("alive");
            }
        };
        tokio::time::timeout(PATIENCE, caught_up).await.expect("it learns what was agreed");
    });
}

#[test]
fn what_nobody_fired_in_time_is_counted_and_the_next_takes_its_place() {
    let nodes = cluster(1, |_| {});
    let node = &nodes[0];
    let schedules = node.handle.schedules().clone();
    // Nobody hosts the type: the leader counts.
    let mut short = spec(When::Every(200));
    short.window_ms = 1;
    node.run(schedules.create("default", "short", short, false, "")).expect("made");
    let mut missed = spec(When::At(Millis::now().plus(50)));
    missed.window_ms = 1;
    node.run(schedules.create("default", "single", missed, false, "")).expect("made");
    node.run(async {
        let mut changed = schedules.changed();
        let counted = async {
            loop {
                let count = |name| schedules.get("default", name).expect("kept").counters().missed;
                if count("short") >= 3 && count("single") == 1 {
                    return;
                }
                changed.changed().await.expect("alive");
            }
        };
        tokio::time::timeout(PATIENCE, counted).await.expect("counted");
    });
    let single = schedules.get("default", "single").expect("it is not dropped in silence");
    assert_eq!(single.next(), None);
    let counters = schedules.get("default", "short").expect("there").counters();
    assert_eq!((counters.fired, counters.failed), (0, 0));
}

#[test]
fn a_call_that_runs_for_longer_than_the_window_is_not_late() {
    let nodes = cluster(1, |_| {});
    let node = &nodes[0];
    node.run(node.handle.register_types("default", vec![counter()], Bytes::new())).expect("made");
    let schedules = node.handle.schedules().clone();
    let mut long = spec(When::Every(300));
    long.window_ms = 5_000;
    node.run(schedules.create("default", "long", long, false, "")).expect("made");
    let due = until_due(node, 1);
    // As if it was handed out long ago.
    let later = Millis::now().plus(3_600_000);
    assert_eq!(schedules.due(DueCursor::default(), later, 10), due, "it still runs");
    node.run(schedules.ended(vec![end(&due[0])])).expect("agreed");
    let next = until_due(node, 1);
    assert_eq!((next[0].number, next[0].at.schedule), (2, due[0].at.schedule));
    assert_ne!(next[0].request_id(), due[0].request_id());
}

#[test]
fn pause_resume_update_and_trigger_are_agreed_through_any_node() {
    let nodes = cluster(3, |_| {});
    let on = |node: usize| (&nodes[node], nodes[node].handle.schedules().clone());
    let (node, schedules) = on(1);
    let cron = |line: &str| spec(When::Cron { line: line.into(), zone: "Europe/Berlin".into() });
    node.run(async {
        let made = schedules.create("shop", "nightly", cron("0 3 * * *"), true, "").await;
        assert!(made.expect("made").expect("there").paused_at().is_some());
        assert!(node.handle.view().borrow().has_system("shop"), "it is made with the schedule");
        let resumed = schedules.resume("shop", "nightly").await.expect("resumed");
        assert!(resumed.paused_at().is_none());
        let update = schedules.update("shop", "nightly", cron("0 4 * * *"), 7).await;
        assert_eq!(update.expect_err("not 7").kind, ErrorKind::ScheduleConflict);
        let updated = schedules.update("shop", "nightly", cron("0 4 * * *"), 1).await;
        assert_eq!(updated.expect("updated").generation(), 2);
        let unknown = schedules.pause("shop", "weekly").await.expect_err("there is none");
        assert_eq!(unknown.kind, ErrorKind::UnknownSchedule);
        for _ in 0..2 {
            schedules.trigger("shop", "nightly", "now").await.expect("triggered");
        }
    });
    let due = until_due(node, 1);
    assert_eq!((due.len(), &*due[0].name, due[0].generation), (1, "nightly", 2));
    assert_eq!(&*due[0].target.system, "shop");
    node.run(async {
        schedules.delete("shop", "nightly", "").await.expect("deleted");
        schedules.delete("shop", "nightly", "").await.expect("gone already");
        assert_eq!(schedules.due(DueCursor::default(), Millis::now(), 10), []);
    });
}

#[test]
fn a_delayed_call_is_made_once_for_its_request_id() {
    let nodes = cluster(1, |_| {});
    let node = &nodes[0];
    let schedules = node.handle.schedules().clone();
    let call = |due: i64, action: &str| Occurrence {
        at: DueCursor { due: Millis(due), schedule: 0 },
        generation: 0,
        number: 0,
        name: "".into(),
        target: ActorId::parse("default", "Counter", "a").expect("a name"),
        action: action.into(),
        argument: ("application/json".into(), String::new(), Bytes::from_static(b"7")),
        metadata: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
        accept_only: true,
    };
    let soon = Millis::now().0 + 100;
    node.run(async {
        let name = schedules.once("r-1", &call(soon, "Add")).await.expect("accepted");
        let again = schedules.once("r-1", &call(soon + 900, "Add")).await.expect("the same");
        assert_eq!(name, again);
        let other = schedules.once("r-1", &call(soon, "Remove")).await.expect_err("another call");
        assert_eq!(other.kind, ErrorKind::ScheduleConflict);
        let mut large = call(soon, "Add");
        large.argument.2 = vec![0; limits::PAYLOAD_BYTES_MAX].into();
        let large = schedules.once("r-2", &large).await.expect_err("too large to be kept");
        assert_eq!(large.kind, ErrorKind::PayloadTooLarge);
    });
    let due = until_due(node, 1);
    assert_eq!((due.len(), due[0].at.due, due[0].accept_only), (1, Millis(soon), true));
    assert_eq!(due[0].argument, call(soon, "Add").argument);
    node.run(async {
        schedules.ended(vec![end(&due[0])]).await.expect("agreed");
        schedules.once("r-1", &call(soon, "Add")).await.expect("it was made");
        assert_eq!(schedules.due(DueCursor::default(), Millis::now(), 10), []);
    });
}

#[test]
fn bad_specs_are_refused_with_what_to_do() {
    let nodes = cluster(1, |options| options.schedules_per_system = 2);
    let node = &nodes[0];
    let schedules = node.handle.schedules().clone();
    let cron = |line: &str, zone: &str| spec(When::Cron { line: line.into(), zone: zone.into() });
    let mut bad = vec![
        ("never fires", cron("0 0 30 2 *", "")),
        ("cron line", cron("every day", "")),
        ("time zone", cron("@daily", "Nowhere")),
        ("1970 to 9999", spec(When::At(Millis(300_000_000_000_000)))),
        ("catch-up window", spec(When::At(Millis(1_000)))),
        ("interval", spec(When::Every(99))),
        ("hundred years", spec(When::After(u64::MAX))),
    ];
    let nameless = [String::new(), "a\nb".into(), "n".repeat(limits::NAME_BYTES_MAX + 1)];
    node.run(async {
        for name in &nameless {
            let every = || spec(When::Every(1_000));
            let refused = [
                schedules.create("default", name, every(), false, "").await.map(|_| ()),
                schedules.update("default", name, every(), 0).await.map(|_| ()),
                schedules.pause("default", name).await.map(|_| ()),
                schedules.resume("default", name).await.map(|_| ()),
                schedules.trigger("default", name, "").await.map(|_| ()),
                schedules.delete("default", name, "").await,
            ];
            for refused in refused {
                assert_eq!(refused.expect_err("no name").kind, ErrorKind::InvalidArgument);
            }
        }
    });
    let mut ended = spec(When::Every(1_000));
    ended.ends_at = Some(Millis(5));
    bad.push(("never fire", ended));
    let mut own = spec(When::Every(1_000));
    own.metadata.push(("callboard-schedule".into(), "x".into()));
    bad.push(("callboard-", own));
    let mut internal = spec(When::Every(1_000));
    internal.action = "$delete".into();
    bad.push(("$", internal));
    node.run(async {
        for (said, spec) in bad {
            let error = schedules.create("default", "x", spec, false, "").await.expect_err(said);
            assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error}");
            assert!(error.message.contains(said), "{said}: {error}");
        }
        let fine = spec(When::Every(1_000));
        let mut large = fine.clone();
        large.argument.data = vec![0; 16 * 1024 + 1];
        let error = schedules.create("default", "x", large, false, "").await.expect_err("large");
        assert_eq!(error.kind, ErrorKind::PayloadTooLarge);
        for name in ["a", "b"] {
            schedules.create("default", name, fine.clone(), false, "").await.expect("made");
        }
        let log = node.handle.proposer.last_log_index();
        let flood = (0..5_000).map(|number| {
            let (schedules, fine) = (schedules.clone(), fine.clone());
            async move { schedules.create("default", &format!("f{number}"), fine, false, "").await }
        });
        for refused in join_all(flood).await {
            assert_eq!(refused.expect_err("full").kind, ErrorKind::QuotaExceeded);
        }
        assert!(node.handle.proposer.last_log_index() < log + 5, "the log did not grow");
    });
}

#[test]
fn the_service_reads_and_writes_what_the_proto_says() {
    let nodes = cluster(1, |_| {});
    let service = grpc::schedules::Schedules::new(nodes[0].handle.clone());
    let field = |value: f64| prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(value)),
    };
    let spec = ScheduleSpec {
        target: Some(pb::ActorId { r#type: "Counter".into(), ..pb::ActorId::default() }),
        action: "Add".into(),
        argument: Some(PbArgument::Json(field(7.0))),
        when: Some(PbWhen::Cron("0 9 * * MON".into())),
        time_zone: "America/New_York".into(),
        ..ScheduleSpec::default()
    };
    nodes[0].run(async {
        for name in ["b", "a", ""] {
            let request = CreateScheduleRequest {
                name: name.into(),
                spec: Some(spec.clone()),
                ..CreateScheduleRequest::default()
            };
            let made = service.create_schedule(Request::new(request)).await.expect("made");
            let made = made.into_inner().schedule.expect("there");
            assert!(!made.name.is_empty() && made.next_ms > Millis::now().0);
            let kept = made.spec.expect("shown");
            assert_eq!(kept.target.expect("whom").key, "Counter", "a NAMED actor's");
            let Some(PbArgument::Payload(payload)) = kept.argument else { panic!("as it is kept") };
            assert_eq!(
                (payload.content_type.as_str(), &payload.data[..]),
                ("application/json", &b"7"[..])
            );
            assert_eq!(kept.catchup_window_ms, 60_000);
        }
        let request = ListSchedulesRequest { page_size: 2, ..ListSchedulesRequest::default() };
        let page = service.list_schedules(Request::new(request.clone())).await.expect("listed");
        let page = page.into_inner();
        assert_eq!(page.schedules.len(), 2);
        let request = ListSchedulesRequest { page_token: page.next_page_token, ..request };
        let rest =
            service.list_schedules(Request::new(request)).await.expect("listed").into_inner();
        assert_eq!((rest.schedules.len(), rest.next_page_token.as_str()), (1, ""));
        let request = PreviewScheduleRequest {
            spec: Some(ScheduleSpec { target: None, ..spec.clone() }),
            count: 3,
            after_ms: 1_773_000_000_000,
        };
        let preview = service.preview_schedule(Request::new(request)).await.expect("told");
        assert_eq!(
            preview.into_inner().times_ms,
            [1_773_061_200_000, 1_773_666_000_000, 1_774_270_800_000]
        );
    });
}

/// Fails only if registrations stop to travel together: each would then cost a write to disk.
#[test]
fn registrations_travel_together() {
    let nodes = cluster(3, |_| {});
    let follower = nodes.iter().find(|node| !node.handle.is_leader()).expect("two do not lead");
    let schedules = follower.handle.schedules().clone();
    let count = 5_000_u32;
    let (log, began) = (follower.handle.proposer.last_log_index(), Tick::now());
    follower.run(async {
        let spec = Arc::new(spec(When::Every(3_600_000)));
        let made = (0..count).map(|number| {
            let (schedules, spec) = (schedules.clone(), Arc::clone(&spec));
            async move {
                let name = format!("s{number}");
                schedules.create("default", &name, Spec::clone(&spec), false, "").await
            }
        });
        for made in join_all(made).await {
            made.expect("made");
        }
    });
    let micros = Tick::now().micros_since(began);
    let entries = follower.handle.proposer.last_log_index() - log;
    measured(&format!("{count} schedules on three nodes in {micros} us, {entries} entries"));
    assert!(entries < 100, "{entries} entries");
}

/// A figure for people: `cargo test --release … a_million -- --ignored --nocapture`. CALLBOARD_SCHEDULES names another
/// number.
#[test]
#[ignore = "takes minutes in a debug build"]
fn a_million_pending_schedules_fit_one_node_and_come_back() {
    let count = std::env::var("CALLBOARD_SCHEDULES").ok().and_then(|count| count.parse().ok());
    let count: u32 = count.unwrap_or(1_000_000);
    let mut nodes = cluster(1, |options| options.schedules_per_system = u64::MAX);
    let before = resident();
    let schedules = nodes[0].handle.schedules().clone();
    let began = Tick::now();
    nodes[0].run(async {
        for chunk in 0..count.div_ceil(4_096) {
            let made = (0..4_096).map(|number| {
                let schedules = schedules.clone();
                async move {
                    let mut spec = spec(When::After(86_400_000));
                    spec.key = format!("user-{chunk}-{number}");
                    spec.argument.content_type = "application/json".into();
                    spec.argument.data = br#"{"text":"remember"}"#.to_vec();
                    let name = format!("reminder-{chunk}-{number}");
                    schedules.create("default", &name, spec, false, "").await.expect("made");
                }
            });
            join_all(made).await;
        }
    });
    let micros = Tick::now().micros_since(began);
    let rate = u64::from(count) * 1_000_000 / micros;
    let grown = resident() - before;
    measured(&format!("{count} schedules at {rate}/s; memory grew by {} MiB", grown >> 20));
    let state = nodes[0].handle.proposer.replicated.read().clone();
    let began = Tick::now();
    let bytes = state.sealed().len();
    let micros = Tick::now().micros_since(began);
    measured(&format!("a snapshot has {bytes} bytes, encoded in {} ms", micros / 1_000));
    drop(state);
    drop(schedules);
    nodes[0].stop();
    let began = Tick::now();
    nodes[0].restart();
    let back = nodes[0].handle.schedules().next_due(Millis(0));
    assert!(back.is_some(), "all are back when it is ready");
    measured(&format!("restarted in {} ms", Tick::now().micros_since(began) / 1_000));
}

/// The process's memory in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = status.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number") * 4_096
}

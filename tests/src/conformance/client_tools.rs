//! What a client asks of the control services: schedules, tools for single actors, dead letters.

use callboard_proto::{
    control::v1::{
        CheckpointActorRequest, CheckpointActorResponse, CreateScheduleRequest,
        CreateScheduleResponse, DeactivateActorRequest, DeactivateActorResponse, DeadLetter,
        DeleteActorRequest, DeleteActorResponse, DeleteScheduleRequest, DeleteScheduleResponse,
        DropDeadLetterRequest, DropDeadLetterResponse, GetRevisionRequest, GetRevisionResponse,
        GetScheduleRequest, GetScheduleResponse, ListDeadLettersRequest, ListDeadLettersResponse,
        ListRevisionsRequest, ListRevisionsResponse, ListSchedulesRequest, ListSchedulesResponse,
        Overlap, PauseScheduleRequest, PauseScheduleResponse, PreviewScheduleRequest,
        PreviewScheduleResponse, RestoreActorRequest, RestoreActorResponse, ResumeScheduleRequest,
        ResumeScheduleResponse, RetryDeadLetterRequest, RetryDeadLetterResponse, Revision,
        Schedule, ScheduleSpec, TriggerScheduleRequest, TriggerScheduleResponse,
        UpdateScheduleRequest, UpdateScheduleResponse, get_revision_request, restore_actor_request,
        schedule_spec::{Argument, When},
    },
    types::v1::{ActorId, CallError, Retry},
};
use serde_json::{Value, json};

use super::{
    Scenario,
    calls::{Client, server_error},
    check::{Check, Failure, ensure, json as payload, read_json, same},
    stage::Stage,
};

pub(super) const SCENARIOS: &[Scenario] = super::scenarios!["tools":
    "a schedule carries everything that its spec says" => spec,
    "a schedule fires at a date, after a delay, at intervals or by cron" => when,
    "a schedule without a name gets the same one at each attempt" => nameless,
    "a schedule is updated, looked at, paused, resumed and deleted" => managed,
    "a trigger has the same request id at each attempt" => trigger,
    "schedules are listed page by page" => listed,
    "a preview tells times" => preview,
    "a refusal keeps its reason" => refused,
    "an actor is checkpointed, deactivated and deleted" => actors,
    "a history is read page by page" => history,
    "a past state is read and restored" => past,
    "dead letters are listed, retried and dropped" => letters,
];

fn counter(key: &str) -> ActorId {
    ActorId { system: "default".to_owned(), r#type: "Counter".to_owned(), key: key.to_owned() }
}

/// Compares an actor of the default system, which may be left out.
fn is_counter(actor: Option<&ActorId>, key: &str) -> Check {
    let actor = actor.cloned().unwrap_or_default();
    ensure(["", "default"].contains(&actor.system.as_str()), format!("{actor:?}"))?;
    same("the actor", (actor.r#type.as_str(), actor.key.as_str()), ("Counter", key))
}

fn is_default(system: &str) -> Check {
    ensure(["", "default"].contains(&system), format!("the system is {system:?}"))
}

fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

/// A spec in the words of commands.
fn spec_of(more: Value) -> Value {
    with(json!({"type": "Counter", "key": "k", "action": "add"}), more)
}

fn made(schedule: Schedule) -> CreateScheduleResponse {
    CreateScheduleResponse { schedule: Some(schedule), ..CreateScheduleResponse::default() }
}

/// A schedule as the server tells it, with a cron spec.
fn schedule(name: &str) -> Schedule {
    Schedule {
        system: "default".to_owned(),
        name: name.to_owned(),
        spec: Some(ScheduleSpec {
            target: Some(counter("k")),
            action: "add".to_owned(),
            argument: Some(Argument::Payload(payload(&json!({"amount": 2})))),
            when: Some(When::Cron("@daily".to_owned())),
            ..ScheduleSpec::default()
        }),
        generation: 3,
        next_ms: 1_800_000_000_000,
        fired: 7,
        missed: 2,
        failed: 1,
        last_fired_ms: 1_700_000_000_000,
        last_error: "NO_HOST: nobody runs it".to_owned(),
        ..Schedule::default()
    }
}

/// The same in the words of results.
fn told(name: &str) -> Value {
    json!({
        "name": name, "type": "Counter", "key": "k", "action": "add", "argument": {"amount": 2},
        "paused": false, "generation": 3, "next_ms": 1_800_000_000_000_i64, "fired": 7,
        "missed": 2, "failed": 1, "last_fired_ms": 1_700_000_000_000_i64,
        "last_error": "NO_HOST: nobody runs it",
    })
}

async fn spec(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let spec = spec_of(json!({
        "argument": {"amount": 2}, "metadata": {"why": "daily"}, "cron": "0 9 * * 1-5",
        "time_zone": "Europe/Berlin", "jitter_ms": 1_500, "overlap": "queue",
        "catch_up_ms": 60_001, "starts_at_ms": 1_800_000_000_001_i64,
        "ends_at_ms": 1_900_000_000_002_i64, "max_firings": 12,
    }));
    let fields = json!({"name": "mornings", "spec": spec, "paused": true});
    let id = client.tell("create_schedule", fields).await?;
    let (request, call) =
        client.control::<CreateScheduleRequest>("SchedulesService/CreateSchedule").await?;
    is_default(&request.system)?;
    same("name", request.name.as_str(), "mornings")?;
    same("paused", request.paused, true)?;
    let spec = request.spec.unwrap_or_default();
    is_counter(spec.target.as_ref(), "k")?;
    same("action", spec.action.as_str(), "add")?;
    let Some(Argument::Payload(argument)) = &spec.argument else {
        return Err(Failure(format!("the argument is no payload: {:?}", spec.argument)));
    };
    same("argument", read_json("the argument", Some(argument))?, json!({"amount": 2}))?;
    same("metadata", spec.metadata.get("why").map(String::as_str), Some("daily"))?;
    same("when", &spec.when, &Some(When::Cron("0 9 * * 1-5".to_owned())))?;
    same("time_zone", spec.time_zone.as_str(), "Europe/Berlin")?;
    same("overlap", spec.overlap(), Overlap::Queue)?;
    let numbers = [spec.jitter_ms, spec.catchup_window_ms, spec.max_firings];
    same("jitter, catch-up, firings", numbers, [1_500, 60_001, 12])?;
    let bounds = (spec.starts_at_ms, spec.ends_at_ms);
    same("start and end", bounds, (1_800_000_000_001, 1_900_000_000_002))?;
    call.reply(&made(schedule("mornings")));
    same("the result", client.ok(id).await?, told("mornings"))?;
    client.no_more_calls().await
}

async fn when(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let times = [
        (json!({"at_ms": 1_900_000_000_001_i64}), When::AtMs(1_900_000_000_001)),
        (json!({"delay_ms": 2_500}), When::DelayMs(2_500)),
        (json!({"every_ms": 60_000}), When::IntervalMs(60_000)),
        (json!({"cron": "@hourly"}), When::Cron("@hourly".to_owned())),
    ];
    for (time, expected) in times {
        let fields = json!({"name": "s", "spec": spec_of(time)});
        let id = client.tell("create_schedule", fields).await?;
        let (request, call) =
            client.control::<CreateScheduleRequest>("SchedulesService/CreateSchedule").await?;
        let spec = request.spec.unwrap_or_default();
        same("when", &spec.when, &Some(expected))?;
        same("paused", request.paused, false)?;
        same("overlap", spec.overlap(), Overlap::Unspecified)?;
        let answer = Schedule {
            spec: Some(ScheduleSpec {
                target: Some(counter("k")),
                action: "add".to_owned(),
                ..ScheduleSpec::default()
            }),
            name: "s".to_owned(),
            generation: 1,
            ..Schedule::default()
        };
        call.reply(&made(answer));
        let expected = json!({
            "name": "s", "type": "Counter", "key": "k", "action": "add", "argument": null,
            "paused": false, "generation": 1, "next_ms": null, "fired": 0, "missed": 0,
            "failed": 0, "last_fired_ms": null, "last_error": null,
        });
        same("the result", client.ok(id).await?, expected)?;
    }
    Ok(())
}

async fn nameless(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let spec = spec_of(json!({"every_ms": 1_000}));
    let id = client.tell("create_schedule", json!({"spec": spec})).await?;
    let method = "SchedulesService/CreateSchedule";
    let (first, call) = client.control::<CreateScheduleRequest>(method).await?;
    ensure(!first.name.is_empty(), "the SDK made up no name")?;
    ensure(!first.request_id.is_empty(), "the SDK made up no request id")?;
    call.break_connection();
    let (second, call) = client.control::<CreateScheduleRequest>(method).await?;
    same("the name of the second attempt", &second.name, &first.name)?;
    same("the request id of the second attempt", &second.request_id, &first.request_id)?;
    call.error(&server_error("NO_LEADER", 14, Retry::Safe));
    let (third, call) = client.control::<CreateScheduleRequest>(method).await?;
    same("the name of the third attempt", &third.name, &first.name)?;
    same("the request id of the third attempt", &third.request_id, &first.request_id)?;
    call.reply(&made(schedule(&first.name)));
    same("the result", client.ok(id).await?, told(&first.name))
}

async fn managed(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let schedule = || Some(schedule("s"));
    let spec = spec_of(json!({"cron": "@weekly"}));
    let fields = json!({"name": "s", "spec": spec, "if_generation": 2});
    let id = client.tell("update_schedule", fields).await?;
    let (request, call) =
        client.control::<UpdateScheduleRequest>("SchedulesService/UpdateSchedule").await?;
    same("name, generation", (request.name.as_str(), request.if_generation), ("s", 2))?;
    let when = request.spec.unwrap_or_default().when;
    same("when", when, Some(When::Cron("@weekly".to_owned())))?;
    call.reply(&UpdateScheduleResponse { schedule: schedule() });
    same("the updated schedule", client.ok(id).await?, told("s"))?;

    let id = client.tell("get_schedule", json!({"name": "s"})).await?;
    let (request, call) =
        client.control::<GetScheduleRequest>("SchedulesService/GetSchedule").await?;
    same("name", request.name.as_str(), "s")?;
    call.reply(&GetScheduleResponse { schedule: schedule() });
    same("the schedule", client.ok(id).await?, told("s"))?;

    let id = client.tell("pause_schedule", json!({"name": "s"})).await?;
    let (request, call) =
        client.control::<PauseScheduleRequest>("SchedulesService/PauseSchedule").await?;
    same("name", request.name.as_str(), "s")?;
    let paused = Schedule { paused: true, ..schedule().unwrap_or_default() };
    call.reply(&PauseScheduleResponse { schedule: Some(paused) });
    let expected = with(told("s"), json!({"paused": true}));
    same("the paused schedule", client.ok(id).await?, expected)?;

    let id = client.tell("resume_schedule", json!({"name": "s"})).await?;
    let (request, call) =
        client.control::<ResumeScheduleRequest>("SchedulesService/ResumeSchedule").await?;
    same("name", request.name.as_str(), "s")?;
    call.reply(&ResumeScheduleResponse { schedule: schedule() });
    same("the resumed schedule", client.ok(id).await?, told("s"))?;

    let id = client.tell("delete_schedule", json!({"name": "s"})).await?;
    let (request, call) =
        client.control::<DeleteScheduleRequest>("SchedulesService/DeleteSchedule").await?;
    same("name", request.name.as_str(), "s")?;
    ensure(!request.request_id.is_empty(), "the SDK made up no request id")?;
    call.reply(&DeleteScheduleResponse {});
    same("the result of the deletion", client.ok(id).await?, Value::Null)?;
    client.no_more_calls().await
}

async fn trigger(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let method = "SchedulesService/TriggerSchedule";
    let id = client.tell("trigger_schedule", json!({"name": "s"})).await?;
    let (first, call) = client.control::<TriggerScheduleRequest>(method).await?;
    ensure(!first.request_id.is_empty(), "the SDK made up no request id")?;
    call.break_connection();
    let (second, call) = client.control::<TriggerScheduleRequest>(method).await?;
    same("name", second.name.as_str(), "s")?;
    same("the request id of the second attempt", &second.request_id, &first.request_id)?;
    call.reply(&TriggerScheduleResponse { schedule: Some(schedule("s")) });
    same("the result", client.ok(id).await?, told("s"))
}

async fn listed(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let method = "SchedulesService/ListSchedules";
    let id = client.tell("list_schedules", json!({"prefix": "s"})).await?;
    let (request, call) = client.control::<ListSchedulesRequest>(method).await?;
    let asked = (request.name_prefix.as_str(), request.page_token.as_str());
    same("prefix and token", asked, ("s", ""))?;
    let schedules = vec![schedule("s1"), schedule("s2")];
    call.reply(&ListSchedulesResponse { schedules, next_page_token: "more".to_owned() });
    let (request, call) = client.control::<ListSchedulesRequest>(method).await?;
    let asked = (request.name_prefix.as_str(), request.page_token.as_str());
    same("prefix and token", asked, ("s", "more"))?;
    let schedules = vec![schedule("s3")];
    call.reply(&ListSchedulesResponse { schedules, next_page_token: String::new() });
    let all = json!([told("s1"), told("s2"), told("s3")]);
    same("the list", client.ok(id).await?, all)?;
    client.no_more_calls().await
}

async fn preview(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let spec = spec_of(json!({"cron": "0 0 29 2 *", "time_zone": "Asia/Tokyo"}));
    let fields = json!({"spec": spec, "count": 2, "after_ms": 1_700_000_000_000_i64});
    let id = client.tell("preview_schedule", fields).await?;
    let (request, call) =
        client.control::<PreviewScheduleRequest>("SchedulesService/PreviewSchedule").await?;
    let asked = (request.count, request.after_ms);
    same("count and time", asked, (2, 1_700_000_000_000))?;
    let spec = request.spec.unwrap_or_default();
    same("time_zone", spec.time_zone.as_str(), "Asia/Tokyo")?;
    let times_ms = vec![1_835_362_800_000, 1_961_593_200_000];
    call.reply(&PreviewScheduleResponse { times_ms: times_ms.clone() });
    same("the times", client.ok(id).await?, json!(times_ms))
}

async fn refused(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let id = client.tell("get_schedule", json!({"name": "none"})).await?;
    let (_, call) = client.control::<GetScheduleRequest>("SchedulesService/GetSchedule").await?;
    call.error(&server_error("UNKNOWN_SCHEDULE", 5, Retry::Never));
    let failure = client.failed(id).await?;
    same("reason", failure["reason"].as_str(), Some("UNKNOWN_SCHEDULE"))?;
    same("code", failure["code"].as_i64(), Some(5))?;
    client.no_more_calls().await
}

async fn actors(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let actor = json!({"type": "Counter", "key": "k/1"});
    let id = client.tell("checkpoint_actor", actor.clone()).await?;
    let (request, call) =
        client.control::<CheckpointActorRequest>("ActorsService/CheckpointActor").await?;
    is_counter(request.actor.as_ref(), "k/1")?;
    call.reply(&CheckpointActorResponse { revision: 8 });
    same("the checkpoint", client.ok(id).await?, json!({"revision": 8}))?;

    let id = client.tell("deactivate_actor", actor.clone()).await?;
    let (request, call) =
        client.control::<DeactivateActorRequest>("ActorsService/DeactivateActor").await?;
    is_counter(request.actor.as_ref(), "k/1")?;
    call.reply(&DeactivateActorResponse {});
    same("the deactivation", client.ok(id).await?, Value::Null)?;

    let id = client.tell("delete_actor", actor).await?;
    let (request, call) = client.control::<DeleteActorRequest>("ActorsService/DeleteActor").await?;
    is_counter(request.actor.as_ref(), "k/1")?;
    call.reply(&DeleteActorResponse { revision: 9 });
    same("the deletion", client.ok(id).await?, json!({"revision": 9}))?;
    client.no_more_calls().await
}

fn revision(revision: u64) -> Revision {
    Revision {
        revision,
        committed_at_ms: 1_700_000_000_000 + i64::try_from(revision).unwrap_or(0),
        state_bytes: 12,
    }
}

async fn history(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let id = client.tell("history", json!({"type": "Counter", "key": "k"})).await?;
    for (below, revisions) in [(0, vec![5, 4]), (4, vec![2]), (2, vec![])] {
        let (request, call) =
            client.control::<ListRevisionsRequest>("ActorsService/ListRevisions").await?;
        is_counter(request.actor.as_ref(), "k")?;
        same("below", request.below, below)?;
        let revisions = revisions.into_iter().map(revision).collect();
        call.reply(&ListRevisionsResponse { revisions });
    }
    let told = |revision: u64| {
        let at = 1_700_000_000_000 + revision;
        json!({"revision": revision, "committed_at_ms": at, "state_bytes": 12})
    };
    same("the history", client.ok(id).await?, json!([told(5), told(4), told(2)]))?;
    client.no_more_calls().await
}

async fn past(stage: Stage) -> Check {
    const TIME: i64 = 1_700_000_000_003;
    let mut client = Client::start(&stage).await?;
    let points = [(json!({"revision": 3}), None), (json!({"time_ms": TIME}), Some(TIME))];
    for (point, time) in points {
        let actor = with(json!({"type": "Counter", "key": "k"}), point);
        let id = client.tell("state_at", actor.clone()).await?;
        let (request, call) =
            client.control::<GetRevisionRequest>("ActorsService/GetRevision").await?;
        is_counter(request.actor.as_ref(), "k")?;
        let at = time.map_or(get_revision_request::At::Revision(3), |time| {
            get_revision_request::At::TimeMs(time)
        });
        same("at", request.at, Some(at))?;
        call.reply(&GetRevisionResponse {
            revision: Some(revision(3)),
            state: Some(payload(&json!({"total": 4}))),
            json: None,
            tags: [("a".to_owned(), "b".to_owned())].into_iter().collect(),
        });
        let expected = json!({
            "revision": 3, "committed_at_ms": TIME, "state": {"total": 4}, "tags": {"a": "b"},
        });
        same("the state", client.ok(id).await?, expected)?;

        let id = client.tell("restore_actor", actor).await?;
        let (request, call) =
            client.control::<RestoreActorRequest>("ActorsService/RestoreActor").await?;
        is_counter(request.actor.as_ref(), "k")?;
        let at = time.map_or(restore_actor_request::At::Revision(3), |time| {
            restore_actor_request::At::TimeMs(time)
        });
        same("at", request.at, Some(at))?;
        call.reply(&RestoreActorResponse { revision: 10, restored: 3 });
        let expected = json!({"revision": 10, "restored": 3});
        same("the restored revision", client.ok(id).await?, expected)?;
    }
    client.no_more_calls().await
}

fn letter(id: &str) -> DeadLetter {
    DeadLetter {
        id: id.to_owned(),
        source: Some(counter("from")),
        target: Some(ActorId { r#type: "Gone".to_owned(), ..counter("to") }),
        action: "add".to_owned(),
        payload: Some(payload(&json!({"amount": 1}))),
        request_id: format!("request-{id}"),
        error: Some(CallError {
            code: 5,
            reason: "UNKNOWN_TYPE".to_owned(),
            message: "nobody runs it".to_owned(),
            ..CallError::default()
        }),
        attempts: 4,
        created_at_ms: 1_700_000_000_001,
        died_at_ms: 1_700_000_000_002,
        channel: String::new(),
    }
}

fn told_letter(id: &str) -> Value {
    json!({
        "letter": id, "source": {"system": "default", "type": "Counter", "key": "from"},
        "target": {"system": "default", "type": "Gone", "key": "to"}, "action": "add",
        "argument": {"amount": 1}, "request_id": format!("request-{id}"),
        "reason": "UNKNOWN_TYPE", "message": "nobody runs it", "attempts": 4,
        "created_at_ms": 1_700_000_000_001_i64, "died_at_ms": 1_700_000_000_002_i64,
    })
}

async fn letters(stage: Stage) -> Check {
    let mut client = Client::start(&stage).await?;
    let method = "DeadLettersService/ListDeadLetters";
    let id = client.tell("list_dead_letters", json!({"source_type": "Counter"})).await?;
    for (token, next, ids) in [("", "more", ["a", "b"].as_slice()), ("more", "", &["c"])] {
        let (request, call) = client.control::<ListDeadLettersRequest>(method).await?;
        is_default(&request.system)?;
        let asked = (request.source_type.as_str(), request.page_token.as_str());
        same("type and token", asked, ("Counter", token))?;
        let letters = ids.iter().map(|id| letter(id)).collect();
        call.reply(&ListDeadLettersResponse { letters, next_page_token: next.to_owned() });
    }
    let all = json!([told_letter("a"), told_letter("b"), told_letter("c")]);
    same("the letters", client.ok(id).await?, all)?;

    let id = client.tell("retry_dead_letter", json!({"letter": "a"})).await?;
    let (request, call) =
        client.control::<RetryDeadLetterRequest>("DeadLettersService/RetryDeadLetter").await?;
    same("id", request.id.as_str(), "a")?;
    call.reply(&RetryDeadLetterResponse {});
    same("the result", client.ok(id).await?, Value::Null)?;

    let id = client.tell("drop_dead_letter", json!({"letter": "b"})).await?;
    let (request, call) =
        client.control::<DropDeadLetterRequest>("DeadLettersService/DropDeadLetter").await?;
    same("id", request.id.as_str(), "b")?;
    call.reply(&DropDeadLetterResponse {});
    same("the result", client.ok(id).await?, Value::Null)?;
    client.no_more_calls().await
}

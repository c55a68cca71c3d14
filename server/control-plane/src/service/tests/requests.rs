//! Attempts whose answers were lost, through the service that callers use.

use std::time::Duration;

use callboard_proto::{
    control::v1::{
        CreateScheduleRequest, CreateScheduleResponse, DeleteScheduleRequest, ScheduleSpec,
        schedule_spec::When, schedules_service_server::SchedulesService,
    },
    types::v1::ActorId,
};
use callboard_transport::status::from_status;
use callboard_types::{CallError, DueCursor, ErrorKind, Millis};
use tonic::Request;

use super::{
    fixture::{Node, cluster},
    schedules::{end, until_due},
};
use crate::grpc::schedules::Schedules;

fn request(name: &str, request_id: &str, when: When) -> CreateScheduleRequest {
    let target = ActorId { r#type: "Counter".into(), key: "a".into(), ..ActorId::default() };
    CreateScheduleRequest {
        name: name.into(),
        spec: Some(ScheduleSpec {
            target: Some(target),
            action: "Add".into(),
            when: Some(when),
            catchup_window_ms: 1_000,
            ..ScheduleSpec::default()
        }),
        request_id: request_id.into(),
        ..CreateScheduleRequest::default()
    }
}

fn create(node: &Node, of: CreateScheduleRequest) -> Result<CreateScheduleResponse, CallError> {
    let service = Schedules::new(node.handle.clone());
    let made = node.run(service.create_schedule(Request::new(of)));
    made.map(tonic::Response::into_inner).map_err(|status| from_status(&status))
}

fn delete(node: &Node, name: &str, request_id: &str) {
    let service = Schedules::new(node.handle.clone());
    let request = DeleteScheduleRequest {
        name: name.into(),
        request_id: request_id.into(),
        ..DeleteScheduleRequest::default()
    };
    node.run(service.delete_schedule(Request::new(request))).expect("deleted");
}

/// Has everything fire that is due, and says so.
fn fire(node: &Node) {
    let due = until_due(node, 1);
    node.run(node.handle.schedules().ended(due.iter().map(end).collect())).expect("agreed");
}

#[test]
fn what_somebody_deleted_meanwhile_is_not_made_again_by_any_node() {
    let nodes = cluster(3, |_| {});
    let hourly = When::IntervalMs(3_600_000);
    let made = create(&nodes[0], request("s", "r", hourly.clone())).expect("made");
    assert!(!made.gone && made.schedule.expect("shown").next_ms > 0);
    delete(&nodes[1], "s", "d");
    let late = create(&nodes[2], request("s", "r", hourly.clone())).expect("known");
    let shown = late.schedule.expect("as it was asked for");
    assert!(late.gone);
    assert_eq!((shown.name.as_str(), shown.next_ms), ("s", 0));
    assert_eq!(shown.spec.expect("shown").action, "Add");
    assert!(nodes[2].handle.schedules().get("default", "s").is_none());
    // A new request makes it, and the deletion is not repeated.
    let made = create(&nodes[2], request("s", "another", hourly)).expect("made");
    assert!(!made.gone);
    delete(&nodes[0], "s", "d");
    assert!(nodes[0].handle.schedules().get("default", "s").is_some());
}

#[test]
fn a_delay_that_has_passed_fires_no_second_time_and_neither_does_a_date() {
    let nodes = cluster(1, |_| {});
    let node = &nodes[0];
    let delayed = || request("delayed", "r", When::DelayMs(50));
    create(node, delayed()).expect("made");
    fire(node);
    assert!(create(node, delayed()).expect("known").gone);
    let soon = Millis::now().plus(50);
    let dated = |id: &str| request("dated", id, When::AtMs(soon.0));
    create(node, dated("r")).expect("made");
    fire(node);
    node.run(async {
        while Millis::now() <= soon.plus(1_000) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(create(node, dated("r")).expect("known, however late").gone);
    let error = create(node, dated("another")).expect_err("its time has passed");
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
    assert!(error.message.contains("catch-up window"), "{error}");
    assert_eq!(node.handle.schedules().due(DueCursor::default(), Millis::now(), 10), []);
}

#[test]
fn a_request_without_a_name_has_the_same_one_at_each_attempt() {
    let nodes = cluster(1, |_| {});
    let name = |id: &str| {
        let made = create(&nodes[0], request("", id, When::IntervalMs(1_000))).expect("made");
        made.schedule.expect("shown").name
    };
    assert_eq!(name("r"), name("r"));
    assert_ne!(name("r"), name("another"));
    assert_ne!(name(""), name(""), "without an id it is a new one");
    let long = "r".repeat(129);
    let error = create(&nodes[0], request("", &long, When::IntervalMs(1_000))).expect_err("long");
    assert_eq!(error.kind, ErrorKind::InvalidArgument);
}

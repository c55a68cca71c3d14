//! Occurrences as the node's copy of the cluster has their targets.

use bytes::Bytes;
use callboard_types::{
    Action, ClusterView, DueCursor, Epoch, Kind, ShardOwner, TypeDefinition, TypeView,
};
use prost::Message;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use super::*;

const ME: NodeId = NodeId(1);
const DUE: Millis = Millis(1_700_000_000_000);

fn occurrence(json: &str) -> Occurrence {
    Occurrence {
        at: DueCursor { due: DUE, schedule: 1 },
        generation: 1,
        number: 1,
        name: "s".into(),
        target: ActorId::parse("default", "Counter", "a").expect("a valid name"),
        action: "add".into(),
        argument: (transcode::JSON.into(), String::new(), Bytes::from(json.to_owned())),
        metadata: Vec::new(),
        accept_only: false,
    }
}

/// A message `acme.Add` with an amount.
fn descriptors() -> Arc<[u8]> {
    let amount = FieldDescriptorProto {
        name: Some("amount".into()),
        number: Some(1),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::Int32.into()),
        ..FieldDescriptorProto::default()
    };
    let add = DescriptorProto {
        name: Some("Add".into()),
        field: vec![amount],
        ..DescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: Some("add.proto".into()),
        package: Some("acme".into()),
        syntax: Some("proto3".into()),
        message_type: vec![add],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec().into()
}

fn catalog(kind: Kind, input_type: &str) -> Catalog {
    let mut definition = TypeDefinition::new("Counter");
    definition.kind = kind;
    let add = Action { input_type: input_type.into(), ..Action::default() };
    definition.actions.insert("add".into(), add);
    let mut view = ClusterView { version: 1, ..ClusterView::default() };
    view.systems = vec!["default".into()];
    view.set_types(vec![Arc::new(TypeView {
        id: 0,
        system: "default".into(),
        name: "Counter".into(),
        definition,
        descriptor_hash: "".into(),
        descriptor_set: descriptors(),
        shards: [ShardOwner::new(ME, Epoch(1))].into(),
    })]);
    Catalog::next(&Catalog::default(), &Arc::new(view))
}

fn fitted_here(catalog: &Catalog, json: &str) -> Result<Call, Box<(Call, CallError)>> {
    let one = occurrence(json);
    let target = one.target.clone();
    fitted(catalog, &target, call(one, DUE, ReplyTo::Nobody))
}

#[test]
fn json_becomes_the_message_that_the_action_takes() {
    let catalog = catalog(Kind::Unnamed, "acme.Add");
    let argument = fitted_here(&catalog, r#"{"amount": 5}"#).expect("it fits").argument;
    let shown = (argument.content_type.as_str(), argument.type_url.as_str(), &argument.data[..]);
    assert_eq!(shown, (transcode::PROTOBUF, "acme.Add", &[8, 5][..]));
    let refused = fitted_here(&catalog, r#"{"sum": 5}"#).expect_err("no such field");
    assert_eq!(refused.1.kind, ErrorKind::InvalidArgument);
}

#[test]
fn json_stays_as_it_is_for_actions_without_a_message() {
    let argument = fitted_here(&catalog(Kind::Unnamed, ""), "5").expect("it fits").argument;
    assert_eq!((argument.content_type.as_str(), &argument.data[..]), (transcode::JSON, &b"5"[..]));
}

#[test]
fn a_pool_is_called_without_the_key_that_its_schedule_holds() {
    let catalog = catalog(Kind::Pooled, "");
    let one = occurrence("5");
    let target = one.target.clone();
    let aimed = aimed(ME, &catalog, &target, call(one, DUE, ReplyTo::Nobody));
    assert_eq!(aimed.map(|routed| routed.key).map_err(|refused| refused.1), Ok("0".to_owned()));
}

#[test]
fn an_unknown_type_is_hopeless_only_once_views_cannot_lag_any_more() {
    let catalog = Catalog::default();
    let at = |wall| place(&catalog, ME, true, wall, &occurrence("5"));
    assert!(matches!(at(DUE), Place::Unknown));
    assert!(matches!(at(DUE.plus(UNKNOWN_PATIENCE)), Place::Unknown));
    assert!(matches!(at(DUE.plus(UNKNOWN_PATIENCE + 1)), Place::Hopeless(_)));
}

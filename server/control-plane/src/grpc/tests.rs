//! Goal: operators see what the view holds, and a wrong question gets a typed answer. Method: the services over a view.

use callboard_proto::{
    control::v1::{
        GetActorTypeRequest, ListActorTypesRequest, ListSystemsRequest,
        actor_types_service_server::ActorTypesService, systems_service_server::SystemsService,
    },
    types::v1::Kind,
};
use callboard_transport::status::from_status;
use callboard_types::{Epoch, ErrorKind, NodeId, NodeView, ShardOwner, TypeDefinition, TypeView};
use tonic::Request;

use super::{
    actor_types::{Activity, ActorTypes},
    systems::Systems,
    *,
};

fn type_view(id: u32, system: &str, name: &str, owners: &[(u64, u64)]) -> Arc<TypeView> {
    let owner = |(node, epoch): &(u64, u64)| ShardOwner::new(NodeId(*node), Epoch(*epoch));
    Arc::new(TypeView {
        id,
        system: system.into(),
        name: name.into(),
        definition: TypeDefinition::new(name),
        descriptor_hash: "h".into(),
        descriptor_set: b"files".as_slice().into(),
        shards: owners.iter().map(owner).collect(),
    })
}

fn view() -> watch::Receiver<Arc<ClusterView>> {
    let node = |id, voter| NodeView {
        id: NodeId(id),
        address: format!("n{id}:7070"),
        peer_address: String::new(),
        voter,
        state: callboard_types::NodeState::Up,
    };
    let mut view = ClusterView {
        version: 9,
        cluster_id: "c".into(),
        node: NodeId(1),
        leader: Some(NodeId(2)),
        term: 3,
        nodes: vec![node(1, true), node(2, false)],
        systems: vec!["default".into(), "shop".into()],
        ..ClusterView::default()
    };
    view.set_types(vec![
        type_view(7, "shop", "Cart", &[(1, 1), (2, 4)]),
        type_view(8, "default", "Counter", &[(1, 1)]),
    ]);
    watch::channel(Arc::new(view)).1
}

fn types() -> ActorTypes {
    let activity = |system: &str, name: &str| Activity {
        hosts: u32::from(name == "Cart"),
        active: u64::from(system == "shop") * 5,
    };
    ActorTypes::new(view(), Arc::new(activity))
}

#[tokio::test]
async fn systems_are_listed_with_the_number_of_their_types() {
    let answer = Systems::new(view()).list_systems(Request::new(ListSystemsRequest {})).await;
    let systems = answer.expect("answered").into_inner().systems;
    let listed: Vec<_> =
        systems.iter().map(|system| (system.name.as_str(), system.types)).collect();
    assert_eq!(listed, [("default", 1), ("shop", 1)]);
}

#[tokio::test]
async fn types_are_listed_with_what_this_node_knows_of_them() {
    let list = async |system: &str| {
        let request = Request::new(ListActorTypesRequest { system: system.into() });
        types().list_actor_types(request).await.map(|answer| answer.into_inner().types)
    };
    let all = list("").await.expect("answered");
    let names = all.iter().map(|listed| listed.definition.as_ref().expect("set").name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["Counter", "Cart"], "by system and name");
    let shop = list("shop").await.expect("answered");
    assert_eq!(shop.len(), 1);
    assert_eq!((shop[0].hosts, shop[0].active), (1, 5));
    let error = from_status(&list("nowhere").await.expect_err("no such system"));
    assert_eq!(error.kind, ErrorKind::UnknownSystem);
}

#[tokio::test]
async fn one_type_is_described_with_its_shards_and_descriptors() {
    let get = async |system: &str, name: &str| {
        let request = GetActorTypeRequest { system: system.into(), r#type: name.into() };
        types().get_actor_type(Request::new(request)).await.map(|answer| answer.into_inner())
    };
    let cart = get("shop", "Cart").await.expect("answered");
    assert_eq!(&cart.descriptor_set[..], b"files");
    let shards: Vec<_> =
        cart.shards.iter().map(|shard| (shard.shard, shard.node_id, shard.epoch)).collect();
    assert_eq!(shards, [(0, 1, 1), (1, 2, 4)]);
    let definition = cart.r#type.expect("set").definition.expect("set");
    assert_eq!((definition.kind(), definition.mailbox_limit), (Kind::Unnamed, 1_000));
    get("", "Counter").await.expect("an empty system means the default one");

    for (system, name, kind) in [
        ("shop", "Counter", ErrorKind::UnknownType),
        ("nowhere", "Cart", ErrorKind::UnknownSystem),
        ("shop", "a\nforged log line", ErrorKind::UnknownType),
    ] {
        let error = from_status(&get(system, name).await.expect_err("refused"));
        assert_eq!(error.kind, kind);
        assert!(!error.message.contains('\n'));
    }
}

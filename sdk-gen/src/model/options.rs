//! Callboard's options and those of Spawn, merged into [`ActorSettings`].

use prost_reflect::{DescriptorPool, DynamicMessage, ServiceDescriptor, Value};

use super::{ActorKind, ActorSettings, Durability, ServiceKind};
use crate::error::{Diagnostic, Position};

/// The option of `google.protobuf.ServiceOptions` that makes a service an actor type.
const ACTOR: &str = "callboard.options.v1.actor";
/// The same in Spawn.
const SPAWN_ACTOR: &str = "spawn.actors.actor";

/// Spawn's kinds by number; see the embedded `spawn/actors/actor.proto`.
const SPAWN_KINDS: [&str; 7] =
    ["UNKNOW_KIND", "NAMED", "UNNAMED", "POOLED", "PROXY", "TASK", "PROJECTION"];

/// The value of an extension in an options message, if it is set.
pub(super) fn extension(options: &DynamicMessage, full_name: &str) -> Option<Value> {
    options
        .extensions()
        .find(|(extension, _)| extension.full_name() == full_name)
        .map(|(_, value)| value.clone())
}

/// True if the boolean extension is set and true.
pub(super) fn flag(options: &DynamicMessage, full_name: &str) -> bool {
    extension(options, full_name).and_then(|value| value.as_bool()).unwrap_or(false)
}

/// What the service is, by its options. Faults are added to `faults`, and the best reading is returned all the same so
/// that one run reports everything.
pub(super) fn service_kind(
    service: &ServiceDescriptor,
    position: &Position,
    faults: &mut Vec<Diagnostic>,
) -> ServiceKind {
    let options = service.options();
    let own = extension(&options, ACTOR);
    let spawn = extension(&options, SPAWN_ACTOR);
    if own.is_some() && spawn.is_some() {
        faults.push(Diagnostic::new(
            position,
            format!("service {} has both ({ACTOR}) and ({SPAWN_ACTOR})", service.name()),
            "keep one of them; they mean the same",
        ));
    }
    let settings = match (own, spawn) {
        (Some(Value::Message(own)), _) => own_settings(&own, service, position, faults),
        (None, Some(Value::Message(spawn))) => spawn_settings(&spawn, service, position, faults),
        _ => return ServiceKind::Plain,
    };
    ServiceKind::Actor(settings)
}

/// Reads fields of an options message by name; a missing field is the default of its type.
struct Fields<'a>(&'a DynamicMessage);

impl Fields<'_> {
    fn string(&self, name: &str) -> String {
        self.0
            .get_field_by_name(name)
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.0.get_field_by_name(name).map_or(0, |value| match *value {
            Value::U64(number) => number,
            Value::U32(number) => number.into(),
            Value::I64(number) => number.max(0).unsigned_abs(),
            Value::EnumNumber(number) | Value::I32(number) => number.max(0).unsigned_abs().into(),
            _ => 0,
        })
    }

    fn small(&self, name: &str) -> u32 {
        u32::try_from(self.number(name)).unwrap_or(u32::MAX)
    }

    fn is_true(&self, name: &str) -> bool {
        self.0.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or(false)
    }

    fn is_set(&self, name: &str) -> bool {
        self.0.has_field_by_name(name)
    }
}

fn own_settings(
    message: &DynamicMessage,
    service: &ServiceDescriptor,
    position: &Position,
    faults: &mut Vec<Diagnostic>,
) -> ActorSettings {
    let fields = Fields(message);
    let name = fields.string("name");
    let kind = match fields.number("kind") {
        0 | 2 => ActorKind::Unnamed,
        1 => ActorKind::Named,
        3 => ActorKind::Pooled,
        other => {
            let known = "KIND_NAMED, KIND_UNNAMED or KIND_POOLED";
            faults.push(unknown_number(position, "kind", other, known));
            ActorKind::Unnamed
        }
    };
    let said = fields.number("durability");
    let durability = match said {
        0 if kind == ActorKind::Pooled => Durability::Volatile,
        0 | 1 => Durability::Durable,
        2 => Durability::Snapshot,
        3 => Durability::Volatile,
        other => {
            let known = "DURABILITY_DURABLE, DURABILITY_SNAPSHOT or DURABILITY_VOLATILE";
            faults.push(unknown_number(position, "durability", other, known));
            Durability::Durable
        }
    };
    let state_type = resolve_state_type(&fields.string("state_type"), service, position, faults);
    if kind == ActorKind::Pooled && said != 0 {
        faults.push(stateful_pool(position, "durability"));
    }
    let settings = ActorSettings {
        type_name: if name.is_empty() { service.name().to_owned() } else { name },
        kind,
        durability,
        state_type,
        idle_timeout_ms: fields.number("idle_timeout_ms"),
        snapshot_interval_ms: fields.number("snapshot_interval_ms"),
        turn_timeout_ms: fields.number("turn_timeout_ms"),
        mailbox_limit: fields.small("mailbox_limit"),
        shards: fields.small("shards"),
        speculation_off: fields.is_true("speculation_off"),
        pool_min: fields.small("pool_min"),
        pool_max: fields.small("pool_max"),
    };
    check_pool(&settings, position, faults);
    settings
}

/// A pool has bounds and no state; other kinds may have a state, and no bounds.
fn check_pool(settings: &ActorSettings, position: &Position, faults: &mut Vec<Diagnostic>) {
    let (min, max) = (settings.pool_min, settings.pool_max);
    if settings.kind != ActorKind::Pooled {
        if (min, max) != (0, 0) {
            faults.push(Diagnostic::new(
                position,
                "pool_min and pool_max have no meaning without kind KIND_POOLED",
                "set the kind, or remove the bounds",
            ));
        }
        return;
    }
    if settings.state_type.is_some() {
        faults.push(stateful_pool(position, "state_type"));
    }
    if max != 0 && min > max {
        faults.push(Diagnostic::new(
            position,
            format!("pool_min {min} is above pool_max {max}"),
            "let the pool have at least as many instances as are always in memory",
        ));
    }
}

fn stateful_pool(position: &Position, option: &str) -> Diagnostic {
    Diagnostic::new(
        position,
        format!("instances of a pool have no state, so '{option}' has no meaning"),
        format!("remove '{option}', or use another kind"),
    )
}

/// Spawn's words in ours: a kind that is not said is NAMED; an actor with `stateful` or a `state_type` keeps its state,
/// on an interval if one is given and durably otherwise; any other has no durable state.
fn spawn_settings(
    message: &DynamicMessage,
    service: &ServiceDescriptor,
    position: &Position,
    faults: &mut Vec<Diagnostic>,
) -> ActorSettings {
    let fields = Fields(message);
    let kind = match fields.number("kind") {
        0 | 1 => ActorKind::Named,
        2 => ActorKind::Unnamed,
        3 => ActorKind::Pooled,
        other => {
            let name = usize::try_from(other).ok().and_then(|index| SPAWN_KINDS.get(index));
            faults.push(Diagnostic::new(
                position,
                format!("kind {} is not supported", name.copied().unwrap_or("(unknown)")),
                "use NAMED, UNNAMED or POOLED",
            ));
            ActorKind::Unnamed
        }
    };
    for name in ["sourceable", "strict_events_ordering", "events_retention_strategy", "subjects"] {
        if fields.is_set(name) {
            faults.push(Diagnostic::new(
                position,
                format!("'{name}' belongs to projections, which are not supported"),
                format!("remove '{name}' from ({SPAWN_ACTOR})"),
            ));
        }
    }
    let state_type = resolve_state_type(&fields.string("state_type"), service, position, faults);
    let interval = fields.number("snapshot_interval");
    let stateful = fields.is_true("stateful");
    if kind == ActorKind::Pooled && stateful {
        faults.push(stateful_pool(position, "stateful"));
    }
    let durability = match (stateful || state_type.is_some(), interval) {
        (false, _) => Durability::Volatile,
        (true, 0) => Durability::Durable,
        (true, _) => Durability::Snapshot,
    };
    let settings = ActorSettings {
        type_name: service.name().to_owned(),
        kind,
        durability,
        state_type,
        idle_timeout_ms: fields.number("deactivate_timeout"),
        snapshot_interval_ms: if durability == Durability::Snapshot { interval } else { 0 },
        turn_timeout_ms: 0,
        mailbox_limit: 0,
        shards: 0,
        speculation_off: false,
        pool_min: 0,
        pool_max: 0,
    };
    check_pool(&settings, position, faults);
    settings
}

fn unknown_number(position: &Position, option: &str, number: u64, known: &str) -> Diagnostic {
    Diagnostic::new(position, format!("{option} {number} is not known"), format!("use {known}"))
}

/// Finds the message that `state_type` names, from the innermost scope of the service outwards, as protobuf does.
fn resolve_state_type(
    name: &str,
    service: &ServiceDescriptor,
    position: &Position,
    faults: &mut Vec<Diagnostic>,
) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    let pool: &DescriptorPool = service.parent_pool();
    let package = service.package_name();
    let candidates: Vec<String> = match name.strip_prefix('.') {
        Some(full_name) => vec![full_name.to_owned()],
        None => scopes(package).map(|scope| join(scope, name)).collect(),
    };
    let found = candidates.iter().find(|name| pool.get_message_by_name(name).is_some());
    if found.is_none() {
        faults.push(Diagnostic::new(
            position,
            format!("state_type \"{name}\" names no message"),
            format!(
                "write the message's full name or its name within package \"{package}\", and import its file"
            ),
        ));
    }
    found.cloned()
}

fn scopes(package: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(package), |scope| {
        (!scope.is_empty()).then(|| scope.rsplit_once('.').map_or("", |(outer, _)| outer))
    })
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

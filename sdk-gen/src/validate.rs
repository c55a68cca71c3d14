//! Checks of a model that no protobuf compiler makes. Pure: model and language in, faults out.
//!
//! All faults are reported at once, each with its place and what to do.

use std::collections::BTreeMap;

use crate::{
    error::{Diagnostic, Error, Position},
    lang::Language,
    model::{ActorSettings, Durability, File, Message, Model, Service, ServiceKind, Shape},
};

/// The longest type name that the server takes, in bytes.
const TYPE_NAME_BYTES_MAX: usize = 128;

/// Checks everything that is to be generated.
///
/// # Errors
/// [`Error::Protos`] with every fault, in the order of the files.
pub fn check(model: &Model, language: &dyn Language) -> Result<(), Error> {
    let mut faults = Vec::new();
    for file in model.targets() {
        check_names(file, language, &mut faults);
        for (service, settings) in file.actors() {
            check_actor(model, service, settings, &mut faults);
            check_actions(service, language, &mut faults);
        }
    }
    check_type_names(model, &mut faults);
    Error::from_faults(faults)
}

/// Remembers who took a name, and reports whoever comes second.
struct Scope<'a> {
    language: &'a dyn Language,
    taken: BTreeMap<String, (String, Position)>,
}

impl<'a> Scope<'a> {
    fn new(language: &'a dyn Language) -> Self {
        Scope { language, taken: BTreeMap::new() }
    }

    fn claim(
        &mut self,
        name: String,
        what: String,
        position: &Position,
        faults: &mut Vec<Diagnostic>,
    ) {
        if let Some((other, first)) = self.taken.get(&name) {
            faults.push(Diagnostic::new(
                position,
                format!(
                    "{what} and {other} ({first}) would both be called {name} in {}",
                    self.language.name()
                ),
                "rename one of them",
            ));
        } else {
            self.taken.insert(name, (what, position.clone()));
        }
    }
}

fn check_names(file: &File, language: &dyn Language, faults: &mut Vec<Diagnostic>) {
    let mut scope = Scope::new(language);
    for message in file.all_messages() {
        let name = language.type_name(&message.outer, &message.name);
        scope.claim(name, format!("message {}", message.name), &message.position, faults);
        check_fields(message, language, faults);
    }
    for item in file.all_enums() {
        let name = language.type_name(&item.outer, &item.name);
        scope.claim(name, format!("enum {}", item.name), &item.position, faults);
    }
    for (service, _) in file.actors() {
        for name in language.service_names(&service.name) {
            let what = format!("{name} of service {}", service.name);
            scope.claim(name, what, &service.position, faults);
        }
    }
}

fn check_fields(message: &Message, language: &dyn Language, faults: &mut Vec<Diagnostic>) {
    let mut scope = Scope::new(language);
    for field in &message.fields {
        let name = language.field_name(&field.name);
        scope.claim(name, format!("field '{}'", field.name), &field.position, faults);
    }
    for oneof in &message.oneofs {
        let name = language.field_name(&oneof.name);
        scope.claim(name, format!("oneof '{}'", oneof.name), &oneof.position, faults);
    }
    let mut marked = message.fields.iter().filter(|field| field.actor_id);
    if let (Some(first), Some(second)) = (marked.next(), marked.next()) {
        faults.push(Diagnostic::new(
            &second.position,
            format!("fields '{}' and '{}' are both marked as actor_id", first.name, second.name),
            "mark one field; an actor has one key",
        ));
    }
    for field in message.fields.iter().filter(|field| field.actor_id) {
        use crate::model::{Scalar, ValueType};
        if field.shape != Shape::Singular(ValueType::Scalar(Scalar::String)) {
            faults.push(Diagnostic::new(
                &field.position,
                format!("field '{}' is marked as actor_id but is not a string", field.name),
                "make it a string; actor keys are text",
            ));
        }
    }
}

fn check_actor(
    model: &Model,
    service: &Service,
    settings: &ActorSettings,
    faults: &mut Vec<Diagnostic>,
) {
    let position = &service.position;
    let name = &settings.type_name;
    if name.len() > TYPE_NAME_BYTES_MAX || name.contains(['/', '\0']) {
        faults.push(Diagnostic::new(
            position,
            format!("actor type name \"{name}\" cannot be used"),
            format!("use at most {TYPE_NAME_BYTES_MAX} bytes without '/' and NUL"),
        ));
    }
    if settings.durability != Durability::Snapshot && settings.snapshot_interval_ms != 0 {
        faults.push(Diagnostic::new(
            position,
            "snapshot_interval_ms has no meaning without durability DURABILITY_SNAPSHOT",
            "set the durability, or remove the interval",
        ));
    }
    if service.methods.is_empty() {
        faults.push(Diagnostic::new(
            position,
            format!("actor service {} has no methods", service.name),
            "add at least one rpc; each is an action",
        ));
    }
    if let Some(state) = &settings.state_type
        && model.message(state).is_none()
    {
        faults.push(Diagnostic::new(
            position,
            format!("state_type {state} is a map entry, not a message"),
            "name a message that is written in a proto file",
        ));
    }
}

fn check_actions(service: &Service, language: &dyn Language, faults: &mut Vec<Diagnostic>) {
    let mut scope = Scope::new(language);
    for method in &service.methods {
        let streams = match (method.client_streaming, method.server_streaming) {
            (false, false) => None,
            (true, false) => Some("takes a stream"),
            (false, true) => Some("answers a stream"),
            (true, true) => Some("takes and answers streams"),
        };
        if let Some(streams) = streams {
            faults.push(Diagnostic::new(
                &method.position,
                format!("action {} {streams}, which actors cannot", method.name),
                "remove 'stream', or move the rpc to a service without the actor option",
            ));
        }
        let name = language.action_name(&method.name);
        let taken = language.taken_actions().iter().find(|(taken, _)| *taken == name);
        if let Some((_, what)) = taken {
            faults.push(Diagnostic::new(
                &method.position,
                format!(
                    "action {} would be called {name} in {}, which is {what}",
                    method.name,
                    language.name()
                ),
                "rename the rpc",
            ));
        }
        scope.claim(name, format!("action {}", method.name), &method.position, faults);
    }
}

/// Two services of one run may not describe the same actor type.
fn check_type_names(model: &Model, faults: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in model.targets().flat_map(|file| &file.services) {
        let ServiceKind::Actor(settings) = &service.kind else {
            continue;
        };
        if let Some(first) = seen.insert(&settings.type_name, service) {
            faults.push(Diagnostic::new(
                &service.position,
                format!(
                    "services {} and {} ({}) are both the actor type \"{}\"",
                    service.full_name, first.full_name, first.position, settings.type_name
                ),
                "give one of them another name with (callboard.options.v1.actor).name",
            ));
        }
    }
}

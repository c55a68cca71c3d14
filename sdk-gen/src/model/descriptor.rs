//! Brings file descriptors into one canonical form.
//!
//! protoc, buf and protox describe the same file with different bytes: with or without default JSON names, custom options
//! in one record or several. Generated code embeds descriptors, so without a canonical form its text would depend on the
//! compiler that happened to run.

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FileDescriptor, MessageDescriptor,
    ReflectMessage, Value,
};
use prost_types::{DescriptorProto, FileDescriptorProto};

use super::{ActorKind, ActorSettings, File, ServiceKind};
use crate::{error::Error, frontend::embedded};

/// Re-encodes files with the extensions of a whole pool known.
pub(super) struct Canonical {
    file: MessageDescriptor,
    actor: ExtensionDescriptor,
    actor_id: ExtensionDescriptor,
    options_file: String,
    /// The file that declares Spawn's options, if anyone imports it.
    spawn_file: Option<String>,
}

impl Canonical {
    pub(super) fn new(source: &DescriptorPool) -> Result<Self, Error> {
        let mut files: Vec<FileDescriptorProto> =
            source.file_descriptor_protos().cloned().collect();
        for file in embedded::option_files()? {
            if source.get_file_by_name(file.name()).is_none() {
                files.push(file);
            }
        }
        for file in &mut files {
            file.source_code_info = None;
            file.message_type.iter_mut().for_each(forget_maps);
        }
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(files)
            .map_err(|error| Error::Descriptors(format!("{error:?}")))?;
        let missing = |name: &str| Error::Descriptors(format!("{name} is not declared"));
        let extension = |name: &str| pool.get_extension_by_name(name).ok_or_else(|| missing(name));
        let file_name = "google.protobuf.FileDescriptorProto";
        let actor = extension("callboard.options.v1.actor")?;
        Ok(Canonical {
            file: pool.get_message_by_name(file_name).ok_or_else(|| missing(file_name))?,
            actor_id: extension("callboard.options.v1.actor_id")?,
            options_file: actor.parent_file().name().to_owned(),
            actor,
            spawn_file: pool
                .get_extension_by_name("spawn.actors.actor")
                .map(|extension| extension.parent_file().name().to_owned()),
        })
    }

    /// The canonical bytes of a file, and its imports in them. `built` is its model.
    pub(super) fn encode(
        &self,
        file: &FileDescriptor,
        built: &File,
    ) -> Result<(Vec<u8>, Vec<String>), Error> {
        let mut message =
            DynamicMessage::decode(self.file.clone(), file.encode_to_vec().as_slice())
                .map_err(|error| Error::Descriptors(format!("{}: {error}", file.name())))?;
        message.clear_field_by_name("source_code_info");
        if message.get_field_by_name("syntax").is_some_and(|s| s.as_str() == Some("proto2")) {
            message.clear_field_by_name("syntax");
        }
        if self.spawn_file.as_deref() != Some(file.name()) {
            self.translate_services(&mut message, built);
            self.replace_import(&mut message);
        }
        self.tidy(&mut message);
        let dependencies = strings(&message, "dependency");
        Ok((message.encode_to_vec(), dependencies))
    }

    /// Removes default JSON names and empty option messages everywhere, and translates `actor_id`.
    fn tidy(&self, message: &mut DynamicMessage) {
        match message.descriptor().full_name() {
            "google.protobuf.FieldDescriptorProto" => tidy_json_name(message),
            "google.protobuf.FieldOptions" => {
                let marked = take_extension(message, "spawn.actors.actor_id");
                take_extension(message, "spawn.actors.searchable");
                if marked.and_then(|value| value.as_bool()) == Some(true) {
                    message.set_extension(&self.actor_id, Value::Bool(true));
                }
            }
            _ => {}
        }
        for (field, value) in message.fields_mut() {
            // The values of options are user data: nothing in them is ours to tidy.
            if field.name() != "options" {
                match value {
                    Value::Message(inner) => self.tidy(inner),
                    Value::List(list) => list.iter_mut().for_each(|item| {
                        if let Value::Message(inner) = item {
                            self.tidy(inner);
                        }
                    }),
                    _ => {}
                }
            } else if let Value::Message(options) = value
                && options.descriptor().full_name() == "google.protobuf.FieldOptions"
            {
                self.tidy(options);
            }
        }
        let is_empty =
            |value: &Value| value.as_message().is_some_and(|options| options.encoded_len() == 0);
        if message.get_field_by_name("options").is_some_and(|value| is_empty(&value)) {
            message.clear_field_by_name("options");
        }
    }

    /// Replaces `(spawn.actors.actor)` by the `(callboard.options.v1.actor)` that means the same.
    fn translate_services(&self, message: &mut DynamicMessage, built: &File) {
        let Some(services) = message.get_field_by_name_mut("service") else {
            return;
        };
        let Value::List(services) = services else {
            return;
        };
        for (service, model) in services.iter_mut().zip(&built.services) {
            let Value::Message(service) = service else {
                continue;
            };
            let Some(Value::Message(options)) = service.get_field_by_name_mut("options") else {
                continue;
            };
            if take_extension(options, "spawn.actors.actor").is_none() {
                continue;
            }
            if let (ServiceKind::Actor(settings), prost_reflect::Kind::Message(kind)) =
                (&model.kind, self.actor.kind())
            {
                let value = actor_options(kind, settings, &model.name);
                options.set_extension(&self.actor, Value::Message(value));
            }
        }
    }

    fn replace_import(&self, message: &mut DynamicMessage) {
        let Some(spawn) = &self.spawn_file else {
            return;
        };
        let imports = strings(message, "dependency");
        let Some(index) = imports.iter().position(|import| import == spawn) else {
            return;
        };
        // With both imported, the index of every public import stays right only if none is removed; the second
        // mention of the options file is dropped where no public import follows it.
        let mut imports = imports;
        if imports.contains(&self.options_file) {
            imports.remove(index);
            shift_public_imports(message, index);
        } else {
            imports[index].clone_from(&self.options_file);
        }
        let values = imports.into_iter().map(Value::String).collect();
        message.set_field_by_name("dependency", Value::List(values));
    }
}

/// Makes maps look like the repeated entries that they are on the wire, so that their order survives.
fn forget_maps(message: &mut DescriptorProto) {
    if let Some(options) = &mut message.options {
        options.map_entry = None;
    }
    message.nested_type.iter_mut().for_each(forget_maps);
}

fn tidy_json_name(field: &mut DynamicMessage) {
    let text = |name: &str| {
        field
            .get_field_by_name(name)
            .and_then(|v| v.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let (name, json_name) = (text("name"), text("json_name"));
    let is_extension = field.has_field_by_name("extendee");
    if is_extension || json_name == default_json_name(&name) {
        field.clear_field_by_name("json_name");
    }
}

/// The JSON name that protobuf gives a field on its own: underscores go, the letter behind each is capital.
fn default_json_name(name: &str) -> String {
    let mut json_name = String::with_capacity(name.len());
    let mut capital = false;
    for character in name.chars() {
        if character == '_' {
            capital = true;
        } else if std::mem::take(&mut capital) {
            json_name.push(character.to_ascii_uppercase());
        } else {
            json_name.push(character);
        }
    }
    json_name
}

fn take_extension(options: &mut DynamicMessage, full_name: &str) -> Option<Value> {
    let found = options.extensions().map(|(e, _)| e).find(|e| e.full_name() == full_name)?;
    options.take_extension(&found)
}

fn strings(message: &DynamicMessage, field: &str) -> Vec<String> {
    let value = message.get_field_by_name(field);
    let list = value.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn shift_public_imports(message: &mut DynamicMessage, removed: usize) {
    let Some(Value::List(list)) = message.get_field_by_name_mut("public_dependency") else {
        return;
    };
    for item in list {
        if let Value::I32(index) = item
            && usize::try_from(*index).is_ok_and(|index| index > removed)
        {
            *index -= 1;
        }
    }
}

fn actor_options(
    kind: MessageDescriptor,
    settings: &ActorSettings,
    service: &str,
) -> DynamicMessage {
    let mut options = DynamicMessage::new(kind);
    let mut set = |name: &str, value: Value| options.set_field_by_name(name, value);
    if settings.type_name != service {
        set("name", Value::String(settings.type_name.clone()));
    }
    set("kind", Value::EnumNumber(settings.kind.number()));
    if settings.kind != ActorKind::Pooled {
        set("durability", Value::EnumNumber(settings.durability.number()));
    }
    if let Some(state_type) = &settings.state_type {
        set("state_type", Value::String(state_type.clone()));
    }
    for (name, value) in [
        ("idle_timeout_ms", settings.idle_timeout_ms),
        ("snapshot_interval_ms", settings.snapshot_interval_ms),
    ] {
        if value != 0 {
            set(name, Value::U64(value));
        }
    }
    options
}

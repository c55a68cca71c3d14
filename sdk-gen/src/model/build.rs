//! From a pool of descriptors to the model.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor,
    FileDescriptor, Kind, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

use super::{
    Enum, EnumValue, Extension, Field, File, Idempotency, JavaOptions, Message, Method, Model,
    Oneof, Scalar, Service, Shape, Syntax, TypeLocation, ValueType, descriptor::Canonical, options,
    source::Source,
};
use crate::error::{Diagnostic, Error};

/// Builds the model of all files in `pool`; those named in `targets` are marked for generation.
///
/// # Errors
/// [`Error::Protos`] if options contradict each other or name unknown things, [`Error::Usage`] if a target is not in the
/// pool, [`Error::Descriptors`] if a descriptor cannot be brought into canonical form.
pub fn build(pool: &DescriptorPool, targets: &BTreeSet<String>) -> Result<Model, Error> {
    for target in targets {
        if pool.get_file_by_name(target).is_none() {
            return Err(Error::Usage(format!("{target} is not among the given descriptors")));
        }
    }
    let canonical = Canonical::new(pool)?;
    let mut faults = Vec::new();
    let mut files = Vec::new();
    for file in in_import_order(pool) {
        let mut builder = Builder { source: Source::new(file.file_descriptor_proto()), faults };
        let mut built = builder.file(&file, targets.contains(file.name()));
        faults = builder.faults;
        (built.descriptor, built.descriptor_dependencies) = canonical.encode(&file, &built)?;
        files.push(built);
    }
    Error::from_faults(faults)?;
    let types = index(&files);
    Ok(Model { files, types })
}

/// Imports first. Descriptor sets promise that order, but pools filled from several sources do not.
fn in_import_order(pool: &DescriptorPool) -> Vec<FileDescriptor> {
    fn visit(file: &FileDescriptor, seen: &mut BTreeSet<String>, order: &mut Vec<FileDescriptor>) {
        if !seen.insert(file.name().to_owned()) {
            return;
        }
        for dependency in file.dependencies() {
            visit(&dependency, seen, order);
        }
        order.push(file.clone());
    }
    let mut files: Vec<FileDescriptor> = pool.files().collect();
    // Compilers list unrelated files in different orders; output must not depend on that.
    files.sort_by(|a, b| a.name().cmp(b.name()));
    let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
    for file in &files {
        visit(file, &mut seen, &mut order);
    }
    order
}

fn index(files: &[File]) -> BTreeMap<String, TypeLocation> {
    fn add(
        file: usize,
        path: &[usize],
        messages: &[Message],
        enums: &[Enum],
        types: &mut BTreeMap<String, TypeLocation>,
    ) {
        let extend = |index| path.iter().copied().chain([index]).collect::<Vec<_>>();
        for (index, item) in enums.iter().enumerate() {
            let location = TypeLocation { file, path: extend(index), is_enum: true };
            types.insert(item.full_name.clone(), location);
        }
        for (index, item) in messages.iter().enumerate() {
            let location = TypeLocation { file, path: extend(index), is_enum: false };
            add(file, &location.path, &item.messages, &item.enums, types);
            types.insert(item.full_name.clone(), location);
        }
    }
    let mut types = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        add(number, &[], &file.messages, &file.enums, &mut types);
    }
    types
}

struct Builder {
    source: Source,
    faults: Vec<Diagnostic>,
}

impl Builder {
    fn file(&mut self, file: &FileDescriptor, generate: bool) -> File {
        let raw = file.file_descriptor_proto();
        let java = raw.options.as_ref();
        File {
            path: file.name().to_owned(),
            package: file.package_name().to_owned(),
            generate,
            syntax: match file.syntax() {
                prost_reflect::Syntax::Proto2 => Syntax::Proto2,
                prost_reflect::Syntax::Proto3 => Syntax::Proto3,
            },
            dependencies: raw.dependency.clone(),
            public_dependencies: file
                .public_dependencies()
                .map(|dependency| dependency.name().to_owned())
                .collect(),
            messages: self.messages(file.messages(), &[], &[]),
            enums: file.enums().enumerate().map(|(i, e)| self.enumeration(&e, &[], &[i])).collect(),
            extensions: file.extensions().map(|e| self.extension(&e)).collect(),
            services: file.services().map(|service| self.service(&service)).collect(),
            comments: self.source.file_comments(),
            java: JavaOptions {
                package: java
                    .and_then(|options| options.java_package.clone())
                    .unwrap_or_else(|| file.package_name().to_owned()),
                outer_classname: java.and_then(|options| options.java_outer_classname.clone()),
                multiple_files: java.is_some_and(|options| options.java_multiple_files()),
            },
            descriptor: Vec::new(),
            descriptor_dependencies: Vec::new(),
        }
    }

    fn messages(
        &mut self,
        messages: impl Iterator<Item = MessageDescriptor>,
        outer: &[String],
        outer_index: &[usize],
    ) -> Vec<Message> {
        messages
            .enumerate()
            .filter(|(_, message)| !message.is_map_entry())
            .map(|(number, message)| {
                let index: Vec<usize> = outer_index.iter().copied().chain([number]).collect();
                self.message(&message, outer, index)
            })
            .collect()
    }

    fn message(
        &mut self,
        message: &MessageDescriptor,
        outer: &[String],
        index: Vec<usize>,
    ) -> Message {
        let inside: Vec<String> =
            outer.iter().cloned().chain([message.name().to_owned()]).collect();
        let oneofs: Vec<_> = message.oneofs().filter(|oneof| !oneof.is_synthetic()).collect();
        let raw = message.descriptor_proto();
        // Fields in the order of the file: the pool sorts them by number.
        let fields = raw
            .field
            .iter()
            .filter_map(|field| message.get_field_by_name(field.name()))
            .map(|field| {
                let oneof = field
                    .containing_oneof()
                    .and_then(|owner| oneofs.iter().position(|oneof| *oneof == owner));
                self.field(&field, oneof)
            })
            .collect();
        Message {
            name: message.name().to_owned(),
            full_name: message.full_name().to_owned(),
            outer: outer.to_vec(),
            fields,
            oneofs: oneofs
                .iter()
                .map(|oneof| Oneof {
                    name: oneof.name().to_owned(),
                    comments: self.source.comments(oneof.path()),
                    position: self.source.position(oneof.path()),
                })
                .collect(),
            messages: self.messages(message.child_messages(), &inside, &index),
            enums: message
                .child_enums()
                .enumerate()
                .map(|(number, child)| {
                    let path: Vec<usize> = index.iter().copied().chain([number]).collect();
                    self.enumeration(&child, &inside, &path)
                })
                .collect(),
            extensions: message.child_extensions().map(|e| self.extension(&e)).collect(),
            deprecated: raw.options.as_ref().is_some_and(|options| options.deprecated()),
            comments: self.source.comments(message.path()),
            position: self.source.position(message.path()),
            index,
        }
    }

    fn field(&mut self, field: &FieldDescriptor, oneof: Option<usize>) -> Field {
        let raw = field.field_descriptor_proto();
        let position = self.source.position(field.path());
        if field.is_group() {
            self.faults.push(Diagnostic::new(
                &position,
                format!("field '{}' is a proto2 group, which is not supported", field.name()),
                "declare a message and a field of its type instead",
            ));
        }
        let marked = options::flag(&field.options(), "callboard.options.v1.actor_id")
            || options::flag(&field.options(), "spawn.actors.actor_id");
        let is_proto2 = field.parent_file().syntax() == prost_reflect::Syntax::Proto2;
        Field {
            name: field.name().to_owned(),
            json_name: field.json_name().to_owned(),
            number: field.number(),
            shape: shape(field),
            has_presence: field.supports_presence(),
            is_optional: raw.proto3_optional()
                || (is_proto2 && field.cardinality() == Cardinality::Optional && oneof.is_none()),
            is_required: field.is_required(),
            oneof,
            default: raw.default_value.clone(),
            actor_id: marked,
            deprecated: raw.options.as_ref().is_some_and(|options| options.deprecated()),
            comments: self.source.comments(field.path()),
            position,
        }
    }

    fn enumeration(&self, item: &EnumDescriptor, outer: &[String], index: &[usize]) -> Enum {
        let raw = item.enum_descriptor_proto();
        Enum {
            name: item.name().to_owned(),
            full_name: item.full_name().to_owned(),
            outer: outer.to_vec(),
            index: index.to_vec(),
            // In the order of the file: the pool sorts values by number.
            values: raw
                .value
                .iter()
                .enumerate()
                .map(|(number, value)| {
                    let path: Vec<i32> =
                        item.path().iter().copied().chain([2, number as i32]).collect();
                    EnumValue {
                        name: value.name().to_owned(),
                        number: value.number(),
                        deprecated: value.options.as_ref().is_some_and(|o| o.deprecated()),
                        comments: self.source.comments(&path),
                        position: self.source.position(&path),
                    }
                })
                .collect(),
            allow_alias: raw.options.as_ref().is_some_and(|options| options.allow_alias()),
            closed: item.parent_file().syntax() == prost_reflect::Syntax::Proto2,
            deprecated: raw.options.as_ref().is_some_and(|options| options.deprecated()),
            comments: self.source.comments(item.path()),
            position: self.source.position(item.path()),
        }
    }

    fn extension(&self, extension: &ExtensionDescriptor) -> Extension {
        Extension {
            name: extension.name().to_owned(),
            full_name: extension.full_name().to_owned(),
            number: extension.number(),
            position: self.source.position(extension.path()),
        }
    }

    fn service(&mut self, service: &ServiceDescriptor) -> Service {
        let raw = service.service_descriptor_proto();
        let position = self.source.position(service.path());
        Service {
            name: service.name().to_owned(),
            full_name: service.full_name().to_owned(),
            kind: options::service_kind(service, &position, &mut self.faults),
            methods: service.methods().map(|method| self.method(&method)).collect(),
            deprecated: raw.options.as_ref().is_some_and(|options| options.deprecated()),
            comments: self.source.comments(service.path()),
            position,
        }
    }

    fn method(&mut self, method: &MethodDescriptor) -> Method {
        let raw = method.method_descriptor_proto();
        let options = method.options();
        let position = self.source.position(method.path());
        if options::extension(&options, "spawn.actors.view").is_some() {
            self.faults.push(Diagnostic::new(
                &position,
                format!(
                    "method '{}' is a view of a projection, which is not supported",
                    raw.name()
                ),
                "remove the option (spawn.actors.view)",
            ));
        }
        let action = options::extension(&options, "callboard.options.v1.action");
        let speculation_off = action
            .as_ref()
            .and_then(|value| value.as_message())
            .and_then(|message| message.get_field_by_name("speculation_off"))
            .and_then(|value| value.as_bool())
            .unwrap_or(false);
        use prost_types::method_options::IdempotencyLevel;
        Method {
            name: method.name().to_owned(),
            input: method.input().full_name().to_owned(),
            output: method.output().full_name().to_owned(),
            client_streaming: method.is_client_streaming(),
            server_streaming: method.is_server_streaming(),
            idempotency: match raw.options.as_ref().map(|options| options.idempotency_level()) {
                Some(IdempotencyLevel::NoSideEffects) => Idempotency::NoSideEffects,
                Some(IdempotencyLevel::Idempotent) => Idempotency::Idempotent,
                Some(IdempotencyLevel::IdempotencyUnknown) | None => Idempotency::Unknown,
            },
            speculation_off,
            deprecated: raw.options.as_ref().is_some_and(|options| options.deprecated()),
            comments: self.source.comments(method.path()),
            position,
        }
    }
}

fn shape(field: &FieldDescriptor) -> Shape {
    if field.is_map()
        && let Kind::Message(entry) = field.kind()
    {
        let value = value_type(&entry.map_entry_value_field().kind());
        if let ValueType::Scalar(key) = value_type(&entry.map_entry_key_field().kind()) {
            return Shape::Map(key, value);
        }
    }
    let value = value_type(&field.kind());
    if field.is_list() { Shape::Repeated(value) } else { Shape::Singular(value) }
}

fn value_type(kind: &Kind) -> ValueType {
    ValueType::Scalar(match kind {
        Kind::Message(message) => return ValueType::Message(message.full_name().to_owned()),
        Kind::Enum(item) => return ValueType::Enum(item.full_name().to_owned()),
        Kind::Double => Scalar::Double,
        Kind::Float => Scalar::Float,
        Kind::Int32 => Scalar::Int32,
        Kind::Int64 => Scalar::Int64,
        Kind::Uint32 => Scalar::Uint32,
        Kind::Uint64 => Scalar::Uint64,
        Kind::Sint32 => Scalar::Sint32,
        Kind::Sint64 => Scalar::Sint64,
        Kind::Fixed32 => Scalar::Fixed32,
        Kind::Fixed64 => Scalar::Fixed64,
        Kind::Sfixed32 => Scalar::Sfixed32,
        Kind::Sfixed64 => Scalar::Sfixed64,
        Kind::Bool => Scalar::Bool,
        Kind::String => Scalar::String,
        Kind::Bytes => Scalar::Bytes,
    })
}

//! The intermediate representation: what the back ends read. Front ends build it once, [`crate::validate`] checks it, and
//! then it never changes.
//!
//! Everything is owned and in declaration order, so that output is reproducible. Types are referred to by full name
//! (`acme.v1.Counter.Part`, no leading dot) and looked up with [`Model::message`], [`Model::enumeration`] and
//! [`Model::file_of`].

mod build;
mod descriptor;
mod options;
mod source;

use std::collections::BTreeMap;

use crate::error::Position;

pub use build::build;

/// All files of one run: those to generate, and everything that they import.
#[derive(Debug, Clone, Default)]
pub struct Model {
    files: Vec<File>,
    types: BTreeMap<String, TypeLocation>,
}

/// Where a type stands: the file, then indexes into `messages`, the last one into `enums` if it is an enum.
#[derive(Debug, Clone)]
struct TypeLocation {
    file: usize,
    path: Vec<usize>,
    is_enum: bool,
}

impl Model {
    /// Every file, imports before the files that import them.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The files to generate, in the same order.
    pub fn targets(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.generate)
    }

    /// The file with this import path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The file that declares the message or enum with this full name.
    pub fn file_of(&self, full_name: &str) -> Option<&File> {
        self.types.get(full_name).map(|location| &self.files[location.file])
    }

    /// The message with this full name. Map entries are not messages here; see [`Shape::Map`].
    pub fn message(&self, full_name: &str) -> Option<&Message> {
        let location = self.types.get(full_name).filter(|location| !location.is_enum)?;
        let (first, rest) = location.path.split_first()?;
        let mut message = &self.files[location.file].messages[*first];
        for index in rest {
            message = &message.messages[*index];
        }
        Some(message)
    }

    /// The enum with this full name.
    pub fn enumeration(&self, full_name: &str) -> Option<&Enum> {
        let location = self.types.get(full_name).filter(|location| location.is_enum)?;
        let (last, outer) = location.path.split_last()?;
        let file = &self.files[location.file];
        let Some((first, rest)) = outer.split_first() else {
            return file.enums.get(*last);
        };
        let mut message = &file.messages[*first];
        for index in rest {
            message = &message.messages[*index];
        }
        message.enums.get(*last)
    }
}

/// One proto file.
#[derive(Debug, Clone)]
pub struct File {
    /// Its path as imports write it, for example `acme/v1/counter.proto`.
    pub path: String,
    /// Its package, empty if it has none.
    pub package: String,
    /// Whether output is wanted for it, or it is only here because another file imports it.
    pub generate: bool,
    /// proto2 or proto3.
    pub syntax: Syntax,
    /// Import paths, in the order of the file, public ones included.
    pub dependencies: Vec<String>,
    /// The imports that are `import public`.
    pub public_dependencies: Vec<String>,
    /// Top-level messages.
    pub messages: Vec<Message>,
    /// Top-level enums.
    pub enums: Vec<Enum>,
    /// Top-level extensions, by full name. Back ends only need their order; see [`Extension`].
    pub extensions: Vec<Extension>,
    /// Services.
    pub services: Vec<Service>,
    /// The comment above `syntax` or `package`.
    pub comments: Comments,
    /// `java_package`, `java_outer_classname` and `java_multiple_files`.
    pub java: JavaOptions,
    /// The file as a serialised `google.protobuf.FileDescriptorProto` in one canonical form whatever compiler it came
    /// from: without source information and default JSON names, custom options kept, options of Spawn turned into the
    /// Callboard ones that mean the same.
    pub descriptor: Vec<u8>,
    /// The imports of `descriptor`. Differs from `dependencies` only for files that use the options of Spawn.
    pub descriptor_dependencies: Vec<String>,
}

impl File {
    /// The path without `.proto`, for example `acme/v1/counter`.
    pub fn stem(&self) -> &str {
        self.path.strip_suffix(".proto").unwrap_or(&self.path)
    }

    /// True for the files of `google.protobuf`, whose code every protobuf runtime brings along.
    pub fn is_well_known(&self) -> bool {
        self.path.starts_with("google/protobuf/")
    }

    /// True for Callboard's own files, whose code every Callboard SDK brings along.
    pub fn is_callboard(&self) -> bool {
        ["type", "options", "gateway", "host", "control"]
            .iter()
            .any(|part| self.path.starts_with(&format!("callboard/{part}/v1/")))
    }

    /// The actor services with their settings, in order.
    pub fn actors(&self) -> impl Iterator<Item = (&Service, &ActorSettings)> {
        self.services.iter().filter_map(|service| match &service.kind {
            ServiceKind::Actor(settings) => Some((service, settings)),
            ServiceKind::Plain => None,
        })
    }

    /// All messages, nested ones after the one that contains them.
    pub fn all_messages(&self) -> Vec<&Message> {
        fn add<'a>(messages: &'a [Message], all: &mut Vec<&'a Message>) {
            for message in messages {
                all.push(message);
                add(&message.messages, all);
            }
        }
        let mut all = Vec::new();
        add(&self.messages, &mut all);
        all
    }

    /// All enums: the top-level ones, then those inside messages.
    pub fn all_enums(&self) -> Vec<&Enum> {
        let nested = self.all_messages().into_iter().flat_map(|message| &message.enums);
        self.enums.iter().chain(nested).collect()
    }
}

/// The dialect of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `proto2`, which is also what a file without a syntax line is.
    Proto2,
    /// `proto3`.
    Proto3,
}

/// The file options that decide names in Java.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JavaOptions {
    /// `java_package`, or the proto package.
    pub package: String,
    /// `java_outer_classname`, if set. protoc derives one from the file name otherwise.
    pub outer_classname: Option<String>,
    /// `java_multiple_files`.
    pub multiple_files: bool,
}

/// What people wrote about a declaration. Text as protoc gives it: without comment markers, one leading space per line
/// usually kept, lines separated by `\n`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comments {
    /// The comment right above.
    pub leading: String,
    /// The comment right behind or below.
    pub trailing: String,
}

impl Comments {
    /// The lines to show in documentation: the leading comment, else the trailing one, with the usual leading space and
    /// empty lines at both ends removed.
    pub fn lines(&self) -> Vec<String> {
        let text = if self.leading.trim().is_empty() { &self.trailing } else { &self.leading };
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned())
            .collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        let first = lines.iter().position(|line| !line.is_empty()).unwrap_or(lines.len());
        lines.drain(..first);
        lines
    }
}

/// A message type.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its own name.
    pub name: String,
    /// Its name with package and enclosing messages.
    pub full_name: String,
    /// The names of the enclosing messages, outermost first.
    pub outer: Vec<String>,
    /// Its place in the descriptor: index of the top-level message, then indexes of nested ones. Counts map entries,
    /// as descriptors do.
    pub index: Vec<usize>,
    /// Fields in declaration order, those of oneofs included.
    pub fields: Vec<Field>,
    /// Real oneofs; the synthetic ones of proto3 `optional` are not here.
    pub oneofs: Vec<Oneof>,
    /// Nested messages without map entries.
    pub messages: Vec<Message>,
    /// Nested enums.
    pub enums: Vec<Enum>,
    /// Nested extensions.
    pub extensions: Vec<Extension>,
    /// `deprecated = true`.
    pub deprecated: bool,
    /// What people wrote about it.
    pub comments: Comments,
    /// Where it is declared.
    pub position: Position,
}

impl Message {
    /// The fields of `oneofs[index]`.
    pub fn oneof_fields(&self, index: usize) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| field.oneof == Some(index))
    }

    /// The field marked with the option `actor_id`, if there is one.
    pub fn actor_id_field(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.actor_id)
    }
}

/// A field.
#[derive(Debug, Clone)]
pub struct Field {
    /// The name as written.
    pub name: String,
    /// The name in ProtoJSON.
    pub json_name: String,
    /// The field number.
    pub number: u32,
    /// What it holds.
    pub shape: Shape,
    /// Whether "not set" and "set to the default" differ: messages, `optional`, oneof members, proto2.
    pub has_presence: bool,
    /// proto3 `optional` (or proto2 `optional`) was written.
    pub is_optional: bool,
    /// proto2 `required`.
    pub is_required: bool,
    /// Index into [`Message::oneofs`], if it is a member of one.
    pub oneof: Option<usize>,
    /// The proto2 default as text, exactly as the descriptor carries it.
    pub default: Option<String>,
    /// Marked with `(callboard.options.v1.actor_id)` or `(spawn.actors.actor_id)`.
    pub actor_id: bool,
    /// `deprecated = true`.
    pub deprecated: bool,
    /// What people wrote about it.
    pub comments: Comments,
    /// Where it is declared.
    pub position: Position,
}

/// How many values a field holds, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One value.
    Singular(ValueType),
    /// A list.
    Repeated(ValueType),
    /// A map from key to value.
    Map(Scalar, ValueType),
}

/// The type of one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueType {
    /// A scalar.
    Scalar(Scalar),
    /// A message, by full name.
    Message(String),
    /// An enum, by full name.
    Enum(String),
}

/// The scalar types of protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the protobuf type of the same name")]
pub enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

/// A oneof that was written as such.
#[derive(Debug, Clone)]
pub struct Oneof {
    /// The name as written.
    pub name: String,
    /// What people wrote about it.
    pub comments: Comments,
    /// Where it is declared.
    pub position: Position,
}

/// An enum type.
#[derive(Debug, Clone)]
pub struct Enum {
    /// Its own name.
    pub name: String,
    /// Its name with package and enclosing messages.
    pub full_name: String,
    /// The names of the enclosing messages, outermost first.
    pub outer: Vec<String>,
    /// Its place in the descriptor: indexes of the enclosing messages, then its own among their enums.
    pub index: Vec<usize>,
    /// Values in declaration order.
    pub values: Vec<EnumValue>,
    /// `allow_alias = true`: several names may share a number.
    pub allow_alias: bool,
    /// Closed (proto2): unknown numbers are not values of it.
    pub closed: bool,
    /// `deprecated = true`.
    pub deprecated: bool,
    /// What people wrote about it.
    pub comments: Comments,
    /// Where it is declared.
    pub position: Position,
}

/// One name of an enum.
#[derive(Debug, Clone)]
pub struct EnumValue {
    /// The name as written.
    pub name: String,
    /// Its number.
    pub number: i32,
    /// `deprecated = true`.
    pub deprecated: bool,
    /// What people wrote about it.
    pub comments: Comments,
    /// Where it is declared.
    pub position: Position,
}

/// An extension field. No back end generates an API for it: the registered descriptor carries it, which is what options
/// need.
#[derive(Debug, Clone)]
pub struct Extension {
    /// Its name as written.
    pub name: String,
    /// Its name with the scope in which it is declared.
    pub full_name: String,
    /// Its field number.
    pub number: u32,
    /// Where it is declared.
    pub position: Position,
}

/// A service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its own name.
    pub name: String,
    /// Its name with the package.
    pub full_name: String,
    /// Whether it describes an actor type.
    pub kind: ServiceKind,
    /// Methods in declaration order.
    pub methods: Vec<Method>,
    /// `deprecated = true`.
    pub deprecated: bool,
    /// What people wrote about it.
    pub comments: Comments,
    /// Where it is declared.
    pub position: Position,
}

/// What a service is to Callboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceKind {
    /// An ordinary gRPC service. Back ends print its method names and types, nothing else.
    Plain,
    /// An actor type, because it has `(callboard.options.v1.actor)` or `(spawn.actors.actor)`.
    Actor(ActorSettings),
}

/// The settings of an actor type, from whichever option the service has. Numbers that are 0 mean the server's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorSettings {
    /// The type's name: the option's `name`, else the service's own name.
    pub type_name: String,
    /// The life of its actors.
    pub kind: ActorKind,
    /// What happens to their state.
    pub durability: Durability,
    /// Full name of the message that holds the state; `None` if it is JSON.
    pub state_type: Option<String>,
    /// Milliseconds without a call before an actor is deactivated.
    pub idle_timeout_ms: u64,
    /// Milliseconds between saves of a snapshot actor.
    pub snapshot_interval_ms: u64,
    /// Milliseconds that one turn may take.
    pub turn_timeout_ms: u64,
    /// How many calls may wait for one actor.
    pub mailbox_limit: u32,
    /// How many shards the keys are spread over.
    pub shards: u32,
    /// No action runs on state that is not committed.
    pub speculation_off: bool,
    /// Instances of a pool that are always in memory; 0 for other kinds.
    pub pool_min: u32,
    /// Instances of a pool that run at a time; 0 for other kinds.
    pub pool_max: u32,
}

/// `callboard.type.v1.Kind` without its "not said".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// One actor, whose key is the type name.
    Named,
    /// One actor per key.
    Unnamed,
    /// Equal instances without state or key.
    Pooled,
}

impl ActorKind {
    /// The number in `callboard.type.v1.Kind`.
    pub fn number(self) -> i32 {
        match self {
            ActorKind::Named => 1,
            ActorKind::Unnamed => 2,
            ActorKind::Pooled => 3,
        }
    }
}

/// `callboard.type.v1.Durability` without its "not said".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A reply leaves only after its effect is committed.
    Durable,
    /// Saved on an interval.
    Snapshot,
    /// As long as the activation.
    Volatile,
}

impl Durability {
    /// The number in `callboard.type.v1.Durability`.
    pub fn number(self) -> i32 {
        match self {
            Durability::Durable => 1,
            Durability::Snapshot => 2,
            Durability::Volatile => 3,
        }
    }
}

/// A method of a service; of an actor service, an action.
#[derive(Debug, Clone)]
pub struct Method {
    /// The name as written. On the wire the action has exactly this name, whatever a language makes of it.
    pub name: String,
    /// Full name of the request message.
    pub input: String,
    /// Full name of the reply message.
    pub output: String,
    /// The request is a stream. Never true for actor services.
    pub client_streaming: bool,
    /// The reply is a stream. Never true for actor services.
    pub server_streaming: bool,
    /// The standard option `idempotency_level`.
    pub idempotency: Idempotency,
    /// `(callboard.options.v1.action).speculation_off`.
    pub speculation_off: bool,
    /// `deprecated = true`.
    pub deprecated: bool,
    /// What people wrote about it.
    pub comments: Comments,
    /// Where it is declared.
    pub position: Position,
}

impl Method {
    /// True if the action never changes state.
    pub fn is_read_only(&self) -> bool {
        self.idempotency == Idempotency::NoSideEffects
    }
}

/// The standard option `idempotency_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// Nothing is said.
    Unknown,
    /// `NO_SIDE_EFFECTS`: a reading action.
    NoSideEffects,
    /// `IDEMPOTENT`.
    Idempotent,
}

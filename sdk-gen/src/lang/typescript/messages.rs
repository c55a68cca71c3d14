//! The layer of messages: one `_pb.ts` for each proto file, in the form that protobuf-es calls `codegenv2`.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorProto, field_options::JsType};

use super::{
    Modules, PROTOBUF, SEPARATOR, assemble,
    naming::{self, FileNames},
    quoted,
};
use crate::{
    imports::Imports,
    lang::OutputFile,
    model::{
        Comments, Enum, Field, File, Message, Model, Scalar, Service, Shape, Syntax, ValueType,
    },
    names,
    printer::{CommentStyle, Printer},
};

/// Prints the messages of `file`.
pub(super) fn print(model: &Model, modules: &Modules, file: &File) -> OutputFile {
    let names = FileNames::of(file);
    let mut imports = Imports::new();
    names.all.iter().for_each(|name| imports.reserve(name));
    let mut writer = Writer {
        model,
        modules,
        file,
        strings: long_strings(file),
        names,
        imports,
        out: Printer::new("  "),
    };
    writer.file_descriptor();
    for message in file.all_messages() {
        writer.message(message);
    }
    for item in file.all_enums() {
        writer.enumeration(item);
    }
    for (index, service) in file.services.iter().enumerate() {
        writer.service(service, index);
    }
    assemble(file, "_pb", &writer.imports, &writer.out)
}

struct Writer<'a> {
    model: &'a Model,
    modules: &'a Modules,
    file: &'a File,
    names: FileNames,
    /// 64-bit fields that are strings in JavaScript, as `full.name.of.Message/number`.
    strings: BTreeSet<String>,
    imports: Imports,
    out: Printer,
}

impl Writer<'_> {
    fn runtime(&mut self, symbol: &str) -> String {
        self.imports.value(&format!("{PROTOBUF}/codegenv2"), symbol, SEPARATOR)
    }

    fn runtime_type(&mut self, symbol: &str) -> String {
        self.imports.type_only(&format!("{PROTOBUF}/codegenv2"), symbol, SEPARATOR)
    }

    fn base_type(&mut self, symbol: &str) -> String {
        self.imports.type_only(PROTOBUF, symbol, SEPARATOR)
    }

    fn doc(&mut self, comments: &Comments, deprecated: bool) {
        let note = deprecated.then_some("@deprecated");
        self.out.doc(CommentStyle::JsDoc, comments, note);
    }

    fn file_descriptor(&mut self) {
        let gen_file = self.runtime_type("GenFile");
        let file_desc = self.runtime("fileDesc");
        let mut dependencies = Vec::new();
        for path in &self.file.descriptor_dependencies {
            if let Some(dependency) = self.model.file(path) {
                let module = self.modules.messages(self.file, dependency);
                let symbol = FileNames::of(dependency).file;
                dependencies.push(self.imports.value(&module, &symbol, SEPARATOR));
            }
        }
        let list = match dependencies.is_empty() {
            true => String::new(),
            false => format!("\n  [{}],", dependencies.join(", ")),
        };
        let name = self.names.file.clone();
        let data = embedded(self.file);
        self.out.line(format!("/** Describes the file {}. */", self.file.path)).line(format!(
            "export const {name}: {gen_file} = /*@__PURE__*/ {file_desc}(\n  \"{data}\",{list}\n);"
        ));
    }

    fn message(&mut self, message: &Message) {
        let name = naming::type_name(&message.outer, &message.name);
        let base = self.base_type("Message");
        self.out.blank();
        self.doc(&message.comments, message.deprecated);
        let open = format!("export type {name} = {base}<{}> & {{", quoted(&message.full_name));
        let mut body = std::mem::replace(&mut self.out, Printer::new("  "));
        self.members(message);
        std::mem::swap(&mut body, &mut self.out);
        self.out.block(open, "};", |out| {
            out.append(&body);
        });
        let schema = self.names.schemas[&message.full_name].clone();
        let (gen_type, call) = (self.runtime_type("GenMessage"), self.runtime("messageDesc"));
        self.descriptor(
            &schema,
            &format!("{gen_type}<{name}>"),
            &call,
            &runtime_index(self.file, &message.outer, &message.name),
            &format!(
                "Describes the message {}. Use `create({schema})` to make one.",
                message.full_name
            ),
        );
    }

    fn descriptor(&mut self, name: &str, gen_type: &str, call: &str, index: &[usize], doc: &str) {
        let file = &self.names.file;
        let path: Vec<String> = index.iter().map(|index| format!(", {index}")).collect();
        self.out
            .blank()
            .line(format!("/** {doc} */"))
            .line(format!("export const {name}: {gen_type} = /*@__PURE__*/"))
            .line(format!("  {call}({file}{});", path.concat()));
    }

    fn members(&mut self, message: &Message) {
        let mut done = BTreeSet::new();
        for field in &message.fields {
            match field.oneof {
                Some(index) if done.insert(index) => self.oneof(message, index),
                Some(_) => {}
                None => self.field(message, field),
            }
        }
    }

    fn field(&mut self, message: &Message, field: &Field) {
        let name = naming::property(&names::proto_camel(&field.name));
        let (typing, is_message) = self.shape(message, field);
        let optional = is_message || (field.is_optional && self.file.syntax == Syntax::Proto3);
        self.out.blank();
        self.doc(&field.comments, field.deprecated);
        self.out.line(match optional {
            true => format!("{name}?: {typing} | undefined;"),
            false => format!("{name}: {typing};"),
        });
    }

    fn oneof(&mut self, message: &Message, index: usize) {
        let oneof = &message.oneofs[index];
        let name = naming::property(&names::proto_camel(&oneof.name));
        self.out.blank();
        self.doc(&oneof.comments, false);
        self.out.line(format!("{name}:"));
        for field in message.oneof_fields(index) {
            let case = naming::property(&names::proto_camel(&field.name));
            let (typing, _) = self.shape(message, field);
            let mut member = Printer::new("  ");
            let note = field.deprecated.then_some("@deprecated");
            member
                .doc(CommentStyle::JsDoc, &field.comments, note)
                .line(format!("value: {typing};"))
                .line(format!("case: \"{case}\";"));
            self.out.indent(|out| {
                out.block("| {", "}", |out| {
                    out.append(&member);
                });
            });
        }
        self.out.line("  | { case: undefined; value?: undefined };");
    }

    /// The type of a field, and whether it is a single message.
    fn shape(&mut self, message: &Message, field: &Field) -> (String, bool) {
        match &field.shape {
            Shape::Singular(ValueType::Message(name)) => {
                if field.oneof.is_none()
                    && let Some(scalar) = wrapped(name)
                {
                    return (scalar_type(scalar).to_owned(), true);
                }
                (self.value(&ValueType::Message(name.clone())), true)
            }
            Shape::Singular(value) => (self.field_value(message, field, value), false),
            Shape::Repeated(value) => {
                let item = self.field_value(message, field, value);
                (format!("{item}[]"), false)
            }
            Shape::Map(key, value) => {
                let key = match key {
                    Scalar::Int32
                    | Scalar::Uint32
                    | Scalar::Sint32
                    | Scalar::Fixed32
                    | Scalar::Sfixed32 => "number",
                    _ => "string",
                };
                let value = self.value(value);
                (format!("{{ [key: {key}]: {value} }}"), false)
            }
        }
    }

    fn field_value(&mut self, message: &Message, field: &Field, value: &ValueType) -> String {
        let id = format!("{}/{}", message.full_name, field.number);
        match self.strings.contains(&id) {
            true => "string".to_owned(),
            false => self.value(value),
        }
    }

    fn value(&mut self, value: &ValueType) -> String {
        match value {
            ValueType::Scalar(scalar) => scalar_type(*scalar).to_owned(),
            ValueType::Message(name) if name == "google.protobuf.Struct" => {
                self.base_type("JsonObject")
            }
            ValueType::Message(name) | ValueType::Enum(name) => self.type_reference(name),
        }
    }

    /// The local name of the type with this full name.
    fn type_reference(&mut self, full_name: &str) -> String {
        let name = local_type(self.model, full_name);
        match self.model.file_of(full_name) {
            Some(file) if file.path != self.file.path => {
                let module = self.modules.messages(self.file, file);
                self.imports.type_only(&module, &name, SEPARATOR)
            }
            _ => name,
        }
    }

    fn enumeration(&mut self, item: &Enum) {
        let name = naming::type_name(&item.outer, &item.name);
        self.out.blank();
        self.doc(&item.comments, item.deprecated);
        let values = naming::value_names(item);
        self.out.block(format!("export const {name} = {{"), "} as const;", |out| {
            for (value, name) in item.values.iter().zip(values) {
                let note = value.deprecated.then_some("@deprecated");
                out.doc(CommentStyle::JsDoc, &value.comments, note)
                    .line(format!("{name}: {},", value.number));
            }
        });
        let open = match item.closed {
            true => String::new(),
            false => format!(" | {}", self.base_type("UnknownEnum")),
        };
        self.out.blank();
        self.doc(&item.comments, item.deprecated);
        self.out.line(format!("export type {name} = (typeof {name})[keyof typeof {name}]{open};"));
        let schema = self.names.schemas[&item.full_name].clone();
        let (gen_type, call) = (self.runtime_type("GenEnum"), self.runtime("enumDesc"));
        self.descriptor(
            &schema,
            &format!("{gen_type}<{name}>"),
            &call,
            &runtime_index(self.file, &item.outer, &item.name),
            &format!("Describes the enum {}.", item.full_name),
        );
    }

    fn service(&mut self, service: &Service, index: usize) {
        let name = self.names.services[&service.full_name].clone();
        let (gen_type, call) = (self.runtime_type("GenService"), self.runtime("serviceDesc"));
        let methods: Vec<[String; 4]> = service
            .methods
            .iter()
            .map(|method| {
                let kind = match (method.client_streaming, method.server_streaming) {
                    (false, false) => "unary",
                    (true, false) => "client_streaming",
                    (false, true) => "server_streaming",
                    (true, true) => "bidi_streaming",
                };
                let first = method.name.chars().take(1).map(|c| c.to_ascii_lowercase());
                let rest = names::proto_camel(&method.name);
                let local: String = first.chain(rest.chars().skip(1)).collect();
                [
                    naming::property(&local),
                    kind.to_owned(),
                    self.schema_reference(&method.input),
                    self.schema_reference(&method.output),
                ]
            })
            .collect();
        self.out.blank();
        self.doc(&service.comments, service.deprecated);
        self.out
            .line(format!("export const {name}: {gen_type}<{{"))
            .indent(|out| {
                for (method, [local, kind, input, output]) in service.methods.iter().zip(methods) {
                    let note = method.deprecated.then_some("@deprecated");
                    out.doc(CommentStyle::JsDoc, &method.comments, note);
                    out.block(format!("{local}: {{"), "};", |out| {
                        out.line(format!("methodKind: \"{kind}\";"))
                            .line(format!("input: typeof {input};"))
                            .line(format!("output: typeof {output};"));
                    });
                }
            })
            .line("}> = /*@__PURE__*/")
            .line(format!("  {call}({}, {index});", self.names.file));
    }

    fn schema_reference(&mut self, full_name: &str) -> String {
        match self.model.file_of(full_name) {
            Some(file) if file.path != self.file.path => {
                let module = self.modules.messages(self.file, file);
                let name = local_schema(file, full_name);
                self.imports.type_only(&module, &name, SEPARATOR)
            }
            _ => self.names.schemas[full_name].clone(),
        }
    }
}

/// The type's name in the file that declares it.
pub(super) fn local_type(model: &Model, full_name: &str) -> String {
    if let Some(message) = model.message(full_name) {
        return naming::type_name(&message.outer, &message.name);
    }
    model
        .enumeration(full_name)
        .map(|item| naming::type_name(&item.outer, &item.name))
        .unwrap_or_default()
}

/// The name of a message's descriptor in the file that declares it.
pub(super) fn local_schema(file: &File, full_name: &str) -> String {
    FileNames::of(file).schemas.remove(full_name).unwrap_or_default()
}

fn scalar_type(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::String => "string",
        Scalar::Bool => "boolean",
        Scalar::Bytes => "Uint8Array",
        Scalar::Int64 | Scalar::Uint64 | Scalar::Sint64 | Scalar::Fixed64 | Scalar::Sfixed64 => {
            "bigint"
        }
        Scalar::Double
        | Scalar::Float
        | Scalar::Int32
        | Scalar::Uint32
        | Scalar::Sint32
        | Scalar::Fixed32
        | Scalar::Sfixed32 => "number",
    }
}

/// Where the runtime finds a message or enum: like its place in the descriptor, but map entries do not count.
fn runtime_index(file: &File, outer: &[String], name: &str) -> Vec<usize> {
    let (mut messages, mut enums) = (&file.messages, &file.enums);
    let mut index = Vec::new();
    for scope in outer {
        if let Some(place) = messages.iter().position(|message| message.name == *scope) {
            index.push(place);
            (enums, messages) = (&messages[place].enums, &messages[place].messages);
        }
    }
    let message = messages.iter().position(|message| message.name == name);
    index.extend(message.or_else(|| enums.iter().position(|item| item.name == name)));
    index
}

/// protobuf-es shows single wrapper messages as the value that they wrap.
fn wrapped(full_name: &str) -> Option<Scalar> {
    Some(match full_name.strip_prefix("google.protobuf.")? {
        "DoubleValue" => Scalar::Double,
        "FloatValue" => Scalar::Float,
        "Int64Value" => Scalar::Int64,
        "UInt64Value" => Scalar::Uint64,
        "Int32Value" => Scalar::Int32,
        "UInt32Value" => Scalar::Uint32,
        "BoolValue" => Scalar::Bool,
        "StringValue" => Scalar::String,
        "BytesValue" => Scalar::Bytes,
        _ => return None,
    })
}

/// The descriptor as `fileDesc` takes it: base64 without padding. The runtime puts the imports in itself.
fn embedded(file: &File) -> String {
    base64(&file.descriptor)
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .enumerate()
            .fold(0_u32, |word, (index, byte)| word | u32::from(*byte) << (16 - 8 * index));
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

/// Fields with `jstype = JS_STRING`: the runtime gives them as strings.
fn long_strings(file: &File) -> BTreeSet<String> {
    fn visit(scope: &str, message: &DescriptorProto, found: &mut BTreeSet<String>) {
        let full_name = match scope {
            "" => message.name().to_owned(),
            _ => format!("{scope}.{}", message.name()),
        };
        for field in &message.field {
            let options = field.options.as_ref();
            if options.is_some_and(|options| options.jstype() == JsType::JsString) {
                found.insert(format!("{full_name}/{}", field.number()));
            }
        }
        for nested in &message.nested_type {
            visit(&full_name, nested, found);
        }
    }
    let mut found = BTreeSet::new();
    // The descriptor comes from this process and always decodes; an unreadable one would only lose this refinement.
    if let Ok(descriptor) = FileDescriptorProto::decode(file.descriptor.as_slice()) {
        for message in &descriptor.message_type {
            visit(&file.package, message, &mut found);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_has_no_padding() {
        for (bytes, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}

//! `_actor.py`: what users import for an actor service.

use super::{Language, Python, begin, doc, literal, modules, stubs::constant};
use crate::{
    imports::Imports,
    model::{ActorKind, ActorSettings, Durability, File, Method, Model, Service},
    printer::Printer,
};

/// The module that the SDK's names are imported from.
const SDK: &str = "callboard";
const TYPING_EXTENSIONS: &str = "typing_extensions";
const TYPING: &str = "typing";

pub(super) fn print(file: &File, model: &Model) -> String {
    let mut printer = Actors { file, model, imports: Imports::new() };
    let mut body = Printer::new("    ");
    printer.reserve();
    for (service, settings) in file.actors() {
        printer.service(&mut body, service, settings);
    }
    let mut p = begin(file, &format!("Actors of {}.", file.path));
    p.line("# ruff: noqa").blank();
    p.line("from __future__ import annotations").blank();
    modules::print_imports(&mut p, &printer.imports, |symbol| !symbol.type_only);
    p.line("if TYPE_CHECKING:").indent(|p| {
        modules::print_imports(p, &printer.imports, |symbol| symbol.type_only);
    });
    p.blanks(2).append(&body);
    p.finish()
}

struct Actors<'a> {
    file: &'a File,
    model: &'a Model,
    imports: Imports,
}

impl Actors<'_> {
    /// Takes the names that this file declares, then those of the messages, so that only names of the SDK ever need an
    /// alias within one file.
    fn reserve(&mut self) {
        let file = self.file;
        for (service, settings) in file.actors() {
            for name in Python.service_names(&service.name) {
                self.imports.reserve(name);
            }
            for name in [
                "client", "key", "caller", "ctx", "request", "options", "self", "super", "int",
                "str", "property",
            ] {
                self.imports.reserve(name);
            }
            for method in &service.methods {
                self.message(&method.input);
                self.message(&method.output);
            }
            if let Some(state) = &settings.state_type {
                self.message(state);
            }
        }
    }

    /// The name of a message's class in this file.
    fn message(&mut self, full_name: &str) -> String {
        let Some((message, home)) =
            self.model.message(full_name).zip(self.model.file_of(full_name))
        else {
            return full_name.to_owned();
        };
        let module = modules::import(self.file, home, "pb2").qualified();
        let path = Python.type_name(&message.outer, &message.name);
        match path.split_once('.') {
            None => self.imports.value(&module, &path, "_"),
            Some((first, rest)) => format!("{}.{rest}", self.imports.value(&module, first, "_")),
        }
    }

    fn sdk(&mut self, name: &str) -> String {
        self.imports.value(SDK, name, "_")
    }

    fn sdk_type(&mut self, name: &str) -> String {
        self.imports.type_only(SDK, name, "_")
    }

    fn service(&mut self, p: &mut Printer, service: &Service, settings: &ActorSettings) {
        self.imports.value(TYPING, "TYPE_CHECKING", "_");
        self.definition(p, service, settings);
        self.reference(p, service, settings);
        self.sender(p, service, settings);
        self.client(p, service, settings);
        self.base(p, service, settings);
        p.blanks(2);
    }

    fn definition(&mut self, p: &mut Printer, service: &Service, settings: &ActorSettings) {
        let proto_action = self.sdk("proto_action");
        for method in &service.methods {
            let mut arguments = vec![
                literal(&method.name),
                literal(&Python.action_name(&method.name)),
                self.message(&method.input),
                self.message(&method.output),
            ];
            if method.is_read_only() {
                arguments.push("read_only=True".to_owned());
            }
            if method.speculation_off {
                arguments.push("speculation_off=True".to_owned());
            }
            let name = constant(&service.name, &method.name);
            p.line(format!("{name} = {proto_action}({})", arguments.join(", ")));
        }
        let state = match &settings.state_type {
            Some(state) => {
                let codec = self.sdk("ProtoCodec");
                format!("{codec}({})", self.message(state))
            }
            None => format!("{}(dict)", self.sdk("JsonCodec")),
        };
        let def = self.sdk("ActorDef");
        let given = self.settings(settings);
        let state_class = self.state_class(settings);
        let open = format!("{}Def: {def}[{state_class}] = {def}(", service.name);
        p.blank().block(open, ")", |p| {
            p.line(format!("name={},", literal(&settings.type_name)));
            p.line(format!("state={state},"));
            p.block("actions=(", "),", |p| {
                for method in &service.methods {
                    p.line(format!("{},", constant(&service.name, &method.name)));
                }
            });
            p.line(format!("settings={given},"));
            p.line(format!("service={},", literal(&service.full_name)));
        });
        super::doc(p, &empty(), false, &format!("What actor type {} is.", settings.type_name));
    }

    fn settings(&mut self, settings: &ActorSettings) -> String {
        let class = self.sdk("Settings");
        let mut given = Vec::new();
        if settings.kind == ActorKind::Named {
            given.push(format!("kind={}.NAMED", self.sdk("Kind")));
        }
        if settings.kind == ActorKind::Pooled {
            let bounds = [("min", settings.pool_min), ("max", settings.pool_max)];
            let said = bounds.iter().filter(|(_, bound)| *bound != 0);
            let said: Vec<String> = said.map(|(name, n)| format!("{name}={n}")).collect();
            given.push(format!("pooled={}({})", self.sdk("Pooled"), said.join(", ")));
        }
        let durability = match settings.durability {
            _ if settings.kind == ActorKind::Pooled => None,
            Durability::Durable => None,
            Durability::Snapshot => Some("SNAPSHOT"),
            Durability::Volatile => Some("VOLATILE"),
        };
        if let Some(name) = durability {
            given.push(format!("durability={}.{name}", self.sdk("Durability")));
        }
        for (name, millis) in [
            ("idle_timeout", settings.idle_timeout_ms),
            ("snapshot_interval", settings.snapshot_interval_ms),
            ("turn_timeout", settings.turn_timeout_ms),
        ] {
            if millis != 0 {
                let timedelta = self.imports.value("datetime", "timedelta", "_");
                given.push(format!("{name}={timedelta}(milliseconds={millis})"));
            }
        }
        for (name, count) in
            [("mailbox_limit", settings.mailbox_limit), ("shards", settings.shards)]
        {
            if count != 0 {
                given.push(format!("{name}={count}"));
            }
        }
        if settings.speculation_off {
            given.push("speculation_off=True".to_owned());
        }
        format!("{class}({})", given.join(", "))
    }

    /// The Python type of the actor's state.
    fn state_class(&mut self, settings: &ActorSettings) -> String {
        match &settings.state_type {
            Some(state) => self.message(state),
            None => format!("dict[str, {}]", self.imports.value(TYPING, "Any", "_")),
        }
    }

    fn reference(&mut self, p: &mut Printer, service: &Service, settings: &ActorSettings) {
        let base = self.sdk("ActorRef");
        let caller = self.sdk_type("Caller");
        let name = &service.name;
        p.blanks(2).line(format!("class {name}Ref({base}):")).indent(|p| {
            let about = format!("One {name} actor: its actions, as calls that wait for the reply.");
            doc(p, &empty(), false, &about);
            p.blank().line("__slots__ = ()").blank();
            constructor(p, "caller", &caller, settings);
            for method in &service.methods {
                self.call(p, service, method, None);
            }
        });
    }

    fn sender(&mut self, p: &mut Printer, service: &Service, settings: &ActorSettings) {
        let base = self.sdk("SendRef");
        let sender = self.sdk_type("Sender");
        let accepted = self.sdk_type("Accepted");
        let name = &service.name;
        p.blanks(2).line(format!("class {name}Send({base}):")).indent(|p| {
            let about =
                format!("One {name} actor: its actions, as calls that only wait to be accepted.");
            doc(p, &empty(), false, &about);
            p.blank().line("__slots__ = ()").blank();
            constructor(p, "sender", &sender, settings);
            for method in &service.methods {
                self.call(p, service, method, Some(&accepted));
            }
        });
    }

    fn call(
        &mut self,
        p: &mut Printer,
        service: &Service,
        method: &Method,
        accepted: Option<&str>,
    ) {
        let input = self.message(&method.input);
        let output = self.message(&method.output);
        let unpack = self.imports.type_only(TYPING_EXTENSIONS, "Unpack", "_");
        let name = Python.action_name(&method.name);
        // Only a message without fields can be left out: with fields, leaving it out is more often a mistake.
        let optional =
            self.model.message(&method.input).is_some_and(|message| message.fields.is_empty());
        let request = if optional {
            format!("request: {input} | None = None")
        } else {
            format!("request: {input}")
        };
        let action = constant(&service.name, &method.name);
        let (def, options, reply, made) = match accepted {
            None => {
                let call = self.sdk("Call");
                let made = format!("{call}(self._caller, self._id, {action}, request, options)");
                ("def", self.sdk_type("CallOptions"), format!("{call}[{output}]"), made)
            }
            Some(accepted) => {
                let made =
                    format!("await self._sender.submit(self._id, {action}, request, options)");
                ("async def", self.sdk_type("SendOptions"), accepted.to_owned(), made)
            }
        };
        p.blank().line(format!("{def} {name}("));
        p.indent(|p| {
            p.line(format!("self, {request}, /, **options: {unpack}[{options}]"));
        });
        p.line(format!(") -> {reply}:"));
        p.indent(|p| {
            doc(p, &method.comments, method.deprecated, "");
            p.line(format!("return {made}"));
        });
    }

    fn client(&mut self, p: &mut Printer, service: &Service, settings: &ActorSettings) {
        let sender = self.sdk_type("Sender");
        let name = &service.name;
        let key = key_parameter(settings);
        p.blanks(2).line(format!("class {name}Client:")).indent(|p| {
            doc(p, &empty(), false, &format!("Makes references to {name} actors for one client."));
            p.blank().line("__slots__ = (\"_client\",)").blank();
            p.line(format!("def __init__(self, client: {sender}) -> None:"));
            p.indent(|p| {
                p.line("self._client = client");
            });
            p.blank().line(format!("def ref(self, {key}) -> {name}Ref:"));
            p.indent(|p| {
                p.line("\"\"\"The actor with this key, for calls that wait for the reply.\"\"\"");
                p.line(format!("return {name}Ref(self._client, key)"));
            });
            p.blank().line(format!("def send(self, {key}) -> {name}Send:"));
            p.indent(|p| {
                p.line(
                    "\"\"\"The actor with this key, for calls that only wait to be accepted.\"\"\"",
                );
                p.line(format!("return {name}Send(self._client, key)"));
            });
        });
    }

    fn base(&mut self, p: &mut Printer, service: &Service, settings: &ActorSettings) {
        let name = &service.name;
        let state = self.state_class(settings);
        let context = self.sdk("Context");
        let read_context = self.sdk("ReadContext");
        let actor = self.sdk("Actor");
        let maybe = self.sdk("MaybeAwaitable");
        let abc = self.imports.value("abc", "ABC", "_");
        let abstract_method = self.imports.value("abc", "abstractmethod", "_");
        let type_alias = self.imports.type_only(TYPING_EXTENSIONS, "TypeAlias", "_");
        p.blanks(2);
        p.line(format!("{name}Ctx: {type_alias} = {context}[{state}]"));
        p.line(format!("{name}ReadCtx: {type_alias} = {read_context}[{state}]"));
        p.blanks(2).line(format!("class {name}Actor({actor}[{state}, {name}Ref], {abc}):"));
        p.indent(|p| {
            doc(p, &service.comments, service.deprecated, &format!("Base class of {name} actors."));
            p.blank().line(format!("definition = {name}Def"));
            p.line(format!("reference = {name}Ref"));
            p.blank().line(format!("def initial(self) -> {state}:"));
            p.indent(|p| {
                p.line("\"\"\"The state of an actor that has none yet.\"\"\"");
                let empty =
                    settings.state_type.as_ref().map_or("{}".to_owned(), |_| format!("{state}()"));
                p.line(format!("return {empty}"));
            });
            for method in &service.methods {
                let input = self.message(&method.input);
                let output = self.message(&method.output);
                let suffix = if method.is_read_only() { "ReadCtx" } else { "Ctx" };
                let action = Python.action_name(&method.name);
                p.blank().line(format!("@{abstract_method}"));
                p.line(format!("def {action}("));
                p.indent(|p| {
                    p.line(format!("self, ctx: {name}{suffix}, request: {input}, /"));
                });
                let answer = if method.is_read_only() {
                    output
                } else {
                    format!("{}[{input}, {output}]", self.sdk_type("Answer"))
                };
                p.line(format!(") -> {maybe}[{answer}]:"));
                p.indent(|p| {
                    doc(p, &method.comments, method.deprecated, "");
                    p.line("raise NotImplementedError");
                });
            }
        });
    }
}

fn constructor(p: &mut Printer, parameter: &str, class: &str, settings: &ActorSettings) {
    let key = key_parameter(settings);
    p.line(format!("def __init__(self, {parameter}: {class}, {key}) -> None:"));
    p.indent(|p| {
        p.line(format!("super().__init__({parameter}, {}, key)", literal(&settings.type_name)));
    });
}

/// A NAMED actor has one key, its type name, which nobody needs to write; instances of a pool have none.
fn key_parameter(settings: &ActorSettings) -> String {
    match settings.kind {
        ActorKind::Named => format!("key: str = {}", literal(&settings.type_name)),
        ActorKind::Unnamed => "key: str".to_owned(),
        ActorKind::Pooled => "key: str = \"\"".to_owned(),
    }
}

fn empty() -> crate::model::Comments {
    crate::model::Comments::default()
}

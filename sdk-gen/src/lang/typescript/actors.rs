//! The layer of actors: one `_actor.ts` for each proto file with actor services.

use super::{
    Modules, PROTOBUF, SDK, SEPARATOR, assemble,
    messages::{local_schema, local_type},
    naming::{self, FileNames},
    quoted,
};
use crate::{
    imports::Imports,
    lang::OutputFile,
    model::{ActorKind, ActorSettings, Durability, File, Method, Model, Service},
    names,
    printer::{CommentStyle, Printer},
};

/// Prints the actors of `file`.
pub(super) fn print(model: &Model, modules: &Modules, file: &File) -> OutputFile {
    let mut imports = Imports::new();
    for (service, _) in file.actors() {
        for suffix in ["Client", "Ref", "Actor", "Def", "Ctx", "ReadCtx"] {
            imports.reserve(format!("{}{suffix}", service.name));
        }
    }
    // Names that the printed code declares or uses as they are.
    for name in ["State", "Promise"] {
        imports.reserve(name);
    }
    let mut writer = Writer { model, modules, file, imports, out: Printer::new("  ") };
    for (service, settings) in file.actors() {
        let actor = Actor { service, settings, state: settings.state_type.as_deref() };
        writer.definition(&actor);
        writer.contexts(&actor);
        writer.class(&actor);
        writer.reference(&actor);
        writer.client(&actor);
    }
    assemble(file, "_actor", &writer.imports, &writer.out)
}

struct Actor<'a> {
    service: &'a Service,
    settings: &'a ActorSettings,
    state: Option<&'a str>,
}

struct Writer<'a> {
    model: &'a Model,
    modules: &'a Modules,
    file: &'a File,
    imports: Imports,
    out: Printer,
}

fn method_name(method: &Method) -> String {
    naming::property(&names::camel(&method.name))
}

impl Writer<'_> {
    fn sdk_type(&mut self, symbol: &str) -> String {
        self.imports.type_only(&format!("{SDK}/codegenv1"), symbol, SEPARATOR)
    }

    fn sdk(&mut self, symbol: &str) -> String {
        self.imports.value(&format!("{SDK}/codegenv1"), symbol, SEPARATOR)
    }

    fn message_type(&mut self, full_name: &str) -> String {
        let name = local_type(self.model, full_name);
        match self.model.file_of(full_name) {
            Some(file) => {
                let module = self.modules.messages(self.file, file);
                self.imports.type_only(&module, &name, SEPARATOR)
            }
            None => name,
        }
    }

    fn schema(&mut self, full_name: &str) -> String {
        match self.model.file_of(full_name) {
            Some(file) => {
                let module = self.modules.messages(self.file, file);
                let name = local_schema(file, full_name);
                self.imports.value(&module, &name, SEPARATOR)
            }
            None => full_name.to_owned(),
        }
    }

    /// The type of what may be given for a message: the message, or an object with some of its fields.
    fn init_type(&mut self, full_name: &str) -> String {
        let schema = self.schema(full_name);
        let shape = self.imports.type_only(PROTOBUF, "MessageInitShape", SEPARATOR);
        format!("{shape}<typeof {schema}>")
    }

    fn is_empty(&self, full_name: &str) -> bool {
        self.model.message(full_name).is_some_and(|message| message.fields.is_empty())
    }

    fn definition(&mut self, actor: &Actor<'_>) {
        let service = actor.service;
        let module = self.modules.messages(self.file, self.file);
        let symbol = FileNames::of(self.file).services[&service.full_name].clone();
        let descriptor = self.imports.value(&module, &symbol, SEPARATOR);
        let state = actor.state.map(|state| self.schema(state));
        let action = self.sdk("protobufAction");
        let mut actions = Printer::new("  ");
        for method in &service.methods {
            let (input, output) = (self.schema(&method.input), self.schema(&method.output));
            let mut marks = Vec::new();
            if method.is_read_only() {
                marks.push("readOnly: true");
            }
            if method.speculation_off {
                marks.push("speculationOff: true");
            }
            let marks = match marks.is_empty() {
                true => String::new(),
                false => format!(", {{ {} }}", marks.join(", ")),
            };
            actions.line(format!(
                "{}: {action}({}, {input}, {output}{marks}),",
                method_name(method),
                quoted(&method.name),
            ));
        }
        self.out.blank().comment(
            CommentStyle::JsDoc,
            &[format!(
                "What the server, hosts and callers know of the actor type {}.",
                quoted(&actor.settings.type_name)
            )],
        );
        self.out.block(format!("export const {}Def = {{", service.name), "} as const;", |out| {
            out.line(format!("type: {},", quoted(&actor.settings.type_name)));
            out.line(format!("service: {descriptor},"));
            if let Some(state) = state {
                out.line(format!("state: {state},"));
            }
            out.block("settings: {", "},", |out| settings(out, actor.settings));
            out.block("actions: {", "},", |out| {
                out.append(&actions);
            });
        });
    }

    fn contexts(&mut self, actor: &Actor<'_>) {
        let name = &actor.service.name;
        let (parameter, state) = match actor.state {
            Some(state) => (String::new(), self.message_type(state)),
            None => ("<State>".to_owned(), "State".to_owned()),
        };
        for (suffix, symbol, what) in
            [("Ctx", "Ctx", "that may change state"), ("ReadCtx", "ReadCtx", "that only read")]
        {
            let base = self.sdk_type(symbol);
            self.out
                .blank()
                .line(format!("/** The context of {name}'s actions {what}. */"))
                .line(format!("export type {name}{suffix}{parameter} = {base}<{state}>;"));
        }
    }

    fn class(&mut self, actor: &Actor<'_>) {
        let service = actor.service;
        let name = &service.name;
        let base = self.sdk("Actor");
        let awaitable = self.sdk_type("Awaitable");
        let mut body = Printer::new("  ");
        body.line("/** What this class implements. */")
            .line(format!("static readonly def = {name}Def;"))
            .blank();
        let (head, argument) = match actor.state {
            Some(state) => {
                let init = self.init_type(state);
                body.line("/** The state of an actor that has none yet: an empty message, unless overridden. */")
                    .block(format!("override initial(): {init} {{"), "}", |out| {
                        out.line("return {};");
                    });
                (format!("{name}Actor extends {base}<{init}>"), "")
            }
            None => (format!("{name}Actor<State = void> extends {base}<State>"), "<State>"),
        };
        for method in &service.methods {
            let suffix = if method.is_read_only() { "ReadCtx" } else { "Ctx" };
            let request = self.message_type(&method.input);
            let mut reply = self.init_type(&method.output);
            if self.is_empty(&method.output) {
                reply.push_str(" | void");
            }
            if !method.is_read_only() {
                // A pipe or a forward that takes what this action gets, and answers what its caller expects.
                let next = self.sdk_type("Next");
                let answer = self.message_type(&method.output);
                reply.push_str(&format!(" | {next}<{request}, {answer}>"));
            }
            let note = method.deprecated.then_some("@deprecated");
            body.blank()
                .doc(CommentStyle::JsDoc, &method.comments, note)
                .line(format!("abstract {}(", method_name(method)))
                .line(format!("  ctx: {name}{suffix}{argument},"))
                .line(format!("  request: {request},"))
                .line(format!("): {awaitable}<{reply}>;"));
        }
        self.out.blank();
        let note = service.deprecated.then_some("@deprecated");
        self.out.doc(CommentStyle::JsDoc, &service.comments, note);
        self.out.block(format!("export abstract class {head} {{"), "}", |out| {
            out.append(&body);
        });
    }

    fn reference(&mut self, actor: &Actor<'_>) {
        let name = &actor.service.name;
        let base = self.sdk("ActorRef");
        let options = self.sdk_type("CallOptions");
        let mut body = Printer::new("  ");
        for method in &actor.service.methods {
            let init = self.init_type(&method.input);
            let reply = self.message_type(&method.output);
            let default = match self.is_empty(&method.input) {
                true => " = {}",
                false => "",
            };
            let local = method_name(method);
            let note = method.deprecated.then_some("@deprecated");
            body.blank()
                .doc(CommentStyle::JsDoc, &method.comments, note)
                .line(format!("{local}("))
                .line(format!("  request: {init}{default},"))
                .line(format!("  options?: {options},"))
                .block(format!("): Promise<{reply}> {{"), "}", |out| {
                    out.line(format!(
                        "return this.$call({name}Def.actions.{local}, request, options);"
                    ));
                });
        }
        self.out.blank().line(format!("/** A reference to one {name}. */")).block(
            format!("export class {name}Ref extends {base} {{"),
            "}",
            |out| {
                out.append(&body);
            },
        );
    }

    fn client(&mut self, actor: &Actor<'_>) {
        let name = &actor.service.name;
        let invoker = self.sdk_type("Invoker");
        let type_name = quoted(&actor.settings.type_name);
        let (doc, parameter) = match actor.settings.kind {
            ActorKind::Named => {
                ("The only actor of the type.", format!("key: string = {type_name}"))
            }
            ActorKind::Unnamed => ("The actor with this key.", "key: string".to_owned()),
            ActorKind::Pooled => ("Any instance of the pool.", "key: string = \"\"".to_owned()),
        };
        self.out.blank().comment(
            CommentStyle::JsDoc,
            &[
                format!("Calls {name} actors: `new {name}Client(connection)` from outside, or"),
                format!("`new {name}Client(ctx)` inside a turn."),
            ],
        );
        self.out.block(format!("export class {name}Client {{"), "}", |out| {
            out.line(format!("readonly #invoker: {invoker};"))
                .blank()
                .block(format!("constructor(invoker: {invoker}) {{"), "}", |out| {
                    out.line("this.#invoker = invoker;");
                })
                .blank()
                .line(format!("/** {doc} */"))
                .block(format!("ref({parameter}): {name}Ref {{"), "}", |out| {
                    out.line("const { system } = this.#invoker;").line(format!(
                        "return new {name}Ref(this.#invoker, {{ system, type: {type_name}, key }});"
                    ));
                });
        });
    }
}

fn settings(out: &mut Printer, settings: &ActorSettings) {
    let kind = match settings.kind {
        ActorKind::Named => Some("named"),
        ActorKind::Unnamed => Some("unnamed"),
        ActorKind::Pooled => None,
    };
    let durability = match settings.durability {
        Durability::Durable => "durable",
        Durability::Snapshot => "snapshot",
        Durability::Volatile => "volatile",
    };
    match kind {
        Some(kind) => {
            out.line(format!("kind: \"{kind}\",")).line(format!("durability: \"{durability}\","));
        }
        None => {
            let bounds = [("min", settings.pool_min), ("max", settings.pool_max)];
            let given = bounds.iter().filter(|(_, bound)| *bound != 0);
            let given: Vec<String> = given.map(|(name, n)| format!(" {name}: {n}")).collect();
            let space = if given.is_empty() { "" } else { " " };
            out.line(format!("pooled: {{{}{space}}},", given.join(",")));
        }
    }
    for (name, value) in [
        ("idleTimeout", settings.idle_timeout_ms),
        ("snapshotInterval", settings.snapshot_interval_ms),
        ("turnTimeout", settings.turn_timeout_ms),
        ("mailboxLimit", u64::from(settings.mailbox_limit)),
        ("shards", u64::from(settings.shards)),
    ] {
        if value != 0 {
            out.line(format!("{name}: {value},"));
        }
    }
    if settings.speculation_off {
        out.line("speculationOff: true,");
    }
}

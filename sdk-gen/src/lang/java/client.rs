//! `XClient` and `XRef`: how callers see an actor.

use std::collections::BTreeSet;

use super::{Unit, names, scope::Scope};
use crate::{
    model::{ActorKind, Method},
    printer::{CommentStyle, Printer},
};

pub(super) fn print_client(unit: &Unit<'_>, scope: &mut Scope<'_>, printer: &mut Printer) {
    let class = unit.class("Client");
    let caller = scope.sdk("Caller");
    unit.document_class(
        printer,
        "Finds actors for a caller: a client, the context of a turn, or a test kit.",
    );
    unit.suppress(scope, printer);
    printer.block(format!("public final class {class} {{"), "}", |printer| {
        printer.line(format!("private final {caller} caller;")).blank();
        printer.block(format!("private {class}({caller} caller) {{"), "}", |printer| {
            printer.line("this.caller = caller;");
        });
        printer.blank();
        printer.comment(CommentStyle::JavaDoc, &["Calls through this caller."]);
        let open = format!("public static {class} of({caller} caller) {{");
        printer.block(open, "}", |printer| {
            printer.line(format!("return new {class}(caller);"));
        });
        references(unit, scope, printer);
    });
}

fn references(unit: &Unit<'_>, scope: &mut Scope<'_>, printer: &mut Printer) {
    let (reference, def) = (unit.class("Ref"), unit.class("Def"));
    let (string, id) = (scope.lang("String"), scope.sdk("ActorId"));
    printer.blank();
    if unit.settings.kind == ActorKind::Named {
        printer.comment(CommentStyle::JavaDoc, &["The actor: there is one."]);
        printer.block(format!("public {reference} ref() {{"), "}", |printer| {
            printer
                .line(format!("return new {reference}(caller, {id}.of({def}.TYPE, {def}.TYPE));"));
        });
        return;
    }
    if unit.settings.kind == ActorKind::Pooled {
        printer.comment(CommentStyle::JavaDoc, &["Any instance of the pool."]);
        printer.block(format!("public {reference} ref() {{"), "}", |printer| {
            printer.line(format!("return new {reference}(caller, {id}.of({def}.TYPE));"));
        });
        return;
    }
    printer.comment(CommentStyle::JavaDoc, &["The actor with this key."]);
    let open = format!("public {reference} ref({string} key) {{");
    printer.block(open, "}", |printer| {
        printer.line(format!("return new {reference}(caller, {id}.of({def}.TYPE, key));"));
    });
    printer.blank();
    printer.comment(CommentStyle::JavaDoc, &["The actor with this key in another system."]);
    let open = format!("public {reference} ref({string} system, {string} key) {{");
    printer.block(open, "}", |printer| {
        printer.line(format!("return new {reference}(caller, new {id}(system, {def}.TYPE, key));"));
    });
    let mut seen = BTreeSet::new();
    for method in &unit.service.methods {
        let field = unit.model.message(&method.input).and_then(|input| input.actor_id_field());
        let Some(field) = field.filter(|_| seen.insert(&method.input)) else {
            continue;
        };
        printer.blank();
        printer.comment(CommentStyle::JavaDoc, &["The actor that the request names."]);
        let input = scope.message(&method.input);
        let open = format!("public {reference} ref({input} request) {{");
        printer.block(open, "}", |printer| {
            printer.line(format!("return ref(request.{}());", names::getter(&field.name)));
        });
    }
}

pub(super) fn print_ref(unit: &Unit<'_>, scope: &mut Scope<'_>, printer: &mut Printer) {
    let class = unit.class("Ref");
    let (caller, id) = (scope.sdk("Caller"), scope.sdk("ActorId"));
    let base = scope.sdk("ActorRef");
    unit.document_class(printer, "One actor as its callers see it.");
    unit.suppress(scope, printer);
    printer.block(format!("public final class {class} extends {base} {{"), "}", |printer| {
        printer.comment(CommentStyle::JavaDoc, &["The actor with this id."]);
        printer.block(format!("public {class}({caller} caller, {id} id) {{"), "}", |printer| {
            printer.line("super(caller, id);");
        });
        for method in &unit.service.methods {
            calls(unit, method, scope, printer);
        }
    });
}

/// Blocking and with a future, each with and without options.
fn calls(unit: &Unit<'_>, method: &Method, scope: &mut Scope<'_>, printer: &mut Printer) {
    let (input, output) = (scope.message(&method.input), scope.message(&method.output));
    let future = scope.class("java.util.concurrent", "CompletableFuture");
    let options = scope.sdk("CallOptions");
    let name = names::method(&method.name);
    let constant = names::constant(&method.name);
    let def = unit.class("Def");
    let deprecated = scope.lang("Deprecated");
    let variants = [
        (name.clone(), output.clone(), "call", "Waits for the reply."),
        (
            format!("{name}Async"),
            format!("{future}<{output}>"),
            "callAsync",
            "Completes with the reply.",
        ),
    ];
    for (name, result, call, what) in variants {
        for with_options in [false, true] {
            let (parameter, argument) = if with_options {
                (format!(", {options} options"), ", options")
            } else {
                (String::new(), "")
            };
            printer.blank();
            unit.document(method, printer, &[what]);
            if method.deprecated {
                printer.line(format!("@{deprecated}"));
            }
            let open = format!("public {result} {name}({input} request{parameter}) {{");
            printer.block(open, "}", |printer| {
                printer.line(format!(
                    "return caller().{call}(id(), {def}.{constant}, request{argument});"
                ));
            });
        }
    }
}

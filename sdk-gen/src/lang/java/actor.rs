//! `XActor`: the class that an actor extends.

use super::{Unit, names, scope::Scope};
use crate::printer::{CommentStyle, Printer};

pub(super) fn print(unit: &Unit<'_>, scope: &mut Scope<'_>, printer: &mut Printer) {
    let class = unit.class("Actor");
    let def = unit.class("Def");
    let state = unit.state(scope);
    let actor = scope.sdk("Actor");
    let generic = unit.settings.state_type.is_none();
    let parameters = if generic { format!("<{state}>") } else { String::new() };
    unit.document_class(
        printer,
        "Extend this class, and offer yours to a host with its constructor.",
    );
    unit.suppress(scope, printer);
    let open = format!("public abstract class {class}{parameters} implements {actor}<{state}> {{");
    printer.block(open, "}", |printer| {
        if generic {
            constructor(&class, &state, scope, printer);
        }
        initial(generic, &state, printer);
        for method in &unit.service.methods {
            printer.blank();
            unit.document(method, printer, &[]);
            let context = scope.sdk(if method.is_read_only() { "ReadContext" } else { "Context" });
            let reply = scope.sdk("Reply");
            let exception = scope.lang("Exception");
            printer.line(format!(
                "protected abstract {reply}<{output}> {name}(",
                output = scope.message(&method.output),
                name = names::method(&method.name),
            ));
            printer.line(format!(
                "    {context}<{state}> context, {input} request) throws {exception};",
                input = scope.message(&method.input),
            ));
        }
        printer.blank();
        definition(generic, &class, &def, &state, scope, printer);
    });
}

fn constructor(class: &str, state: &str, scope: &mut Scope<'_>, printer: &mut Printer) {
    let type_class = scope.lang("Class");
    printer.line(format!("private final {type_class}<{state}> stateClass;")).blank();
    printer.comment(
        CommentStyle::JavaDoc,
        &["Keeps the state as JSON, because the proto names no message for it."],
    );
    let open = format!("protected {class}({type_class}<{state}> stateClass) {{");
    printer.block(open, "}", |printer| {
        printer.line("this.stateClass = stateClass;");
    });
    printer.blank();
}

fn initial(generic: bool, state: &str, printer: &mut Printer) {
    printer.comment(CommentStyle::JavaDoc, &["The state of an actor that has none yet."]);
    if generic {
        printer.line(format!("protected abstract {state} initial();"));
        return;
    }
    printer.block(format!("protected {state} initial() {{"), "}", |printer| {
        printer.line(format!("return {state}.getDefaultInstance();"));
    });
}

fn definition(
    generic: bool,
    class: &str,
    def: &str,
    state: &str,
    scope: &mut Scope<'_>,
    printer: &mut Printer,
) {
    let definition = scope.sdk("ActorDefinition");
    let (over, owner, value) = if generic {
        (
            scope.lang("Override"),
            format!("{class}<{state}>"),
            format!("{def}.definition(stateClass)"),
        )
    } else {
        (scope.lang("Override"), class.to_owned(), format!("{def}.DEFINITION"))
    };
    printer.line(format!("@{over}"));
    let open = format!("public final {definition}<{owner}, {state}> definition() {{");
    printer.block(open, "}", |printer| {
        printer.line(format!("return {value};"));
    });
}

//! `XDef`: the constants with which an actor type is registered and called.

use super::{Unit, names, scope::Scope};
use crate::{
    model::{ActorKind, Durability},
    printer::{CommentStyle, Printer},
};

pub(super) fn print(unit: &Unit<'_>, scope: &mut Scope<'_>, printer: &mut Printer) {
    let class = unit.class("Def");
    unit.document_class(printer, "What hosts and callers agree on: names, actions and settings.");
    unit.suppress(scope, printer);
    printer.block(format!("public final class {class} {{"), "}", |printer| {
        let string = scope.lang("String");
        printer.comment(CommentStyle::JavaDoc, &["The actor type's name."]);
        printer.line(format!(
            "public static final {string} TYPE = {};",
            literal(&unit.settings.type_name)
        ));
        printer.blank();
        printer.comment(CommentStyle::JavaDoc, &["The proto service's full name."]);
        printer.line(format!(
            "public static final {string} SERVICE = {};",
            literal(&unit.service.full_name)
        ));
        for method in &unit.service.methods {
            actions(unit, method, scope, printer);
        }
        printer.blank();
        definition(unit, scope, printer);
        printer.blank();
        printer.line(format!("private {class}() {{}}"));
    });
}

fn actions(
    unit: &Unit<'_>,
    method: &crate::model::Method,
    scope: &mut Scope<'_>,
    printer: &mut Printer,
) {
    let action = scope.sdk("Action");
    let (input, output) = (scope.message(&method.input), scope.message(&method.output));
    printer.blank();
    unit.document(method, printer, &[]);
    printer.line(format!(
        "public static final {action}<{input}, {output}> {} =",
        names::constant(&method.name)
    ));
    printer.indent(|printer| {
        printer.indent(|printer| {
            printer.line(format!("{action}.protobuf("));
            printer.line(format!(
                "    {}, {input}.getDefaultInstance(), {output}.getDefaultInstance());",
                literal(&method.name)
            ));
        });
    });
}

fn definition(unit: &Unit<'_>, scope: &mut Scope<'_>, printer: &mut Printer) {
    let actor = unit.class("Actor");
    let definition = scope.sdk("ActorDefinition");
    let codecs = scope.sdk("Codecs");
    let state = unit.state(scope);
    let steps = steps(unit, scope);
    if unit.settings.state_type.is_none() {
        let type_class = scope.lang("Class");
        printer.comment(CommentStyle::JavaDoc, &["The actor type, for a class of states."]);
        let open = format!(
            "public static <{state}> {definition}<{actor}<{state}>, {state}> definition({type_class}<{state}> stateClass) {{"
        );
        printer.block(open, "}", |printer| {
            printer.line(format!(
                "return {definition}.<{actor}<{state}>, {state}>builder(TYPE, {codecs}.json(stateClass))"
            ));
            printer.lines(steps.iter().map(|step| format!("    {step}")));
        });
        return;
    }
    printer.comment(CommentStyle::JavaDoc, &["The actor type."]);
    printer.line(format!("public static final {definition}<{actor}, {state}> DEFINITION ="));
    printer.line(format!("    {definition}.<{actor}, {state}>builder("));
    printer.line(format!("            TYPE, {codecs}.protobuf({state}.getDefaultInstance()))"));
    printer.lines(steps.iter().map(|step| format!("        {step}")));
}

/// The calls that fill the builder. What is the server's default is not said.
fn steps(unit: &Unit<'_>, scope: &mut Scope<'_>) -> Vec<String> {
    let actor = unit.class("Actor");
    let file = scope.class(&unit.file.java.package, &names::outer_class(unit.file));
    let settings = unit.settings;
    let mut steps = vec![
        format!(".service(SERVICE, {file}.getDescriptor())"),
        format!(".initial({actor}::initial)"),
    ];
    if settings.kind == ActorKind::Named {
        steps.push(format!(".kind({}.NAMED)", scope.sdk("Kind")));
    }
    if settings.kind == ActorKind::Pooled {
        steps.push(format!(".pooled({}, {})", settings.pool_min, settings.pool_max));
    }
    let durability = match settings.durability {
        _ if settings.kind == ActorKind::Pooled => None,
        Durability::Durable => None,
        Durability::Snapshot => Some("SNAPSHOT"),
        Durability::Volatile => Some("VOLATILE"),
    };
    if let Some(name) = durability {
        steps.push(format!(".durability({}.{name})", scope.sdk("Durability")));
    }
    for (name, milliseconds) in [
        ("idleTimeout", settings.idle_timeout_ms),
        ("snapshotInterval", settings.snapshot_interval_ms),
        ("turnTimeout", settings.turn_timeout_ms),
    ] {
        if milliseconds != 0 {
            let duration = scope.class("java.time", "Duration");
            steps.push(format!(".{name}({duration}.ofMillis({milliseconds}L))"));
        }
    }
    for (name, number) in [("mailboxLimit", settings.mailbox_limit), ("shards", settings.shards)] {
        if number != 0 {
            steps.push(format!(".{name}({number})"));
        }
    }
    if settings.speculation_off {
        steps.push(".speculationOff(true)".to_owned());
    }
    for method in &unit.service.methods {
        let add = if method.is_read_only() {
            "readOnly"
        } else if method.speculation_off {
            "committedAction"
        } else {
            "action"
        };
        steps.push(format!(
            ".{add}({}, {actor}::{})",
            names::constant(&method.name),
            names::method(&method.name)
        ));
    }
    steps.push(".build();".to_owned());
    steps
}

/// A string literal. Names of protos are ASCII, actor type names are any text.
fn literal(text: &str) -> String {
    let mut result = String::from("\"");
    for unit in text.encode_utf16() {
        match char::from_u32(u32::from(unit)) {
            Some(c @ ('"' | '\\')) => {
                result.push('\\');
                result.push(c);
            }
            Some(c @ ' '..='~') => result.push(c),
            _ => result.push_str(&format!("\\u{unit:04x}")),
        }
    }
    result + "\""
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn string_literals_are_ascii() {
        assert_eq!(literal("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(literal("é𝄞"), r#""\u00e9\ud834\udd1e""#);
    }
}

//! `XMethods`: the gRPC method descriptors of a plain service.

use super::{names, scope::Scope, source};
use crate::{
    lang::OutputFile,
    model::{File, Method, Model, Service},
    printer::{CommentStyle, Printer},
};

/// The file for a service; none if it has no methods.
pub(super) fn file(model: &Model, file: &File, service: &Service) -> Option<OutputFile> {
    if service.methods.is_empty() {
        return None;
    }
    let class = format!("{}Methods", service.name);
    let mut scope = Scope::new(model, file);
    let mut printer = Printer::new("  ");
    let mut lines = service.comments.lines();
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push("The methods, as gRPC wants them described.".to_owned());
    printer.comment(CommentStyle::JavaDoc, &lines);
    if deprecated(model, service) {
        let annotation = scope.lang("SuppressWarnings");
        printer.line(format!("@{annotation}(\"deprecation\")"));
    }
    printer.block(format!("public final class {class} {{"), "}", |printer| {
        for method in &service.methods {
            descriptor(service, method, &mut scope, printer);
            printer.blank();
        }
        printer.line(format!("private {class}() {{}}"));
    });
    Some(source(file, &class, &scope, &printer))
}

fn deprecated(model: &Model, service: &Service) -> bool {
    service
        .methods
        .iter()
        .flat_map(|method| [&method.input, &method.output])
        .any(|name| names::is_deprecated(model, name))
}

fn descriptor(service: &Service, method: &Method, scope: &mut Scope<'_>, printer: &mut Printer) {
    let descriptor = scope.class("io.grpc", "MethodDescriptor");
    let utils = scope.class("io.grpc.protobuf", "ProtoUtils");
    let (input, output) = (scope.message(&method.input), scope.message(&method.output));
    let kind = match (method.client_streaming, method.server_streaming) {
        (false, false) => "UNARY",
        (true, false) => "CLIENT_STREAMING",
        (false, true) => "SERVER_STREAMING",
        (true, true) => "BIDI_STREAMING",
    };
    let mut lines = method.comments.lines();
    if lines.is_empty() {
        lines.push(format!("Method {}.", method.name));
    }
    printer.comment(CommentStyle::JavaDoc, &lines);
    printer.line(format!(
        "public static final {descriptor}<{input}, {output}> {} =",
        crate::names::screaming(&method.name)
    ));
    printer.lines([
        format!("    {descriptor}.<{input}, {output}>newBuilder()"),
        format!("        .setType({descriptor}.MethodType.{kind})"),
        format!("        .setFullMethodName(\"{}/{}\")", service.full_name, method.name),
        format!("        .setRequestMarshaller({utils}.marshaller({input}.getDefaultInstance()))"),
        format!(
            "        .setResponseMarshaller({utils}.marshaller({output}.getDefaultInstance()))"
        ),
        "        .build();".to_owned(),
    ]);
}

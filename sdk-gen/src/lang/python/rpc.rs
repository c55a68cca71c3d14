//! `_rpc.py`: the methods of plain gRPC services, with their paths and types.

use super::{Language, Python, begin, doc, escaped, literal, modules};
use crate::{
    imports::Imports,
    model::{File, Model, Service, ServiceKind},
    names,
    printer::Printer,
};

/// True if the file has a service that is no actor.
pub(super) fn has_plain(file: &File) -> bool {
    file.services.iter().any(|service| service.kind == ServiceKind::Plain)
}

pub(super) fn print(file: &File, model: &Model) -> String {
    let services: Vec<&Service> =
        file.services.iter().filter(|service| service.kind == ServiceKind::Plain).collect();
    let mut imports = Imports::new();
    for service in &services {
        imports.reserve(escaped(&service.name));
    }
    let mut body = Printer::new("    ");
    for service in services {
        body.blanks(2);
        print_service(&mut body, &mut imports, file, model, service);
    }
    let mut p = begin(file, &format!("Methods of the services of {}.", file.path));
    p.line("# ruff: noqa").blank();
    p.line("from __future__ import annotations").blank();
    modules::print_imports(&mut p, &imports, |_| true);
    p.blanks(2).append(&body);
    p.finish()
}

fn print_service(
    p: &mut Printer,
    imports: &mut Imports,
    file: &File,
    model: &Model,
    service: &Service,
) {
    p.line(format!("class {}:", escaped(&service.name)));
    p.indent(|p| {
        doc(
            p,
            &service.comments,
            service.deprecated,
            &format!("Methods of {}.", service.full_name),
        );
        for method in &service.methods {
            let input = class_of(imports, file, model, &method.input);
            let output = class_of(imports, file, model, &method.output);
            let rpc = imports.value("callboard.rpc", "Rpc", "_");
            let path = literal(&format!("/{}/{}", service.full_name, method.name));
            p.line(format!(
                "{} = {rpc}({path}, {input}, {output})",
                escaped(&names::screaming(&method.name))
            ));
            doc(p, &method.comments, method.deprecated, "");
        }
    });
}

fn class_of(imports: &mut Imports, file: &File, model: &Model, full_name: &str) -> String {
    let Some((message, home)) = model.message(full_name).zip(model.file_of(full_name)) else {
        return full_name.to_owned();
    };
    let module = modules::import(file, home, "pb2").qualified();
    let path = Python.type_name(&message.outer, &message.name);
    match path.split_once('.') {
        None => imports.value(&module, &path, "_"),
        Some((first, rest)) => format!("{}.{rest}", imports.value(&module, first, "_")),
    }
}

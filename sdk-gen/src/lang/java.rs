//! Java: clients, actor classes and definitions over the messages that protoc generates.
//!
//! Each class is a file of its own, as Java wants it. Messages are protoc's; the `messages` layer only adds the gRPC
//! method descriptors of plain services, on which the SDK is built.

mod actor;
mod client;
mod definition;
mod methods;
mod names;
mod scope;

use super::{Language, Options, OutputFile, header};
use crate::{
    error::{Diagnostic, Error},
    model::{ActorSettings, File, Method, Model, Service, ServiceKind},
    printer::Printer,
};
use scope::Scope;

/// What the classes of an actor service are called, behind the service's name.
const SUFFIXES: [&str; 4] = ["Client", "Ref", "Actor", "Def"];

/// The Java back end.
#[derive(Debug, Clone, Copy)]
pub struct Java;

impl Language for Java {
    fn name(&self) -> &'static str {
        "java"
    }

    fn action_name(&self, rpc: &str) -> String {
        names::method(rpc)
    }

    fn taken_actions(&self) -> &'static [(&'static str, &'static str)] {
        // The base classes only have methods without parameters, and an action always has one: it overloads them.
        &[]
    }

    fn field_name(&self, field: &str) -> String {
        crate::names::proto_camel(field)
    }

    fn type_name(&self, outer: &[String], name: &str) -> String {
        outer.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    fn service_names(&self, service: &str) -> Vec<String> {
        SUFFIXES.map(|suffix| format!("{service}{suffix}")).to_vec()
    }

    fn generate(&self, model: &Model, options: &Options) -> Result<Vec<OutputFile>, Error> {
        let mut files = Vec::new();
        let mut faults = Vec::new();
        for file in model.targets() {
            for service in &file.services {
                match &service.kind {
                    ServiceKind::Actor(settings) if options.layer.has_actors() => {
                        check_futures(service, &mut faults);
                        let unit = Unit { model, file, service, settings };
                        files.extend(unit.files());
                    }
                    ServiceKind::Plain if options.layer.has_messages() => {
                        files.extend(methods::file(model, file, service));
                    }
                    _ => {}
                }
            }
        }
        Error::from_faults(faults)?;
        Ok(files)
    }
}

/// `addAsync` of rpc `Add` and the method of an rpc `AddAsync` are the same if they take the same request.
fn check_futures(service: &Service, faults: &mut Vec<Diagnostic>) {
    for method in &service.methods {
        let clash = service.methods.iter().find(|other| {
            names::method(&other.name) == format!("{}Async", names::method(&method.name))
                && other.input == method.input
        });
        if let Some(other) = clash {
            faults.push(Diagnostic::new(
                &other.position,
                format!(
                    "rpc {} and the future of rpc {} would both be called {}({}) in java",
                    other.name,
                    method.name,
                    names::method(&other.name),
                    other.input
                ),
                "rename one of them, or give them different requests",
            ));
        }
    }
}

/// One actor service on its way to Java.
#[derive(Debug, Clone, Copy)]
struct Unit<'a> {
    model: &'a Model,
    file: &'a File,
    service: &'a Service,
    settings: &'a ActorSettings,
}

impl Unit<'_> {
    fn files(&self) -> Vec<OutputFile> {
        vec![
            self.output("Actor", actor::print),
            self.output("Def", definition::print),
            self.output("Client", client::print_client),
            self.output("Ref", client::print_ref),
        ]
    }

    fn output(
        &self,
        suffix: &str,
        body: fn(&Unit<'_>, &mut Scope<'_>, &mut Printer),
    ) -> OutputFile {
        let mut scope = Scope::new(self.model, self.file);
        let mut printer = Printer::new("  ");
        body(self, &mut scope, &mut printer);
        source(self.file, &self.class(suffix), &scope, &printer)
    }

    fn class(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.service.name)
    }

    /// What suppresses the compiler's reports about classes that the proto itself calls deprecated.
    fn suppress(&self, scope: &mut Scope<'_>, printer: &mut Printer) {
        let state = self.settings.state_type.iter();
        let deprecated = state
            .chain(self.service.methods.iter().flat_map(|m| [&m.input, &m.output]))
            .any(|name| names::is_deprecated(self.model, name));
        if deprecated {
            let annotation = scope.lang("SuppressWarnings");
            printer.line(format!("@{annotation}(\"deprecation\")"));
        }
    }

    /// The class of the state, or the type variable that stands for it.
    fn state(&self, scope: &mut Scope<'_>) -> String {
        match &self.settings.state_type {
            Some(name) => scope.message(name),
            None => scope.free("S"),
        }
    }

    /// The lines that document an action, with more lines behind them.
    fn document(&self, method: &Method, printer: &mut Printer, more: &[&str]) {
        let mut lines = method.comments.lines();
        if lines.is_empty() {
            lines.push(format!("Action {}.", method.name));
        }
        if method.deprecated {
            lines.extend([String::new(), "Deprecated by its proto file.".to_owned()]);
        }
        if !more.is_empty() {
            lines.push(String::new());
            lines.extend(more.iter().map(|line| (*line).to_owned()));
        }
        printer.comment(crate::printer::CommentStyle::JavaDoc, &lines);
    }

    /// The lines that document a class.
    fn document_class(&self, printer: &mut Printer, what: &str) {
        let mut lines = self.service.comments.lines();
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(what.to_owned());
        printer.comment(crate::printer::CommentStyle::JavaDoc, &lines);
    }
}

/// A source file around a class.
fn source(file: &File, class: &str, scope: &Scope<'_>, body: &Printer) -> OutputFile {
    let package = &file.java.package;
    let mut printer = Printer::new("  ");
    printer.lines(header(&file.path).map(|line| format!("// {line}")));
    printer.blank();
    if !package.is_empty() {
        printer.line(format!("package {package};")).blank();
    }
    printer.lines(scope.imports()).blank().append(body);
    let folder = package.replace('.', "/");
    let path =
        if folder.is_empty() { format!("{class}.java") } else { format!("{folder}/{class}.java") };
    OutputFile { path, content: printer.finish() }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::frontend::sources;

    fn generate(body: &str) -> Result<Vec<OutputFile>, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "syntax = \"proto3\"; package t; import \"callboard/options/v1/options.proto\";\n{body}"
        );
        fs::write(folder.path().join("t.proto"), text).expect("writable");
        let model = sources::compile(&[PathBuf::from("t.proto")], &[folder.path().to_owned()])?;
        crate::generate(&model, &Java, &Options::default())
    }

    #[test]
    fn a_future_and_an_action_of_the_same_signature_are_refused_with_their_place() {
        let body = "message M {} message N {}
service A { option (callboard.options.v1.actor) = {};
  rpc Add(M) returns (M);
  rpc AddAsync(M) returns (M);
}";
        let error = generate(body).expect_err("must be refused").to_string();
        assert!(error.starts_with("t.proto:5:3: rpc AddAsync"), "{error}");
        assert!(generate(&body.replace("AddAsync(M)", "AddAsync(N)")).is_ok());
    }

    #[test]
    fn a_message_that_has_the_name_of_the_type_variable_keeps_it() {
        let body = "option java_multiple_files = true; message S {}
service A { option (callboard.options.v1.actor) = {};
  rpc Put(S) returns (S);
}";
        let files = generate(body).expect("no fault");
        let actor = files.iter().find(|file| file.path == "t/AActor.java");
        let text = &actor.expect("an actor class").content;
        assert!(text.contains("class AActor<S_> implements Actor<S_>"), "{text}");
        assert!(text.contains("Context<S_> context, S request"), "{text}");
    }
}

//! TypeScript: messages in the form of protobuf-es, clients, actor classes and definitions.
//!
//! `acme/v1/shop.proto` becomes `acme/v1/shop_pb.ts` (messages, enums, services as descriptors: what protoc-gen-es of
//! protobuf-es v2 writes, so that either may be used with the other layer) and, if it has actor services,
//! `acme/v1/shop_actor.ts`. Only syntax that can be erased is printed: no `enum`, no parameter properties.

mod actors;
mod messages;
mod naming;

use super::{Language, Options, OutputFile, Parameter, header};
use crate::{
    error::Error,
    imports::Imports,
    model::{File, Model},
    names,
    printer::{CommentStyle, Printer},
};

/// The package with the SDK.
const SDK: &str = "@callboard/sdk";
/// The package with the protobuf runtime.
const PROTOBUF: &str = "@bufbuild/protobuf";
/// Put between an imported name that is taken and its number.
const SEPARATOR: &str = "$";

/// The TypeScript back end.
#[derive(Debug, Clone, Copy)]
pub struct TypeScript;

impl Language for TypeScript {
    fn name(&self) -> &'static str {
        "typescript"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter {
            name: "import_extension",
            values: &["js", "ts", "none"],
            help: "how imports of generated files end; ts is for type stripping (default: js)",
        }]
    }

    fn action_name(&self, rpc: &str) -> String {
        naming::property(&names::camel(rpc))
    }

    fn taken_actions(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("initial", "the method that makes an actor's first state"),
            ("then", "what JavaScript calls to wait for a promise"),
        ]
    }

    fn field_name(&self, field: &str) -> String {
        naming::property(&names::proto_camel(field))
    }

    fn type_name(&self, outer: &[String], name: &str) -> String {
        naming::type_name(outer, name)
    }

    fn service_names(&self, service: &str) -> Vec<String> {
        ["Client", "Ref", "Actor", "Def", "Ctx", "ReadCtx"]
            .map(|suffix| format!("{service}{suffix}"))
            .to_vec()
    }

    fn generate(&self, model: &Model, options: &Options) -> Result<Vec<OutputFile>, Error> {
        let extension = match options.get("import_extension", "js") {
            "none" => String::new(),
            other => format!(".{other}"),
        };
        let modules = Modules { extension };
        let mut outputs = Vec::new();
        for file in model.targets() {
            if options.layer.has_messages() {
                outputs.push(messages::print(model, &modules, file));
            }
            if options.layer.has_actors() && file.actors().next().is_some() {
                outputs.push(actors::print(model, &modules, file));
            }
        }
        Ok(outputs)
    }
}

/// Knows where the code of each proto file is imported from.
struct Modules {
    /// With its dot, or empty.
    extension: String,
}

impl Modules {
    /// The module with the messages of `file`, seen from the output of `from`.
    fn messages(&self, from: &File, file: &File) -> String {
        if !file.generate && file.is_well_known() {
            return format!("{PROTOBUF}/wkt");
        }
        if !file.generate && file.is_callboard() {
            return format!("{SDK}/gen/{}_pb.js", file.stem());
        }
        let path = names::relative_path(from.stem(), &format!("{}_pb", file.stem()));
        path + &self.extension
    }
}

/// Puts header, import lines and body together.
fn assemble(file: &File, suffix: &str, imports: &Imports, body: &Printer) -> OutputFile {
    let mut out = Printer::new("  ");
    out.comment(CommentStyle::Slashes, &header(&file.path));
    out.blank();
    for (module, symbols) in imports.modules() {
        for type_only in [true, false] {
            let names: Vec<String> = symbols
                .iter()
                .filter(|symbol| symbol.type_only == type_only)
                .map(|symbol| match symbol.local == symbol.symbol {
                    true => symbol.symbol.to_owned(),
                    false => format!("{} as {}", symbol.symbol, symbol.local),
                })
                .collect();
            if !names.is_empty() {
                let keyword = if type_only { "import type" } else { "import" };
                out.line(format!("{keyword} {{ {} }} from \"{module}\";", names.join(", ")));
            }
        }
    }
    out.blank().append(body);
    OutputFile { path: format!("{}{suffix}.ts", file.stem()), content: out.finish() }
}

/// A string literal.
fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        match character {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            other => literal.push(other),
        }
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests;

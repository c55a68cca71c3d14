//! `callboard gen`: the arguments, and what happens with them. The command line mounts both.

use std::path::PathBuf;

use clap::Args;

use crate::{
    error::Error,
    frontend::{descriptor_set, sources},
    lang::{Layer, Options, language},
    output::{self, Report},
};

/// Generates typed clients, actor classes and registration constants from proto files.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: callboard gen --lang typescript -I proto --out src/gen proto/acme/v1/counter.proto"
)]
pub struct GenArgs {
    /// Language of the output: typescript (ts), python (py) or java.
    #[arg(long, value_name = "NAME")]
    pub lang: String,
    /// Folder to write to. Files that an earlier run wrote there and this one does not are removed.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folder that import paths start from. May be given several times; the default is the current folder.
    #[arg(long = "include", short = 'I', value_name = "DIR")]
    pub include: Vec<PathBuf>,
    /// Part of the output: messages, actor or all.
    #[arg(long, value_name = "LAYER", default_value = "all")]
    pub layer: String,
    /// Option of the language as NAME=VALUE. May be given several times.
    #[arg(long = "plugin-opt", value_name = "NAME=VALUE")]
    pub plugin_opt: Vec<String>,
    /// Read this serialised FileDescriptorSet instead of proto files; PROTO then names files in it.
    #[arg(long, value_name = "FILE", conflicts_with = "include")]
    pub descriptor_set: Option<PathBuf>,
    /// Write nothing; fail and list the differences if the folder is not up to date.
    #[arg(long)]
    pub check: bool,
    /// Proto files to generate, or folders whose proto files are all meant.
    #[arg(value_name = "PROTO", required_unless_present = "descriptor_set")]
    pub protos: Vec<PathBuf>,
}

/// Generates as the arguments say. Prints nothing: the report is for the caller to show.
///
/// # Errors
/// Any [`Error`]; with [`Error::Drift`] only under `--check`.
pub fn run(args: &GenArgs) -> Result<Report, Error> {
    let language = language(&args.lang)?;
    let layer: Layer = args.layer.parse()?;
    let mut options = Options { layer, ..Options::default() };
    for option in &args.plugin_opt {
        let (name, value) = option.split_once('=').ok_or_else(|| {
            Error::Usage(format!("--plugin-opt {option}: write it as NAME=VALUE"))
        })?;
        options.parameters.insert(name.to_owned(), value.to_owned());
    }
    options.check(language)?;
    let model = match &args.descriptor_set {
        None => sources::compile(&args.protos, &args.include)?,
        Some(set) => {
            let targets: Vec<String> =
                args.protos.iter().map(|path| path.to_string_lossy().into_owned()).collect();
            descriptor_set::read(set, &targets)?
        }
    };
    let files = crate::generate(&model, language, &options)?;
    let kind = format!("{}/{layer}", language.name());
    if args.check {
        output::check(&args.out, &kind, &files)
    } else {
        output::write(&args.out, &kind, &files)
    }
}

//! `callboard completions SHELL`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{Cli, args::Global, failure::Failure};

/// Which script to print.
#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that will read the script
    #[arg(value_enum)]
    shell: Shell,
}

// === impl CompletionsArgs ===

impl CompletionsArgs {
    /// Prints the script on stdout.
    pub(super) fn run(self, global: &Global) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "callboard", &mut script);
        global.printer().text(&String::from_utf8_lossy(&script))?;
        Ok(())
    }
}

//! The one binary of Callboard: the node (`dev`, `serve`), the code generator (`gen`) and the client commands.
//!
//! The client commands know nothing that an API does not offer: they speak `callboard.gateway.v1`,
//! `callboard.control.v1` and `grpc.health.v1`. Data goes to stdout, talk to stderr, and the exit code says what kind
//! of failure it was (see `failure`).

mod actor_ref;
mod args;
mod commands;
mod connection;
mod failure;
mod output;
mod payload;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Global, commands::Command, failure::Exit};

/// The system allocator costs a tenth and more of a node's throughput in small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Durable virtual actors in any language
///
/// Callboard runs actors written in TypeScript, Python and Java: it owns where each actor lives, its mailbox, its
/// durable state and the calls to it.
///
/// Exit codes: 0 ok, 1 other, 2 usage, 3 not found, 4 unavailable, 5 deadline exceeded, 6 conflict or precondition,
/// 7 denied, 8 the actor's own code returned an error, 130 interrupted.
#[derive(Parser)]
#[command(name = "callboard", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    // With huge pages a node that does nothing takes 30 MiB more, for pages that it touches here and there. A kernel
    // that refuses only costs that memory.
    let _ = nix::sys::prctl::set_thp_disable(true);
    let Cli { global, command } = Cli::parse();
    match command.run(&global) {
        Ok(code) => code,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.exit() != Exit::Interrupted {
                failure.report(global.output, global.color.on_stderr());
            }
            ExitCode::from(failure.exit() as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_is_explained() {
        fn check(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} has no help");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{path} {} has no help", argument.get_id());
            }
            for sub in command.get_subcommands() {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        check(&Cli::command(), "callboard");
    }
}

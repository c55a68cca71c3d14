//! Measures Callboard: `callboard-bench run` starts a node, a bench host and a load generator as separate processes
//! on loopback, and prints one table of what the issue of speed asks for beside what was measured.
//!
//! # Layout
//!
//! - [`driver`] starts and stops the processes of each row and prints the table;
//! - [`load`] is the generator, [`host`] the bench host, [`echo`] the baseline, [`router`] a router without actors,
//!   [`store`] the state store alone: each is a subcommand of its own, so that the driver can start it as a process;
//! - [`measure`] and [`wire`] hold what several of them share.

mod cli;
mod driver;
mod echo;
mod error;
mod host;
mod load;
mod measure;
mod payload;
mod router;
mod store;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Args, Command},
    error::Error,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match dispatch(Args::parse().command) {
        Ok(code) => code,
        Err(error) => {
            measure::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Runs one subcommand, all but the baseline on a current-thread runtime: on few cores one thread per process beats a
/// shared pool, and the processes of a row share the machine anyway.
fn dispatch(command: Command) -> Result<ExitCode, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Run(args) => runtime.block_on(driver::run(&args)),
        Command::EchoServer(args) => {
            // The baseline is what a bare tonic server is: on tokio's default runtime.
            let runtime = if args.one_thread { runtime } else { tokio::runtime::Runtime::new()? };
            serve(runtime, echo::serve(&args.listen), args.listen.until_stdin_closes)
        }
        Command::Router(args) => serve(runtime, router::serve(&args), args.until_stdin_closes),
        Command::Host(args) => serve(runtime, host::run(&args), args.until_stdin_closes),
        Command::Load(args) => {
            let report = runtime.block_on(load::run(&args))?;
            measure::emit(&measure::Event::Done(Box::new(report)))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Store(args) => {
            let report = runtime.block_on(store::run(&args))?;
            measure::emit(&measure::Event::Done(Box::new(report)))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs a server until it ends, or until its standard input closes, which is how it learns that the driver is gone.
fn serve(
    runtime: tokio::runtime::Runtime,
    server: impl Future<Output = Result<(), Error>>,
    until_stdin_closes: bool,
) -> Result<ExitCode, Error> {
    runtime.block_on(async {
        tokio::select! {
            ended = server => ended?,
            () = measure::stdin_closed(), if until_stdin_closes => {}
        }
        Ok::<(), Error>(())
    })?;
    // A read of standard input cannot be cancelled, and would keep the process alive.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

//! The command tree: which commands there are, and who runs them. One file per noun and verb.

mod actors;
mod backup;
mod cluster;
mod completions;
mod config;
mod dead_letters;
mod dev;
mod generate;
mod health;
mod hosts;
mod invoke;
mod node;
mod publish;
mod restore;
mod schedule;
mod serve;
mod state;
mod subscribe;
mod systems;
mod types;
mod version;

use std::{future::Future, process::ExitCode};

use callboard_sdk_gen::cli::GenArgs;
use clap::Subcommand;

use crate::{
    args::Global,
    failure::{Exit, Failure},
};

/// What can be asked of the binary.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a node for development: on loopback, with its data in a folder
    Dev(dev::DevArgs),
    /// Run a node as a service
    Serve(serve::ServeArgs),
    /// Call an action of an actor
    Invoke(invoke::InvokeArgs),
    /// Say something on a channel
    Publish(publish::PublishArgs),
    /// Hear what is said on channels
    Subscribe(subscribe::SubscribeArgs),
    /// Look at actors, and save, delete or restore them
    #[command(subcommand, alias = "actor")]
    Actors(actors::ActorsCommand),
    /// Have actions called by the clock
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Look at effects that could not be delivered, and retry or drop them
    #[command(subcommand, alias = "dead-letter")]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// Look at the state of actors
    #[command(subcommand)]
    State(state::StateCommand),
    /// Look at the actor types that hosts registered
    #[command(subcommand)]
    Types(types::TypesCommand),
    /// Look at systems, the groups that actors belong to
    #[command(subcommand)]
    Systems(systems::SystemsCommand),
    /// Look at the host processes that are connected
    #[command(subcommand)]
    Hosts(hosts::HostsCommand),
    /// Look at the cluster, and change who belongs to it
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Write down what the cluster agreed on, for `restore`
    Backup(backup::BackupArgs),
    /// Begin a lost cluster anew from a backup and its state store
    Restore(restore::RestoreArgs),
    /// Ask whether a node serves
    Health(health::HealthArgs),
    /// Generate typed clients and actor classes from proto files
    // -o means the output format in every command, so the folder has only its long name here.
    #[command(name = "gen", mut_arg("out", |out| out.short(None)))]
    Generate(GenArgs),
    /// Look at a node's settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Print the versions of this binary and of the protocol
    Version,
}

// === impl Command ===

impl Command {
    /// Runs the command to its end. Only a command that runs another one has an exit code of its own.
    pub(crate) fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        match self {
            Self::Dev(args) => return args.run(global),
            Self::Serve(args) => return args.run(global),
            Self::Invoke(args) => client(args.run(global)),
            Self::Publish(args) => client(args.run(global)),
            Self::Subscribe(args) => client(args.run(global)),
            Self::Actors(command) => client(command.run(global)),
            Self::Schedule(command) => client(command.run(global)),
            Self::DeadLetters(command) => client(command.run(global)),
            Self::State(command) => client(command.run(global)),
            Self::Types(command) => client(command.run(global)),
            Self::Systems(command) => client(command.run(global)),
            Self::Hosts(command) => client(command.run(global)),
            Self::Cluster(command) => return command.run(global),
            Self::Backup(args) => client(args.run(global)),
            Self::Restore(args) => args.run(global),
            Self::Health(args) => client(args.run(global)),
            Self::Generate(args) => generate::run(&args, global),
            Self::Config(command) => command.run(global),
            Self::Completions(args) => args.run(global),
            Self::Version => version::run(global),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs a client command on a runtime of its own, until it ends or the user interrupts it.
fn client(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            // First, so that the signal is caught before the command does anything.
            biased;
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                Err(Failure::new(Exit::Interrupted, "INTERRUPTED", "interrupted"))
            }
            result = command => result,
        }
    })
}

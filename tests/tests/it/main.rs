//! Tests of the whole: each module tells the stories of one surface, over the real binary and real processes.

mod bad_input;
mod channels;
mod cli;
mod cli_actors;
mod cli_node;
mod cluster;
mod dead_letters;
mod firing;
mod forward;
mod host;
mod invoke;
mod node;
mod pools;
mod readme;
mod sessions;
mod shell;
mod tidy;
mod tools;
mod trouble;
mod workflow;

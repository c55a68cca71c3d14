//! The compiler plugin for protoc and buf: `protoc --callboard_out=DIR --callboard_opt=lang=python FILE.proto`.

use std::{
    io::{self, IsTerminal, Read, Write},
    process::ExitCode,
};

use callboard_sdk_gen::frontend::plugin;

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let mut problems = io::stderr().lock();
    if std::env::args().any(|argument| argument == "--version") {
        let done = writeln!(out, "protoc-gen-callboard {}", env!("CARGO_PKG_VERSION"));
        return if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if io::stdin().is_terminal() {
        let text = "protoc-gen-callboard is run by protoc or buf; by hand, use: callboard gen";
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(problems, "{text}");
        return ExitCode::from(2);
    }
    let mut request = Vec::new();
    let done = io::stdin()
        .lock()
        .read_to_end(&mut request)
        .map_err(|error| error.to_string())
        .and_then(|_| plugin::answer(&request).map_err(|error| error.to_string()))
        .and_then(|response| out.write_all(&response).map_err(|error| error.to_string()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(problems, "protoc-gen-callboard: {error}");
            ExitCode::FAILURE
        }
    }
}

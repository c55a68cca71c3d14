//! The real binary as tests use it: where it is, and a node of one's own.

use std::{
    env,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output},
    sync::OnceLock,
};

use crate::tidy::root;

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    let own = env::current_exe().expect("a test knows where it runs");
    let folder = own
        .ancestors()
        .nth(3)
        .expect("a test lies in target/PROFILE/deps");
    folder.to_owned()
}

/// The `callboard` binary, made from the present sources.
pub(crate) fn callboard() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            // The same selection as `cargo test --workspace`, so that nothing is compiled twice with other features.
            // Selecting the command line's own tests makes the binary, too.
            let arguments = [
                "test",
                "--workspace",
                "--no-run",
                "--quiet",
                "--test",
                "command_line",
            ];
            succeeds(
                Command::new(env!("CARGO"))
                    .args(arguments)
                    .current_dir(root()),
            );
            target().join("debug/callboard")
        })
        .clone()
}

/// The `grpcurl` program.
pub(crate) fn grpcurl() -> PathBuf {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED
        .get_or_init(|| {
            let mut install = Command::new("tests/scripts/tools.sh");
            let output = succeeds(install.arg("grpcurl").current_dir(root()));
            PathBuf::from(
                String::from_utf8(output.stdout)
                    .expect("a path is text")
                    .trim(),
            )
        })
        .clone()
}

/// A port where nobody listens now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port exists");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// Runs a program that must succeed.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

//! `callboard-conformance --lang NAME [--only TEXT] -- COMMAND...`: plays the SDK conformance suite against a program.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use callboard_tests::conformance;

const USAGE: &str = "usage: callboard-conformance --lang NAME [--only TEXT] -- COMMAND...
       callboard-conformance --list";

struct Arguments {
    lang: String,
    only: String,
    command: Vec<String>,
}

fn parse(arguments: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = arguments.peekable();
    let (mut lang, mut only) = (None, String::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--lang" => lang = Some(arguments.next()?),
            "--only" => only = arguments.next()?,
            "--" => {
                let command: Vec<String> = arguments.collect();
                return (!command.is_empty()).then_some(Arguments { lang: lang?, only, command });
            }
            _ => return None,
        }
    }
    None
}

#[tokio::main]
async fn main() -> ExitCode {
    let say = |text: &str| {
        // A closed pipe is no reason to fail a scenario.
        let _ = writeln!(io::stdout().lock(), "{text}");
    };
    if std::env::args().nth(1).as_deref() == Some("--list") {
        for scenario in conformance::all() {
            say(&format!("{}: {}", scenario.group, scenario.name));
        }
        return ExitCode::SUCCESS;
    }
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        let _ = writeln!(io::stderr().lock(), "{USAGE}");
        return ExitCode::from(2);
    };
    say(&format!("conformance of the {} SDK", arguments.lang));
    match conformance::run(&arguments.command, &arguments.only, say).await {
        Ok(summary) => {
            say(&summary.to_string());
            if summary.failed == 0 && summary.passed > 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(failure) => {
            let _ = writeln!(io::stderr().lock(), "{failure}");
            ExitCode::FAILURE
        }
    }
}

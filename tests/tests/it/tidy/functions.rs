//! Functions: their length and their names.

use super::{Source, report, rust};

/// Lines of one function. 70 is the aim; the rest is room for a `match` that is longer than it is complicated.
const FUNCTION_LINES_MAX: usize = 90;

/// Lines of one test, which may tell a whole story.
const TEST_LINES_MAX: usize = 120;

/// A function as it stands in a file.
struct Function<'a> {
    name: &'a str,
    begins: usize,
    lines: usize,
    is_test: bool,
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut violations = Vec::new();
    for source in rust() {
        for function in functions(source) {
            let limit = if function.is_test { TEST_LINES_MAX } else { FUNCTION_LINES_MAX };
            if function.lines > limit {
                violations.push(format!(
                    "{}:{} {} has {} lines",
                    source.path, function.begins, function.name, function.lines
                ));
            }
        }
    }
    report(&format!("a function has at most {FUNCTION_LINES_MAX} lines"), &violations);
}

#[test]
fn tests_are_named_by_sentences() {
    let violations: Vec<_> = rust()
        .flat_map(|source| functions(source).into_iter().map(move |function| (source, function)))
        .filter(|(_, function)| function.is_test && function.name.starts_with("test_"))
        .map(|(source, function)| format!("{}:{}", source.path, function.begins))
        .collect();
    report("a test's name says what holds, without test_", &violations);
}

/// The functions of a file. rustfmt puts the closing brace of a body at the indentation of its `fn`.
fn functions(source: &Source) -> Vec<Function<'_>> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut functions = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indentation = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indentation));
        let body = &lines[index..];
        let length = body.iter().position(|line| *line == closing).map(|position| position + 1);
        let is_test = lines[..index]
            .iter()
            .rev()
            .take_while(|line| !line.trim().is_empty() && !line.trim().starts_with('}'))
            .any(|line| line.trim().starts_with("#[test]") || line.contains("::test"));
        // A declaration without a body ends in a semicolon before any brace closes at its indentation.
        let declaration = body.iter().find(|line| line.ends_with([';', '{', '}']));
        let has_body = declaration.is_some_and(|line| !line.ends_with(';'));
        if let (Some(lines), true) = (length, has_body) {
            functions.push(Function { name, begins: index + 1, lines, is_test });
        }
    }
    functions
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for prefix in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

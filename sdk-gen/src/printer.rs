//! Writes indented text. The one way in which back ends make output, so that indentation, blank lines and comment markers
//! are right by construction.

use crate::model::Comments;

/// How a language writes comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentStyle {
    /// `/** … */` with ` * ` in front of each line: TypeScript.
    JsDoc,
    /// The same with what HTML needs escaped: Java.
    JavaDoc,
    /// `# ` in front of each line: Python comments.
    Hash,
    /// `"""…"""`: Python documentation.
    DocString,
    /// `// ` in front of each line.
    Slashes,
}

/// Indented text in the making.
#[derive(Debug, Clone)]
pub struct Printer {
    text: String,
    unit: &'static str,
    depth: usize,
}

impl Printer {
    /// An empty text whose levels are indented by `unit`.
    pub fn new(unit: &'static str) -> Self {
        Printer { text: String::new(), unit, depth: 0 }
    }

    /// One line, or several if `text` contains line ends, each at the current indentation. Empty lines stay empty.
    pub fn line(&mut self, text: impl AsRef<str>) -> &mut Self {
        for line in text.as_ref().split('\n') {
            let line = line.trim_end();
            if !line.is_empty() {
                self.text.extend(std::iter::repeat_n(self.unit, self.depth));
                self.text.push_str(line);
            }
            self.text.push('\n');
        }
        self
    }

    /// Several lines.
    pub fn lines(&mut self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> &mut Self {
        for line in lines {
            self.line(line);
        }
        self
    }

    /// An empty line, unless there is one already or the text is empty.
    pub fn blank(&mut self) -> &mut Self {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
        self
    }

    /// `count` empty lines exactly, whatever is there already. Python wants two between top-level declarations.
    pub fn blanks(&mut self, count: usize) -> &mut Self {
        while self.text.ends_with("\n\n") {
            self.text.pop();
        }
        if !self.text.is_empty() {
            self.text.extend(std::iter::repeat_n('\n', count));
        }
        self
    }

    /// What `body` prints, one level deeper.
    pub fn indent(&mut self, body: impl FnOnce(&mut Printer)) -> &mut Self {
        self.depth += 1;
        body(self);
        self.depth -= 1;
        self
    }

    /// `open`, what `body` prints one level deeper, and `close` unless it is empty.
    pub fn block(
        &mut self,
        open: impl AsRef<str>,
        close: &str,
        body: impl FnOnce(&mut Printer),
    ) -> &mut Self {
        self.line(open).indent(body);
        if !close.is_empty() {
            self.line(close);
        }
        self
    }

    /// A comment. Nothing if there are no lines.
    pub fn comment(&mut self, style: CommentStyle, lines: &[impl AsRef<str>]) -> &mut Self {
        let lines: Vec<String> = lines.iter().map(|line| escape(style, line.as_ref())).collect();
        let [first, rest @ ..] = lines.as_slice() else {
            return self;
        };
        match style {
            CommentStyle::JsDoc | CommentStyle::JavaDoc if rest.is_empty() => {
                self.line(format!("/** {first} */"))
            }
            CommentStyle::JsDoc | CommentStyle::JavaDoc => {
                self.line("/**").lines(lines.iter().map(|line| format!(" * {line}"))).line(" */")
            }
            CommentStyle::Hash => self.lines(lines.iter().map(|line| format!("# {line}"))),
            CommentStyle::Slashes => self.lines(lines.iter().map(|line| format!("// {line}"))),
            CommentStyle::DocString if rest.is_empty() => self.line(format!("\"\"\"{first}\"\"\"")),
            CommentStyle::DocString => {
                self.line(format!("\"\"\"{first}")).lines(rest).line("\"\"\"")
            }
        }
    }

    /// The documentation of a declaration: its comment, and a line about its deprecation if `deprecated` is not empty.
    pub fn doc(
        &mut self,
        style: CommentStyle,
        comments: &Comments,
        deprecated: Option<&str>,
    ) -> &mut Self {
        let mut lines = comments.lines();
        if let Some(note) = deprecated {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.push(note.to_owned());
        }
        self.comment(style, &lines)
    }

    /// Another text, each of its lines at the current indentation.
    pub fn append(&mut self, other: &Printer) -> &mut Self {
        if let Some(text) = other.text.strip_suffix('\n') {
            self.line(text);
        }
        self
    }

    /// True if nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text. It ends with exactly one line end, or is empty.
    pub fn finish(self) -> String {
        let mut text = self.text;
        text.truncate(text.trim_end_matches('\n').len());
        if !text.is_empty() {
            text.push('\n');
        }
        text
    }
}

/// Keeps the words of a comment from ending it, or from meaning something to the documentation tool.
fn escape(style: CommentStyle, line: &str) -> String {
    match style {
        CommentStyle::JsDoc => line.replace("*/", "*\\/"),
        CommentStyle::JavaDoc => line
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('@', "&#64;")
            .replace("*/", "*&#47;")
            // Java reads Unicode escapes even inside comments.
            .replace("\\u", "&#92;u"),
        CommentStyle::DocString => {
            let line = line.replace('\\', "\\\\").replace("\"\"\"", "\\\"\\\"\\\"");
            match line.strip_suffix('"') {
                Some(rest) if !rest.ends_with('\\') => format!("{rest}\\\""),
                _ => line,
            }
        }
        CommentStyle::Hash | CommentStyle::Slashes => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_indent_and_empty_lines_stay_empty() {
        let mut printer = Printer::new("  ");
        printer.block("class A {", "}", |p| {
            p.line("one();").blank().blank().line("two(\n  3,\n);");
        });
        assert_eq!(printer.finish(), "class A {\n  one();\n\n  two(\n    3,\n  );\n}\n");
    }

    #[test]
    fn a_comment_cannot_end_itself() {
        let print = |style| {
            let mut printer = Printer::new("  ");
            printer.comment(style, &["a */ b \"\"\" <c> \\u0041 \""]);
            printer.finish()
        };
        assert_eq!(print(CommentStyle::JsDoc), "/** a *\\/ b \"\"\" <c> \\u0041 \" */\n");
        assert_eq!(
            print(CommentStyle::JavaDoc),
            "/** a *&#47; b \"\"\" &lt;c&gt; &#92;u0041 \" */\n"
        );
        assert_eq!(
            print(CommentStyle::DocString),
            "\"\"\"a */ b \\\"\\\"\\\" <c> \\\\u0041 \\\"\"\"\"\n"
        );
    }
}

//! Just enough of Rust's grammar to tell code from text and to see where a function ends.

/// A source file with comments, strings and character literals blanked out, same line for line.
pub(crate) struct Code {
    /// The blanked text.
    pub(crate) text: String,
    /// Lines, from 0, that begin inside a string: their width is data, not layout.
    pub(crate) begins_in_string: Vec<bool>,
}

/// A function with its first line, from 1, and how many lines it takes.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    LineComment,
    BlockComment(u32),
    /// A string that ends with `"` and this many `#`; `None`: an ordinary one with escapes.
    Str(Option<usize>),
}

impl Code {
    pub(crate) fn new(source: &str) -> Self {
        let chars: Vec<char> = source.chars().collect();
        let mut code = Self {
            text: String::with_capacity(source.len()),
            begins_in_string: vec![false],
        };
        let mut state = State::Code;
        let mut at = 0;
        while at < chars.len() {
            let (next, taken, kept) = step(state, &chars, at);
            for c in &chars[at..(at + taken).min(chars.len())] {
                if *c == '\n' {
                    code.text.push('\n');
                    code.begins_in_string.push(matches!(next, State::Str(_)));
                } else {
                    code.text.push(if kept { *c } else { ' ' });
                }
            }
            state = next;
            at += taken;
        }
        code
    }

    /// Every `fn` with a body, inner ones too.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let bytes = self.text.as_bytes();
        let mut found = Vec::new();
        for (at, _) in self.text.match_indices("fn ") {
            let before = at.checked_sub(1).map(|before| bytes[before]);
            if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            let name: String = self.text[at + 3..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if let (false, Some((_, end))) = (name.is_empty(), body(bytes, at)) {
                let line = 1 + self.text[..at].matches('\n').count();
                let lines = 1 + self.text[at..end].matches('\n').count();
                found.push(Function { name, line, lines });
            }
        }
        found
    }
}

/// The braces of the body of the item that begins at `at`; `None`: it has none.
fn body(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut depth = 0_i32;
    let mut start = None;
    for (index, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' if start.is_none() => depth += 1,
            b')' | b']' if start.is_none() => depth -= 1,
            b';' if start.is_none() && depth == 0 => return None,
            b'{' => {
                // Inside of parentheses it belongs to a pattern: `Knock { hop }: Knock`.
                if depth == 0 {
                    start = Some(index);
                }
                depth += 1;
            }
            b'}' => {
                depth -= 1;
                if let (0, Some(start)) = (depth, start) {
                    return Some((start, index));
                }
            }
            _ => {}
        }
    }
    None
}

/// What begins at `at`: the state after it, how many characters it takes, whether they are code.
fn step(state: State, chars: &[char], at: usize) -> (State, usize, bool) {
    let starts = |word: &str| {
        chars[at..]
            .iter()
            .copied()
            .take(word.len())
            .eq(word.chars())
    };
    match state {
        State::LineComment if chars[at] == '\n' => (State::Code, 1, false),
        State::LineComment => (state, 1, false),
        State::BlockComment(depth) if starts("/*") => (State::BlockComment(depth + 1), 2, false),
        State::BlockComment(1) if starts("*/") => (State::Code, 2, false),
        State::BlockComment(depth) if starts("*/") => (State::BlockComment(depth - 1), 2, false),
        State::BlockComment(_) => (state, 1, false),
        State::Str(None) if chars[at] == '\\' => (state, 2, false),
        State::Str(None) if chars[at] == '"' => (State::Code, 1, false),
        State::Str(Some(hashes)) if starts(&format!("\"{}", "#".repeat(hashes))) => {
            (State::Code, 1 + hashes, false)
        }
        State::Str(_) => (state, 1, false),
        State::Code if starts("//") => (State::LineComment, 2, false),
        State::Code if starts("/*") => (State::BlockComment(1), 2, false),
        State::Code if chars[at] == '"' => (State::Str(None), 1, false),
        State::Code if chars[at] == '\'' => (state, literal(chars, at), false),
        State::Code => match raw_string(chars, at) {
            Some((hashes, taken)) => (State::Str(Some(hashes)), taken, false),
            None => (state, 1, true),
        },
    }
}

/// The length of the character literal at the quote `at`; 1 for the quote of a lifetime.
fn literal(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let end = chars[at + 3..].iter().position(|c| *c == '\'');
            end.map_or(1, |end| end + 4)
        }
        (Some(_), Some('\'')) => 3,
        _ => 1,
    }
}

/// `r"`, `r#"`, `br"` ...: how many hashes, and how long the opening is.
fn raw_string(chars: &[char], at: usize) -> Option<(usize, usize)> {
    let inside_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if inside_word {
        return None;
    }
    let after_b = usize::from(chars[at] == 'b');
    if chars.get(at + after_b) != Some(&'r') {
        return None;
    }
    let rest = &chars[at + after_b + 1..];
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    (rest.get(hashes) == Some(&'"')).then_some((hashes, after_b + 2 + hashes))
}

#[test]
fn code_is_told_from_text() {
    let source = "fn a<'x>() { // fn b() {\n\
                  let s = \"fn c() {\\\"\"; let q = '\"'; /* { /* */ */ }\n\
                  fn d() { r#\"\n}\"#; '\\''; b'{' }\n\
                  trait T { fn e(x: [u8; 2]); }\n\
                  fn f(K { k }: K) {\n}";
    let code = Code::new(source);
    let names: Vec<(String, usize)> = code
        .functions()
        .into_iter()
        .map(|found| (found.name, found.lines))
        .collect();
    assert_eq!(
        names,
        [
            ("a".to_owned(), 2),
            ("d".to_owned(), 2),
            ("f".to_owned(), 2)
        ]
    );
    assert_eq!(
        code.begins_in_string,
        [false, false, false, true, false, false, false]
    );
}

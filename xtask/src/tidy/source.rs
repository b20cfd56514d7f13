//! A Rust file as the rules see it: comments and literals blanked out, functions and test code located.
//!
//! This is a scanner, not a parser. It knows comments, string and character literals and balanced braces, which is all
//! that lengths and paths need.

use std::ops::RangeInclusive;

/// One scanned file. Lines count from 1.
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// `text` with every byte of a comment or literal replaced by a space; line breaks stay.
    pub(super) code: String,
    pub(super) functions: Vec<Function>,
    /// Items under `#[cfg(test)]`.
    tests: Vec<RangeInclusive<usize>>,
}

/// A function with a body.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) lines: RangeInclusive<usize>,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        let lines = LineStarts::new(&code);
        let tests = test_items(&code).into_iter().map(|(start, end)| lines.of(start)..=lines.of(end)).collect();
        let functions = functions(&code)
            .into_iter()
            .map(|(name, start, end)| Function { name, lines: lines.of(start)..=lines.of(end) })
            .collect();
        Self { path: path.to_owned(), text: text.to_owned(), code, functions, tests }
    }

    /// Whether the whole file holds tests or benches.
    pub(super) fn is_test_file(&self) -> bool {
        let mut parts = self.path.rsplit('/');
        let file = parts.next().unwrap_or_default();
        let folders: Vec<&str> = parts.collect();
        file == "tests.rs"
            || file.ends_with("_tests.rs")
            || folders.iter().rev().skip(1).any(|folder| *folder == "tests")
    }

    pub(super) fn is_test_line(&self, line: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&line))
    }

    /// Lines outside tests.
    pub(super) fn line_count(&self) -> usize {
        (1..=self.text.lines().count()).filter(|line| !self.is_test_line(*line)).count()
    }

    /// The text of literals, by line; comments count when they follow code.
    pub(super) fn literal_lines(&self) -> impl Iterator<Item = (usize, String)> {
        let lines = self.text.lines().zip(self.code.lines()).enumerate();
        lines.filter(|(_, (text, _))| !text.trim_start().starts_with("//")).map(|(index, (text, code))| {
            let blank = |(at, _): &(usize, char)| code.as_bytes().get(*at) == Some(&b' ');
            (index + 1, text.char_indices().filter(blank).map(|(_, character)| character).collect())
        })
    }

    /// Code lines with their numbers.
    pub(super) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

struct LineStarts(Vec<usize>);

impl LineStarts {
    fn new(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn of(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    // Only whole characters inside literals and comments were replaced, byte by byte, so this is still UTF-8.
    String::from_utf8_lossy(&code).into_owned()
}

/// The end of the comment or literal that starts at `at`; `at` itself when none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let preceded_by_word = at > 0 && is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return block_comment_end(bytes, at);
    }
    if rest[0] == b'"' {
        return string_end(bytes, at + 1);
    }
    if !preceded_by_word && (rest[0] == b'r' || rest.starts_with(b"br")) {
        let hashes_at = at + if rest[0] == b'b' { 2 } else { 1 };
        let hashes = bytes[hashes_at..].iter().take_while(|byte| **byte == b'#').count();
        if bytes.get(hashes_at + hashes) == Some(&b'"') {
            return raw_string_end(bytes, hashes_at + hashes + 1, hashes);
        }
    }
    if rest[0] == b'\'' {
        return character_end(rest).map_or(at, |length| at + length);
    }
    at
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0_usize, start);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_end(bytes: &[u8], mut at: usize, hashes: usize) -> usize {
    while at < bytes.len() {
        if bytes[at] == b'"' && bytes[at + 1..].iter().take(hashes).filter(|byte| **byte == b'#').count() == hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    bytes.len()
}

/// The length of a character literal; `None` for a lifetime.
fn character_end(rest: &[u8]) -> Option<usize> {
    if rest.get(1) == Some(&b'\\') {
        return rest.iter().skip(3).position(|byte| *byte == b'\'').map(|more| more + 4);
    }
    let width = std::str::from_utf8(&rest[1..rest.len().min(5)])
        .map_or_else(|error| error.valid_up_to(), str::len)
        .min(rest.len() - 1);
    let first = std::str::from_utf8(&rest[1..=width]).ok()?.chars().next()?.len_utf8();
    (rest.get(1 + first) == Some(&b'\'')).then_some(first + 2)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Start and end of every item marked `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let starts = code.match_indices("#[cfg(test)]").map(|(at, mark)| (at, at + mark.len()));
    starts.map(|(start, after)| (start, body_end(code.as_bytes(), after).unwrap_or(code.len() - 1))).collect()
}

/// Name, start and end of every function with a body.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && is_word(bytes[at - 1]) {
            continue;
        }
        let name: String =
            code[at + 3..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if let (false, Some(end)) = (name.is_empty(), body_end(bytes, at)) {
            found.push((name, at, end));
        }
    }
    found
}

/// The closing brace of the first body after `from`; `None` when a `;` ends the item before any brace opens.
fn body_end(bytes: &[u8], from: usize) -> Option<usize> {
    let (mut nested, mut braces) = (0_i32, 0_i32);
    for (offset, byte) in bytes[from..].iter().enumerate() {
        match byte {
            b'(' | b'[' => nested += 1,
            b')' | b']' => nested -= 1,
            b';' if nested == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces == 0 && nested <= 0 {
                    return Some(from + offset);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn blanks_comments_and_every_kind_of_literal() {
        let source = Source::new(
            "a.rs",
            "let a = \"fn x() { // no\"; /* { /* } */ */ let b = 'x'; let c: &'static str = r#\"\"{\"#; let d = b'\\''; // }\n",
        );
        let code: String = source.code.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code, "let a = ; let b = ; let c: &'static str = ; let d = b ;");
        assert!(source.functions.is_empty());
    }

    #[test]
    fn finds_functions_with_their_lines() {
        let source = Source::new(
            "a.rs",
            "trait T {\n    fn a(x: [u8; 3]);\n}\nfn b<T>(\n    x: T,\n) where T: Copy {\n    let f = || { 1 };\n}\n",
        );
        let found: Vec<_> = source.functions.iter().map(|f| (f.name.as_str(), f.lines.clone())).collect();
        assert_eq!(found, [("b", 4..=8)]);
    }

    #[test]
    fn counts_lines_outside_tests() {
        let source = Source::new("a.rs", "//! x\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\nfn b() {}\n");
        assert_eq!(source.line_count(), 3);
        assert!(source.is_test_line(5) && !source.is_test_line(7));
    }

    #[test]
    fn tells_test_files() {
        for (path, is_test) in [
            ("crates/engine/src/vector/tests.rs", true),
            ("tests/tests/blackbox.rs", true),
            ("crates/raft/tests/suite.rs", true),
            ("tests/src/server.rs", false),
            ("crates/engine/src/vector/hnsw.rs", false),
        ] {
            assert_eq!(Source::new(path, "").is_test_file(), is_test, "{path}");
        }
    }
}

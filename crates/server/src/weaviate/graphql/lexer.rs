//! Tokens of a GraphQL document, and the texts of syntax errors.
//!
//! Blanks, line ends, commas, comments and a byte order mark stand between tokens and mean nothing.

use super::GraphqlError;

/// Line and column, from 1; columns count characters.
pub(super) type Position = (usize, usize);

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    /// One of `! $ ( ) ... : = @ [ ] { | } &`.
    Mark(&'static str),
    Name,
    Int,
    Float,
    Text,
}

/// A token; `text` is a name, the digits of a number or the content of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) at: Position,
}

impl Token {
    /// How error texts call it.
    pub(super) fn described(&self) -> String {
        if self.text.is_empty() {
            self.kind.described().to_owned()
        } else {
            format!("{} {:?}", self.kind.described(), Raw(&self.text))
        }
    }
}

/// Prints in quotes without escapes.
struct Raw<'a>(&'a str);

impl std::fmt::Debug for Raw<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "\"{}\"", self.0)
    }
}

impl Kind {
    /// How error texts call it.
    pub(super) fn described(&self) -> &'static str {
        match self {
            Self::End => "EOF",
            Self::Mark(mark) => mark,
            Self::Name => "Name",
            Self::Int => "Int",
            Self::Float => "Float",
            Self::Text => "String",
        }
    }
}

/// Reads tokens one by one.
pub(super) struct Lexer<'a> {
    source: &'a str,
    rest: std::str::Chars<'a>,
    at: Position,
}

/// Marks of one character.
const MARKS: [&str; 13] = ["!", "$", "(", ")", ":", "=", "@", "[", "]", "{", "|", "}", "&"];

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, rest: source.chars(), at: (1, 1) }
    }

    /// A syntax error there, with the lines around it.
    pub(super) fn error(&self, at: Position, why: &str) -> GraphqlError {
        let (line, column) = at;
        let lines: Vec<&str> = self.source.split('\n').map(|line| line.trim_end_matches('\r')).collect();
        let width = (line + 1).to_string().len();
        let shown = |number: usize| match number.checked_sub(1).and_then(|index| lines.get(index)) {
            Some(text) => format!("{number:>width$}: {text}\n"),
            None => String::new(),
        };
        let blanks = " ".repeat(1 + width + column);
        let (before, there, after) = (shown(line - 1), shown(line), shown(line + 1));
        GraphqlError::at(
            at,
            format!("Syntax Error GraphQL request ({line}:{column}) {why}\n\n{before}{there}{blanks}^\n{after}"),
        )
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn advance(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.at = if next == '\n' { (self.at.0 + 1, 1) } else { (self.at.0, self.at.1 + 1) };
        Some(next)
    }

    fn skip_between(&mut self) {
        while let Some(next) = self.peek() {
            match next {
                ' ' | '\t' | '\r' | '\n' | ',' | '\u{feff}' => {}
                '#' => {
                    while self.peek().is_some_and(|next| next != '\n') {
                        self.advance();
                    }
                }
                _ => return,
            }
            if next != '#' {
                self.advance();
            }
        }
    }

    /// The next token; [`Kind::End`] again and again at the end.
    ///
    /// # Errors
    /// A character, number or text that is none.
    pub(super) fn next(&mut self) -> Result<Token, GraphqlError> {
        self.skip_between();
        let at = self.at;
        let token = |kind, text| Ok(Token { kind, text, at });
        let Some(first) = self.peek() else { return token(Kind::End, String::new()) };
        match first {
            '.' if self.rest.as_str().starts_with("...") => {
                for _ in 0..3 {
                    self.advance();
                }
                token(Kind::Mark("..."), String::new())
            }
            '"' if self.rest.as_str().starts_with("\"\"\"") => {
                let text = self.block()?;
                token(Kind::Text, text)
            }
            '"' => {
                let text = self.text()?;
                token(Kind::Text, text)
            }
            '-' | '0'..='9' => {
                let (kind, text) = self.number()?;
                token(kind, text)
            }
            '_' | 'a'..='z' | 'A'..='Z' => {
                let text = self.take(|next| next == '_' || next.is_ascii_alphanumeric());
                token(Kind::Name, text)
            }
            other => match MARKS.iter().find(|mark| mark.starts_with(other)) {
                Some(mark) => {
                    self.advance();
                    token(Kind::Mark(mark), String::new())
                }
                None => Err(self.error(at, &format!("Unexpected character {}.", printed(Some(other))))),
            },
        }
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(next) = self.peek().filter(|next| wanted(*next)) {
            taken.push(next);
            self.advance();
        }
        taken
    }

    fn number(&mut self) -> Result<(Kind, String), GraphqlError> {
        let mut text = self.take(|next| next == '-');
        if text.len() > 1 {
            return Err(self.error(self.at, "Invalid number, expected digit but got: \"-\"."));
        }
        if self.peek() == Some('0') {
            text.extend(self.advance());
            if let Some(digit) = self.peek().filter(char::is_ascii_digit) {
                return Err(self.error(self.at, &format!("Invalid number, unexpected digit after 0: \"{digit}\".")));
            }
        } else {
            text.push_str(&self.digits()?);
        }
        let mut kind = Kind::Int;
        if self.peek() == Some('.') {
            kind = Kind::Float;
            text.extend(self.advance());
            text.push_str(&self.digits()?);
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            kind = Kind::Float;
            text.extend(self.advance());
            if matches!(self.peek(), Some('+' | '-')) {
                text.extend(self.advance());
            }
            text.push_str(&self.digits()?);
        }
        Ok((kind, text))
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<String, GraphqlError> {
        let digits = self.take(|next| next.is_ascii_digit());
        if digits.is_empty() {
            let got = printed(self.peek());
            return Err(self.error(self.at, &format!("Invalid number, expected digit but got: {got}.")));
        }
        Ok(digits)
    }

    fn text(&mut self) -> Result<String, GraphqlError> {
        self.advance();
        let mut text = String::new();
        loop {
            let at = self.at;
            match self.peek() {
                None | Some('\n' | '\r') => return Err(self.error(at, "Unterminated string.")),
                Some('"') => {
                    self.advance();
                    return Ok(text);
                }
                Some('\\') => {
                    self.advance();
                    text.push(self.escape()?);
                }
                Some(control) if control < ' ' && control != '\t' => {
                    let got = printed(Some(control));
                    return Err(self.error(at, &format!("Invalid character within String: {got}.")));
                }
                Some(other) => {
                    text.push(other);
                    self.advance();
                }
            }
        }
    }

    /// The character that an escape stands for; its backslash is read.
    fn escape(&mut self) -> Result<char, GraphqlError> {
        let at = self.at;
        let escaped = match self.advance() {
            Some(plain @ ('"' | '/' | '\\')) => plain,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let digits = self.rest.as_str().get(..4).unwrap_or_default().to_owned();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                let Some(code) = code else {
                    return Err(self.error(at, &format!("Invalid character escape sequence: \\u{digits}.")));
                };
                for _ in 0..4 {
                    self.advance();
                }
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => {
                let other = other.map_or_else(String::new, String::from);
                return Err(self.error(at, &format!("Invalid character escape sequence: \\\\{other}.")));
            }
        };
        Ok(escaped)
    }

    /// A text in triple quotes, without the indentation that its lines share and without blank lines at its ends.
    fn block(&mut self) -> Result<String, GraphqlError> {
        for _ in 0..3 {
            self.advance();
        }
        let mut raw = String::new();
        loop {
            let rest = self.rest.as_str();
            if rest.starts_with("\"\"\"") {
                break;
            }
            let skipped = rest.starts_with("\\\"\"\"");
            match self.advance() {
                None => return Err(self.error(self.at, "Unterminated string.")),
                Some(_) if skipped => {
                    for _ in 0..3 {
                        raw.extend(self.advance());
                    }
                }
                Some(next) => raw.push(next),
            }
        }
        for _ in 0..3 {
            self.advance();
        }
        Ok(dedented(&raw))
    }
}

fn dedented(raw: &str) -> String {
    let lines: Vec<&str> = raw.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let is_blank = |line: &&str| line.trim_matches([' ', '\t']).is_empty();
    let shared = lines.iter().skip(1).filter(|line| !is_blank(line)).map(|line| indent(line)).min().unwrap_or(0);
    let cut = |(number, line): (usize, &&str)| {
        if number == 0 { *line } else { line.get(shared..).unwrap_or_default() }.to_owned()
    };
    let cut: Vec<String> = lines.iter().enumerate().map(cut).collect();
    let blank = |line: &String| is_blank(&line.as_str());
    let first = cut.iter().position(|line| !blank(line)).unwrap_or(cut.len());
    let last = cut.iter().rposition(|line| !blank(line)).map_or(first, |last| last + 1);
    cut[first..last].join("\n")
}

/// A character as error texts show it.
fn printed(character: Option<char>) -> String {
    match character {
        None => "<EOF>".to_owned(),
        Some(ascii @ ' '..='~') => format!("\"{ascii}\""),
        Some(other) => format!("\"\\u{:04X}\"", u32::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Token>, GraphqlError> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            let token = lexer.next()?;
            if token.kind == Kind::End {
                return Ok(tokens);
            }
            tokens.push(token);
        }
    }

    #[test]
    fn tokens_know_where_they_stand() {
        let tokens = all("{ a,# no\n  b(c: -1.5e3) ...").expect("tokens");
        let shown: Vec<_> = tokens.iter().map(|token| (token.described(), token.at)).collect();
        let want = [
            ("{", (1, 1)),
            ("Name \"a\"", (1, 3)),
            ("Name \"b\"", (2, 3)),
            ("(", (2, 4)),
            ("Name \"c\"", (2, 5)),
            (":", (2, 6)),
            ("Float \"-1.5e3\"", (2, 8)),
            (")", (2, 14)),
            ("...", (2, 16)),
        ];
        assert_eq!(shown, want.map(|(text, at)| (text.to_owned(), at)));
    }

    #[test]
    fn texts_are_unescaped() {
        let text = |source: &str| all(source).expect(source)[0].text.clone();
        assert_eq!(text(r#""a\"\né\u00e9""#), "a\"\né\u{e9}");
        assert_eq!(text("\"\"\"\n    one\n      two\n  \"\"\""), "one\n  two");
        assert_eq!(text(r#""""a\"""b""""#), "a\"\"\"b");
    }

    #[test]
    fn errors_show_the_lines_around() {
        let error = |source: &str| all(source).expect_err(source).message;
        assert_eq!(
            error("{\n  a ?\n}"),
            "Syntax Error GraphQL request (2:5) Unexpected character \"?\".\n\n1: {\n2:   a ?\n       ^\n3: }\n"
        );
        assert!(error("\"a").contains("(1:3) Unterminated string."));
        assert!(error("01").contains("unexpected digit after 0: \"1\"."));
        assert!(error(r#""\q""#).contains(r"Invalid character escape sequence: \\q."));
        assert!(error("1.x").contains("expected digit but got: \"x\"."));
        assert!(error("é").contains(r#"Unexpected character "\u00E9"."#));
    }
}

//! Reads the first JSON value of a body, with the error texts that Weaviate's clients know.
//!
//! Text after the first value is ignored, of a repeated key the last counts (where keys stand for fields, without regard
//! to case), invalid UTF-8 and lone surrogates become
//! U+FFFD, and numbers keep their text. Nesting is limited to [`DEPTH_MAX`].

use serde_json::{Map, Number, Value};

/// Deepest nesting of lists and objects.
pub(crate) const DEPTH_MAX: usize = 512;

/// Why a body is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// There is nothing but white space.
    Empty,
    /// It is wrong; the text says where.
    Syntax(String),
}

/// The expected shape of a JSON value, known before it is read.
pub(crate) trait Shape: Copy {
    /// The name that a key stands for, if that is not the key itself, and the shape of the key's value.
    fn field(self, key: &str) -> (Option<&'static str>, Self);

    /// The shape of the elements, if the value is a list.
    fn element(self) -> Self;
}

/// The first JSON value of `bytes`, its keys under the names that they stand for.
pub(crate) fn parse(bytes: &[u8], shape: impl Shape) -> Result<Value, JsonError> {
    let mut reader = Reader { bytes, at: 0 };
    reader.skip_blanks();
    if reader.peek().is_none() {
        return Err(JsonError::Empty);
    }
    reader.value(shape, 0)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte, which must be there.
    fn next(&mut self) -> Result<u8, JsonError> {
        let byte = self.peek().ok_or_else(|| JsonError::Syntax("unexpected EOF".to_owned()))?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self, shape: impl Shape, depth: usize) -> Result<Value, JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError::Syntax("exceeded max depth".to_owned()));
        }
        self.skip_blanks();
        match self.next()? {
            b'{' => self.object(shape, depth),
            b'[' => self.list(shape.element(), depth),
            b'"' => Ok(Value::String(self.string()?)),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            byte @ (b'-' | b'0'..=b'9') => self.number(byte),
            byte => Err(invalid(byte, "looking for beginning of value")),
        }
    }

    fn object(&mut self, shape: impl Shape, depth: usize) -> Result<Value, JsonError> {
        let mut map = Map::new();
        self.skip_blanks();
        let mut byte = self.next()?;
        if byte == b'}' {
            return Ok(Value::Object(map));
        }
        loop {
            if byte != b'"' {
                return Err(invalid(byte, "looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.skip_blanks();
            match self.next()? {
                b':' => {}
                byte => return Err(invalid(byte, "after object key")),
            }
            let (name, inner) = shape.field(&key);
            let value = self.value(inner, depth + 1)?;
            map.insert(name.map_or(key, str::to_owned), value);
            self.skip_blanks();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(Value::Object(map)),
                byte => return Err(invalid(byte, "after object key:value pair")),
            }
            self.skip_blanks();
            byte = self.next()?;
        }
    }

    fn list(&mut self, element: impl Shape, depth: usize) -> Result<Value, JsonError> {
        let mut list = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(list));
        }
        loop {
            list.push(self.value(element, depth + 1)?);
            self.skip_blanks();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Value::Array(list)),
                byte => return Err(invalid(byte, "after array element")),
            }
        }
    }

    /// The rest of a literal whose first byte is read.
    fn literal(&mut self, word: &str, value: Value) -> Result<Value, JsonError> {
        for &expected in &word.as_bytes()[1..] {
            let byte = self.next()?;
            if byte != expected {
                return Err(invalid(byte, &format!("in literal {word} (expecting '{}')", char::from(expected))));
            }
        }
        Ok(value)
    }

    /// The rest of a number whose first byte is read.
    fn number(&mut self, first: u8) -> Result<Value, JsonError> {
        let start = self.at - 1;
        let lead = if first == b'-' { self.next()? } else { first };
        match lead {
            b'0' => {}
            b'1'..=b'9' => self.skip_digits(),
            byte => return Err(invalid(byte, "in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digit("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digit("in exponent of numeric literal")?;
        }
        let text = String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned();
        Ok(Value::Number(Number::from_string_unchecked(text)))
    }

    /// At least one digit.
    fn digit(&mut self, place: &str) -> Result<(), JsonError> {
        match self.next()? {
            b'0'..=b'9' => {
                self.skip_digits();
                Ok(())
            }
            byte => Err(invalid(byte, place)),
        }
    }

    fn skip_digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    /// The rest of a string whose opening quote is read.
    fn string(&mut self) -> Result<String, JsonError> {
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => {
                    return Ok(String::from_utf8(text)
                        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()));
                }
                b'\\' => self.escape(&mut text)?,
                byte @ 0..0x20 => return Err(invalid(byte, "in string literal")),
                byte => text.push(byte),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), JsonError> {
        let plain = match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let unit = self.unicode()?;
                text.extend_from_slice(unit.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            byte => return Err(invalid(byte, "in string escape code")),
        };
        text.push(plain);
        Ok(())
    }

    /// The character of a `\u` escape, both halves of a pair taken together.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) || self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let after_high = self.at;
        self.at += 2;
        let low = self.hex()?;
        if (0xdc00..0xe000).contains(&low) {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.at = after_high;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.next()?;
            let digit = char::from(byte).to_digit(16);
            code = code * 16 + digit.ok_or_else(|| invalid(byte, "in \\u hexadecimal character escape"))?;
        }
        Ok(code)
    }
}

fn invalid(byte: u8, place: &str) -> JsonError {
    let shown = match byte {
        b'\'' => "\\'".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        7 => "\\a".to_owned(),
        8 => "\\b".to_owned(),
        11 => "\\v".to_owned(),
        12 => "\\f".to_owned(),
        0..0x20 | 0x7f => format!("\\x{byte:02x}"),
        0x80..=0xa0 | 0xad => format!("\\u{byte:04x}"),
        _ => char::from(byte).to_string(),
    };
    JsonError::Syntax(format!("invalid character '{shown}' {place}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{JsonError, Shape};

    /// A map whose keys stand for `a` in any case; nothing is known of its values.
    #[derive(Clone, Copy)]
    enum Known {
        Nothing,
        A,
    }

    impl Shape for Known {
        fn field(self, key: &str) -> (Option<&'static str>, Self) {
            (matches!(self, Self::A).then_some("a").filter(|name| name.eq_ignore_ascii_case(key)), Self::Nothing)
        }

        fn element(self) -> Self {
            Self::Nothing
        }
    }

    fn parse(bytes: &[u8]) -> Result<serde_json::Value, JsonError> {
        super::parse(bytes, Known::Nothing)
    }

    #[test]
    fn keys_that_stand_for_one_name_are_one() {
        let text = br#"{"a": 1, "A": {"A": 2, "a": 3}}"#;
        assert_eq!(super::parse(text, Known::A), Ok(json!({"a": {"A": 2, "a": 3}})));
        assert_eq!(parse(text), Ok(json!({"a": 1, "A": {"A": 2, "a": 3}})));
    }

    fn error(text: &str) -> String {
        match parse(text.as_bytes()) {
            Err(JsonError::Syntax(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_value_counts() {
        assert_eq!(parse(br#"{"a": 1, "a": 2} more"#), Ok(json!({"a": 2})));
        assert_eq!(parse(br#""\ud83d\udcda \ud800x""#), Ok(json!("\u{1f4da} \u{fffd}x")));
        assert_eq!(parse(b"\"a\xffb\""), Ok(json!("a\u{fffd}b")));
        assert_eq!(parse(b" \n"), Err(JsonError::Empty));
    }

    #[test]
    fn errors_name_the_character_and_the_place() {
        assert_eq!(error("hello"), "invalid character 'h' looking for beginning of value");
        assert_eq!(error("{'a': 1}"), "invalid character '\\'' looking for beginning of object key string");
        assert_eq!(error("{\"a\": 1,}"), "invalid character '}' looking for beginning of object key string");
        assert_eq!(error("{\"a\" 1}"), "invalid character '1' after object key");
        assert_eq!(error("[1 2]"), "invalid character '2' after array element");
        assert_eq!(error("\"a\tb\""), "invalid character '\\t' in string literal");
        assert_eq!(error("nul!"), "invalid character '!' in literal null (expecting 'l')");
        assert_eq!(error("-x"), "invalid character 'x' in numeric literal");
        assert_eq!(error("{\"a"), "unexpected EOF");
        assert_eq!(error("\u{feff}{}"), "invalid character 'ï' looking for beginning of value");
        assert_eq!(error(&"[".repeat(2000)), "exceeded max depth");
    }
}

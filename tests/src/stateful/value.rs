//! Kinds of properties, random values of them, and the equality of values.
//!
//! A value is kept as the JSON of the server's answer; values from a wire with another form are converted to it.

use base64::Engine as _;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// How texts are cut into tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tokenization {
    /// Letters and digits, in lower case.
    Word,
    /// Between white space, in lower case.
    Lowercase,
    /// Between white space.
    Whitespace,
    /// The whole text without the space around it.
    Field,
}

impl Tokenization {
    /// The tokens of a text, with repeats.
    pub fn tokens(self, text: &str) -> Vec<String> {
        let owned = |parts: Vec<&str>| parts.into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect();
        match self {
            Self::Word => owned(text.to_lowercase().split(|c: char| !c.is_alphanumeric()).collect()),
            Self::Lowercase => owned(text.to_lowercase().split_whitespace().collect()),
            Self::Whitespace => owned(text.split_whitespace().collect()),
            // An empty text is a term, too.
            Self::Field => vec![text.trim().to_owned()],
        }
    }

    /// As `tokens`, for a pattern of `Like`: its wildcards stay.
    pub fn pattern(self, text: &str) -> String {
        match self {
            Self::Word | Self::Lowercase => text.to_lowercase(),
            Self::Whitespace | Self::Field => text.to_owned(),
        }
    }

    /// The name of the tokenization on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Lowercase => "lowercase",
            Self::Whitespace => "whitespace",
            Self::Field => "field",
        }
    }
}

/// The kind of a property's values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `text`
    Text(Tokenization),
    /// `int`
    Int,
    /// `number`
    Number,
    /// `boolean`
    Bool,
    /// `date`
    Date,
    /// `uuid`
    Uuid,
    /// `geoCoordinates`
    Geo,
    /// `blob`
    Blob,
    /// `object` with three properties: `a` text, `n` int, `l` number[].
    Object,
    /// A list of a primitive kind.
    List(Box<Kind>),
    /// References to these collections.
    Reference(Vec<String>),
}

impl Kind {
    /// The `dataType` of the wire.
    pub fn data_type(&self) -> Vec<String> {
        let name = match self {
            Self::Text(_) => "text",
            Self::Int => "int",
            Self::Number => "number",
            Self::Bool => "boolean",
            Self::Date => "date",
            Self::Uuid => "uuid",
            Self::Geo => "geoCoordinates",
            Self::Blob => "blob",
            Self::Object => "object",
            Self::List(of) => return vec![format!("{}[]", of.data_type().concat())],
            Self::Reference(targets) => return targets.clone(),
        };
        vec![name.to_owned()]
    }

    /// How its texts are cut, for texts and lists of them.
    pub fn tokenization(&self) -> Option<Tokenization> {
        match self {
            Self::Text(tokenization) => Some(*tokenization),
            Self::List(of) => of.tokenization(),
            _ => None,
        }
    }

    /// The kind of one member, for lists; else the kind itself.
    pub fn member(&self) -> &Kind {
        match self {
            Self::List(of) => of,
            kind => kind,
        }
    }

    /// Whether the model knows the order of its values.
    pub fn is_sortable(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Int | Self::Number | Self::Bool | Self::Date)
    }

    /// A kind without references.
    pub fn random(random: &mut impl Rng) -> Self {
        let tokenizations =
            [Tokenization::Word, Tokenization::Lowercase, Tokenization::Whitespace, Tokenization::Field];
        let text = Self::Text(tokenizations.choose(random).copied().unwrap_or(Tokenization::Word));
        let primitives = [text, Self::Int, Self::Number, Self::Bool, Self::Date, Self::Uuid];
        let single = primitives.choose(random).cloned().unwrap_or(Self::Int);
        match random.random_range(0..20) {
            0 => Self::Geo,
            1 => Self::Blob,
            2 => Self::Object,
            3..8 => Self::List(Box::new(single)),
            _ => single,
        }
    }

    /// A value that the server must take, in the form in which it answers it. `Null` for references.
    pub fn value(&self, random: &mut impl Rng) -> Value {
        match self {
            Self::Text(_) => text(random, 0).into(),
            Self::Int => int(random).into(),
            Self::Number => number(random).into(),
            Self::Bool => random.random_bool(0.5).into(),
            Self::Date => date(random).into(),
            Self::Uuid => member_id(random).to_string().into(),
            Self::Geo => json!({ "latitude": half(random, 90), "longitude": half(random, 180) }),
            Self::Blob => {
                let bytes: Vec<u8> = (0..random.random_range(1..20)).map(|_| random.random()).collect();
                base64::engine::general_purpose::STANDARD.encode(bytes).into()
            }
            Self::Object => {
                let mut object = serde_json::Map::new();
                for (name, kind) in nested() {
                    if random.random_bool(0.7) {
                        object.insert(name.to_owned(), kind.value(random));
                    }
                }
                // An empty map does not determine its kind and is refused by some wires.
                object.entry("n").or_insert_with(|| 1.into());
                object.into()
            }
            Self::List(of) => (0..random.random_range(0..5)).map(|_| of.value(random)).collect(),
            Self::Reference(_) => Value::Null,
        }
    }
}

/// The properties of an `object`.
pub fn nested() -> [(&'static str, Kind); 3] {
    [("a", Kind::Text(Tokenization::Word)), ("n", Kind::Int), ("l", Kind::List(Box::new(Kind::Number)))]
}

const WORDS: [&str; 10] = ["alpha", "Beta", "gamma", "DELTA", "x1", "42", "Überfall", "日本", "naïve", "alphabet"];

/// A word that is no stop word under any tokenization.
pub fn word(random: &mut impl Rng) -> &'static str {
    WORDS.choose(random).copied().unwrap_or("alpha")
}

/// Words with something between them, at least so many.
pub fn text(random: &mut impl Rng, least: usize) -> String {
    let mut text = String::new();
    for at in 0..random.random_range(least..4) {
        if at > 0 {
            text.push_str([" ", ", ", "-", "  ", "\n", "_"].choose(random).copied().unwrap_or(" "));
        }
        text.push_str(word(random));
    }
    text
}

fn int(random: &mut impl Rng) -> i64 {
    match random.random_range(0..30) {
        0 => 1 << 53,
        1 => -(1 << 53),
        2 => i64::from(i32::MAX),
        3 => i64::from(i32::MIN),
        _ => random.random_range(-3..8),
    }
}

fn number(random: &mut impl Rng) -> f64 {
    match random.random_range(0..30) {
        0 => 1e300,
        1 => -1e300,
        2 => -0.0,
        3 => f64::MIN_POSITIVE,
        _ => f64::from(random.random_range(-6..16)) / 2.0,
    }
}

fn half(random: &mut impl Rng, bound: i32) -> f64 {
    f64::from(random.random_range(-2 * bound..=2 * bound)) / 2.0
}

fn date(random: &mut impl Rng) -> String {
    let day = random.random_range(1..28);
    let rest = ["00:00:00Z", "00:00:00.5Z", "01:00:00+01:00", "23:59:59.123456789Z", "12:30:00-07:30"];
    let year = ["1969", "1970", "2000", "2024"].choose(random).copied().unwrap_or("2024");
    format!("{year}-02-{day:02}T{}", rest.choose(random).copied().unwrap_or("00:00:00Z"))
}

/// A value of a uuid property, one of a few.
pub fn member_id(random: &mut impl Rng) -> Uuid {
    Uuid::from_u128(0xabcd_0000_0000_4000_8000_0000_0000_0000 | random.random_range(0..6_u128))
}

/// Whether two answers are equal: numbers by value, everything else as JSON. So an empty list differs from null.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left == right,
            _ => left.as_f64() == right.as_f64(),
        },
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| right.get(name).is_some_and(|right| same(left, right)))
        }
        (left, right) => left == right,
    }
}

/// Nanoseconds since 1970 of a date as this module writes them.
///
/// # Panics
/// When it is no such date.
pub fn instant(text: &str) -> i128 {
    let field = |from: usize, to: usize| text[from..to].parse::<i64>().expect("digits of a date");
    let (year, month, day) = (field(0, 4), field(5, 7), field(8, 10));
    // Days from the civil calendar (Howard Hinnant), for years after 0.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, of_era) = (y / 400, y % 400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let mut seconds = days * 86_400 + field(11, 13) * 3_600 + field(14, 16) * 60 + field(17, 19);
    let rest = &text[19..];
    let zone = rest.find(['Z', '+', '-']).expect("a zone");
    let mut nanos = 0_i128;
    if let Some(digits) = rest[..zone].strip_prefix('.') {
        nanos = format!("{digits:0<9}").parse().expect("digits of a fraction");
    }
    let zone = &rest[zone..];
    if zone != "Z" {
        let offset =
            zone[1..3].parse::<i64>().expect("hours") * 3_600 + zone[4..6].parse::<i64>().expect("minutes") * 60;
        seconds -= if zone.starts_with('+') { offset } else { -offset };
    }
    i128::from(seconds) * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_know_offsets_and_fractions() {
        assert_eq!(instant("1970-01-01T00:00:00Z"), 0);
        assert_eq!(instant("1970-01-01T01:00:00.5+01:00"), 500_000_000);
        assert_eq!(instant("1969-12-31T23:59:59Z"), -1_000_000_000);
        assert_eq!(instant("2000-02-29T12:30:00-07:30") / 1_000_000_000, 951_854_400);
    }

    #[test]
    fn tokens_follow_the_tokenization() {
        assert_eq!(Tokenization::Word.tokens("Beta, x1_DELTA"), ["beta", "x1", "delta"]);
        assert_eq!(Tokenization::Lowercase.tokens("Beta, x1"), ["beta,", "x1"]);
        assert_eq!(Tokenization::Whitespace.tokens(" Beta\nx1 "), ["Beta", "x1"]);
        assert_eq!(Tokenization::Field.tokens(" Beta x1 "), ["Beta x1"]);
    }
}

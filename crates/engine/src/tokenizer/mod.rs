//! Tokenizers: how text becomes terms.
//!
//! The same call serves indexing, filters, keyword queries and the `tokenize` endpoint. Letters and numbers are Unicode's;
//! lower-casing maps each character to one character, so that a term never grows.

mod decompositions;
mod fold;
mod stopwords;

use std::borrow::Cow;

pub use fold::fold_to_ascii;
pub use stopwords::stopwords;

use crate::schema::{TextAnalyzer, Tokenization};

/// Cuts `text` into terms, in their order, repetitions kept.
///
/// The tokenizers that need a dictionary (`gse`, `gse_ch`, `kagome_kr`, `kagome_ja`) are not there; the schema refuses
/// them, and here they cut like [`Tokenization::Word`].
pub fn tokenize(tokenization: Tokenization, text: &str) -> Vec<String> {
    match tokenization {
        Tokenization::Word
        | Tokenization::Gse
        | Tokenization::GseCh
        | Tokenization::KagomeKr
        | Tokenization::KagomeJa => words(text, |c| !c.is_alphanumeric()),
        Tokenization::Lowercase => words(text, char::is_whitespace),
        Tokenization::Whitespace => text.split_whitespace().map(str::to_owned).collect(),
        Tokenization::Field => vec![text.trim().to_owned()],
        Tokenization::Trigram => trigrams(text),
    }
}

/// Cuts a pattern of a `Like` filter: as [`tokenize`], with `*` and `?` kept.
pub fn tokenize_pattern(tokenization: Tokenization, pattern: &str) -> Vec<String> {
    match tokenization {
        Tokenization::Word
        | Tokenization::Gse
        | Tokenization::GseCh
        | Tokenization::KagomeKr
        | Tokenization::KagomeJa => words(pattern, |c| !c.is_alphanumeric() && c != '*' && c != '?'),
        Tokenization::Lowercase => words(pattern, char::is_whitespace),
        Tokenization::Whitespace => pattern.split_whitespace().map(str::to_owned).collect(),
        Tokenization::Field => vec![pattern.trim().to_owned()],
        Tokenization::Trigram => trigrams_with(pattern, |c| c.is_alphanumeric() || c == '*' || c == '?'),
    }
}

/// The text as an analyzer wants it before it is cut.
pub fn analyze<'a>(analyzer: Option<&TextAnalyzer>, text: &'a str) -> Cow<'a, str> {
    match analyzer {
        Some(analyzer) if analyzer.ascii_fold == Some(true) => fold_to_ascii(text, &analyzer.ascii_fold_ignore),
        _ => Cow::Borrowed(text),
    }
}

fn words(text: &str, is_gap: impl Fn(char) -> bool) -> Vec<String> {
    text.split(is_gap).filter(|word| !word.is_empty()).map(lower).collect()
}

fn lower(word: &str) -> String {
    if word.is_ascii() { word.to_ascii_lowercase() } else { word.chars().map(lower_char).collect() }
}

/// One character for one, so that the positions of a text stay what they are.
fn lower_char(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

fn trigrams(text: &str) -> Vec<String> {
    trigrams_with(text, char::is_alphanumeric)
}

fn trigrams_with(text: &str, keep: impl Fn(char) -> bool) -> Vec<String> {
    let kept: Vec<char> = text.chars().filter(|&c| keep(c)).map(lower_char).collect();
    kept.windows(3).map(|window| window.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tokenization_cuts_its_way() {
        let check =
            |tokenization, text: &str, want: &[&str]| assert_eq!(tokenize(tokenization, text), want, "{text:?}");
        check(Tokenization::Word, "Hello, World's end-2 x_y", &["hello", "world", "s", "end", "2", "x", "y"]);
        check(Tokenization::Word, " .. ", &[]);
        check(Tokenization::Word, "ÄRGER Straße", &["ärger", "straße"]);
        check(Tokenization::Lowercase, " Hello,  World's\tEND ", &["hello,", "world's", "end"]);
        check(Tokenization::Whitespace, " Hello,  World's\nEND ", &["Hello,", "World's", "END"]);
        check(Tokenization::Field, "  Hello,  World ", &["Hello,  World"]);
        check(Tokenization::Field, "  ", &[""]);
        check(Tokenization::Trigram, "A b-cD", &["abc", "bcd"]);
        check(Tokenization::Trigram, "a b", &[]);
    }

    #[test]
    fn patterns_keep_their_wildcards() {
        let check = |tokenization, text: &str, want: &[&str]| assert_eq!(tokenize_pattern(tokenization, text), want);
        check(Tokenization::Word, "Foo* b?r-baz", &["foo*", "b?r", "baz"]);
        check(Tokenization::Lowercase, "Foo* B?r-baz", &["foo*", "b?r-baz"]);
        check(Tokenization::Field, " Foo* bar ", &["Foo* bar"]);
    }
}

//! Tokenizers: splitting text into terms.
//!
//! Indexing, filters, keyword queries and the tokenize endpoint use the same functions. Letters and numbers are those of
//! Unicode. Lower-casing maps each character to one character, so that it never lengthens a term.

mod decompositions;
mod fold;
mod stopwords;

use std::borrow::Cow;

pub use fold::{fold_to_ascii, is_one_character};
pub use stopwords::{ENGLISH_STOPWORDS, stopword_preset, stopwords};

use crate::schema::{TextAnalyzer, Tokenization};

// Terms are part of the state that all replicas share, and the standard library's tables of Unicode decide them. Another
// version needs a feature level at which all replicas of a group change over, and an index that is rebuilt.
const _: () = assert!(
    matches!(char::UNICODE_VERSION, (17, 0, 0)),
    "the toolchain has other Unicode tables than those by which stored texts were cut into terms"
);

/// Splits `text` into terms, in their order and with repetitions.
///
/// The tokenizers that need a dictionary (`gse`, `gse_ch`, `kagome_kr`, `kagome_ja`) are not implemented: the schema
/// refuses them, and this function treats them as [`Tokenization::Word`].
pub fn tokenize(tokenization: Tokenization, text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    each_term(tokenization, text, |term| terms.push(term.to_owned()));
    terms
}

/// Calls `take` with each term of [`tokenize`], without allocating all of them.
pub fn each_term(tokenization: Tokenization, text: &str, mut take: impl FnMut(&str)) {
    match tokenization {
        Tokenization::Word
        | Tokenization::Gse
        | Tokenization::GseCh
        | Tokenization::KagomeKr
        | Tokenization::KagomeJa => each_word(text, |c| !c.is_alphanumeric(), take),
        Tokenization::Lowercase => each_word(text, char::is_whitespace, take),
        Tokenization::Whitespace => text.split_whitespace().for_each(take),
        Tokenization::Field => take(text.trim()),
        Tokenization::Trigram => each_trigram(text, char::is_alphanumeric, take),
    }
}

/// Splits a pattern of a `Like` filter like [`tokenize`], but keeps `*` and `?`.
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
        Tokenization::Trigram => trigrams(pattern, |c| c.is_alphanumeric() || c == '*' || c == '?'),
    }
}

/// Applies the part of an analyzer that precedes tokenization.
pub fn analyze<'a>(analyzer: Option<&TextAnalyzer>, text: &'a str) -> Cow<'a, str> {
    match analyzer {
        Some(analyzer) if analyzer.ascii_fold == Some(true) => fold_to_ascii(text, &analyzer.ascii_fold_ignore),
        _ => Cow::Borrowed(text),
    }
}

fn words(text: &str, is_gap: impl Fn(char) -> bool) -> Vec<String> {
    let mut words = Vec::new();
    each_word(text, is_gap, |word| words.push(word.to_owned()));
    words
}

fn each_word(text: &str, is_gap: impl Fn(char) -> bool, mut take: impl FnMut(&str)) {
    let mut lower = String::new();
    for word in text.split(is_gap).filter(|word| !word.is_empty()) {
        lower.clear();
        lower.extend(word.chars().map(lower_char));
        take(&lower);
    }
}

/// Lower-cases a character to one character; of a longer mapping, the first.
fn lower_char(c: char) -> char {
    if c.is_ascii() { c.to_ascii_lowercase() } else { c.to_lowercase().next().unwrap_or(c) }
}

fn trigrams(text: &str, keep: impl Fn(char) -> bool) -> Vec<String> {
    let mut trigrams = Vec::new();
    each_trigram(text, keep, |trigram| trigrams.push(trigram.to_owned()));
    trigrams
}

fn each_trigram(text: &str, keep: impl Fn(char) -> bool, mut take: impl FnMut(&str)) {
    let mut trigram = String::new();
    let mut chars = 0;
    for c in text.chars().filter(|&c| keep(c)).map(lower_char) {
        if chars == 3 {
            let first = trigram.chars().next().map_or(0, char::len_utf8);
            trigram.drain(..first);
            chars = 2;
        }
        trigram.push(c);
        chars += 1;
        if chars == 3 {
            take(&trigram);
        }
    }
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

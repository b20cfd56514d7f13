//! Folding of accented letters to their base letters.

use std::borrow::Cow;

use super::decompositions::DECOMPOSITIONS;

/// Letters without a canonical decomposition, each with its ASCII spelling. Ascending.
const SPELLED_OUT: &[(char, &str)] = &[
    ('Æ', "AE"),
    ('Ð', "D"),
    ('Ø', "O"),
    ('Þ', "TH"),
    ('ß', "ss"),
    ('æ', "ae"),
    ('ð', "d"),
    ('ø', "o"),
    ('þ', "th"),
    ('Đ', "D"),
    ('đ', "d"),
    ('Ħ', "H"),
    ('ħ', "h"),
    ('ı', "i"),
    ('Ĳ', "IJ"),
    ('ĳ', "ij"),
    ('Ł', "L"),
    ('ł', "l"),
    ('Œ', "OE"),
    ('œ', "oe"),
    ('ẞ', "SS"),
    ('ﬀ', "ff"),
    ('ﬁ', "fi"),
    ('ﬂ', "fl"),
    ('ﬃ', "ffi"),
    ('ﬄ', "ffl"),
    ('ﬆ', "st"),
];

/// Replaces accented letters by their base letters, and ligatures and letters such as `æ` and `ß` by their ASCII spelling.
/// The letters in `ignore` (composed or decomposed, in either case) are kept in composed form.
pub fn fold_to_ascii<'a>(text: &'a str, ignore: &[String]) -> Cow<'a, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let ignored: Vec<String> = ignore.iter().map(|letter| decompose(letter).to_lowercase()).collect();
    let decomposed = decompose(text);
    let mut folded = String::with_capacity(decomposed.len());
    let mut rest = decomposed.as_str();
    while let Some(base) = rest.chars().next() {
        let letter_len = rest.char_indices().skip(1).find(|&(_, c)| !is_mark(c)).map_or(rest.len(), |(at, _)| at);
        let (letter, after) = rest.split_at(letter_len);
        rest = after;
        if ignored.contains(&letter.to_lowercase()) {
            compose_into(&mut folded, letter);
        } else if let Ok(at) = SPELLED_OUT.binary_search_by_key(&base, |(from, _)| *from) {
            folded.push_str(SPELLED_OUT[at].1);
        } else if !is_mark(base) {
            folded.push(base);
        }
    }
    Cow::Owned(folded)
}

/// Whether a text is one character in composed form.
pub fn is_one_character(text: &str) -> bool {
    let mut composed = String::new();
    compose_into(&mut composed, &decompose(text));
    text.chars().nth(1).is_none() && !text.is_empty() || composed.chars().count() == 1
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}')
}

fn decompose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match DECOMPOSITIONS.binary_search_by_key(&c, |(from, _)| *from) {
            Ok(at) => out.push_str(DECOMPOSITIONS[at].1),
            Err(_) => out.push(c),
        }
    }
    out
}

fn compose_into(out: &mut String, letter: &str) {
    match DECOMPOSITIONS.iter().find(|(_, parts)| *parts == letter) {
        Some((composed, _)) => out.push(*composed),
        None => out.push_str(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_ordered() {
        assert!(SPELLED_OUT.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(DECOMPOSITIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn one_character_in_composed_form() {
        assert!(["a", "é", "e\u{301}", "東", "\u{301}"].into_iter().all(is_one_character));
        assert!(["", "ab", "éa", "e\u{301}a", "q\u{301}"].into_iter().all(|text| !is_one_character(text)));
    }

    #[test]
    fn folds() {
        let check = |text: &str, ignore: &[&str], want: &str| {
            let ignore: Vec<String> = ignore.iter().map(|&letter| letter.to_owned()).collect();
            assert_eq!(fold_to_ascii(text, &ignore), want, "{text:?}");
        };
        check("plain", &[], "plain");
        check("École ÜBER naïve Ærø straße", &[], "Ecole UBER naive AEro strasse");
        check("e\u{301}cole", &[], "ecole");
        check("ı İ ğ ő Ű Ŋ", &[], "i I g o U Ŋ");
        check("École été", &["é"], "École été");
        check("École été", &["E\u{301}"], "École été");
        check("École über", &["ü"], "Ecole über");
        check("e\u{301}te\u{301}", &["é"], "été");
    }
}

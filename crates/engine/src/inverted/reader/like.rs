//! Patterns of `Like`: `?` is one character, `*` any number of them, everything else is itself; there are no escapes.

/// A pattern, anchored at both ends.
pub(crate) struct Pattern {
    parts: Vec<char>,
}

impl Pattern {
    /// A pattern from its text.
    pub(crate) fn new(text: &str) -> Self {
        Self { parts: text.chars().collect() }
    }

    /// The characters before the first wildcard.
    pub(crate) fn literal_prefix(&self) -> String {
        self.parts.iter().take_while(|&&c| c != '*' && c != '?').collect()
    }

    /// Whether the whole of `text` matches. Takes at most `pattern * text` steps.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut part) = (0, 0);
        // Where to go on when what followed the last `*` does not match.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some('*') => {
                    retry = Some((at, part));
                    part += 1;
                }
                Some(&c) if c == '?' || c == text[at] => {
                    at += 1;
                    part += 1;
                }
                _ => match &mut retry {
                    Some((from, star)) => {
                        *from += 1;
                        (at, part) = (*from, *star + 1);
                    }
                    None => return false,
                },
            }
        }
        self.parts[part..].iter().all(|&c| c == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn wildcards() {
        let check = |pattern: &str, text: &str, want: bool| {
            assert_eq!(Pattern::new(pattern).matches(text), want, "{pattern:?} on {text:?}");
        };
        check("man", "man", true);
        check("man", "mane", false);
        check("ma*", "ma", true);
        check("m?n", "mén", true);
        check("m?n", "mn", false);
        check("*a*b*", "xxaxxbxx", true);
        check("*a*b", "ab ba", false);
        check("*", "", true);
        check("", "", true);
        check("", "a", false);
        check("?*", "", false);
        check("日本?*", "日本語 テキスト", true);
        check("*\\d", "a*b?c\\d", true);
        check(&"*a".repeat(50), &"a".repeat(49), false);
        assert_eq!(Pattern::new("abc?d*").literal_prefix(), "abc");
    }
}

//! Every Rust file opens with `//!`: what it is, what it promises, where to read next.

use super::{Violation, source::Source};

pub(super) fn check(source: &Source) -> Option<Violation> {
    let first = source.text.lines().next().unwrap_or_default();
    let says_something = first.strip_prefix("//!").is_some_and(|rest| rest.trim().len() >= 3);
    (!says_something).then(|| Violation::new(&source.path, 1, "the first line is not a `//!` header"))
}

#[cfg(test)]
mod tests {
    use super::{Source, check};

    #[test]
    fn wants_a_header_that_says_something() {
        assert!(check(&Source::new("a.rs", "//! Distances between vectors.\n")).is_none());
        for text in ["", "//!\n", "//! x\n", "// A comment.\n", "use std::fmt;\n"] {
            assert!(check(&Source::new("a.rs", text)).is_some(), "{text:?}");
        }
    }
}

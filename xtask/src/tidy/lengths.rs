//! Files stay under 500 lines and functions under 70, tests not counted: a ratchet.
//!
//! `xtask/tidy-exceptions.txt` lists what is longer today, a line each: `PATH lines N` or `PATH fn NAME N`.
//! N may only shrink: an entry that became too large or too generous breaks the rule, and
//! `cargo xtask tidy --update` rewrites the list to the present numbers, never upwards and never with a new entry.

use super::{Violation, source::Source};
use std::collections::BTreeMap;

pub(super) const EXCEPTIONS: &str = "xtask/tidy-exceptions.txt";
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What is too long: `PATH lines` or `PATH fn NAME`, with its length and where it starts.
type TooLong = BTreeMap<String, (usize, String, usize)>;

pub(super) fn check(sources: &[Source], exceptions: &str) -> Vec<Violation> {
    let found = too_long(sources);
    let listed = parse(exceptions);
    let mut violations = Vec::new();
    for (what, (length, path, line)) in &found {
        let max = if what.ends_with(" lines") { FILE_LINES_MAX } else { FUNCTION_LINES_MAX };
        match listed.get(what) {
            None => violations.push(Violation::new(path, *line, format!("{what}: {length} lines, at most {max}"))),
            Some(allowed) if length > allowed => {
                violations.push(Violation::new(path, *line, format!("{what}: grew from {allowed} to {length} lines")));
            }
            Some(_) => {}
        }
    }
    for (what, allowed) in &listed {
        if found.get(what).is_none_or(|(length, ..)| length < allowed) {
            let message = format!("`{what} {allowed}` is longer than needed: run `cargo xtask tidy --update`");
            violations.push(Violation::new(EXCEPTIONS, 0, message));
        }
    }
    violations
}

/// The list with every entry lowered to the present length, and without those that are no longer needed.
pub(super) fn shrink(exceptions: &str, sources: &[Source]) -> String {
    let found = too_long(sources);
    let kept = parse(exceptions).into_iter().filter_map(|(what, allowed)| {
        let (length, ..) = found.get(&what)?;
        Some(format!("{what} {}\n", allowed.min(*length)))
    });
    kept.collect()
}

fn too_long(sources: &[Source]) -> TooLong {
    let mut found = TooLong::new();
    for source in sources.iter().filter(|source| !source.is_test_file()) {
        let lines = source.line_count();
        if lines > FILE_LINES_MAX {
            found.insert(format!("{} lines", source.path), (lines, source.path.clone(), 0));
        }
        for function in &source.functions {
            let (start, end) = (*function.lines.start(), *function.lines.end());
            let length = end - start + 1;
            if length > FUNCTION_LINES_MAX && !source.is_test_line(start) {
                let what = format!("{} fn {}", source.path, function.name);
                let longest = found.get(&what).is_none_or(|(other, ..)| length > *other);
                if longest {
                    found.insert(what, (length, source.path.clone(), start));
                }
            }
        }
    }
    found
}

fn parse(exceptions: &str) -> BTreeMap<String, usize> {
    let entries = exceptions.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    entries
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(what, n)| (what.to_owned(), n.parse().unwrap_or(0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, check, shrink};

    fn function_of(lines: usize) -> Source {
        Source::new("a.rs", &format!("fn long() {{\n{}}}\n", "    f();\n".repeat(lines - 2)))
    }

    #[test]
    fn allows_what_is_listed_and_no_more() {
        assert!(check(&[function_of(70)], "").is_empty());
        assert_eq!(check(&[function_of(71)], "").len(), 1);
        assert!(check(&[function_of(80)], "a.rs fn long 80").is_empty());
        assert_eq!(check(&[function_of(81)], "a.rs fn long 80").len(), 1);
    }

    #[test]
    fn wants_the_list_to_shrink() {
        assert_eq!(check(&[function_of(79)], "a.rs fn long 80").len(), 1);
        assert_eq!(check(&[function_of(10)], "a.rs fn long 80").len(), 1);
        assert_eq!(shrink("a.rs fn long 80\nb.rs lines 900\n", &[function_of(79)]), "a.rs fn long 79\n");
        assert_eq!(shrink("a.rs fn long 75\n", &[function_of(79)]), "a.rs fn long 75\n");
    }

    #[test]
    fn counts_files_without_their_tests() {
        let body = "use x;\n".repeat(499);
        let text = format!("//! Head.\n{body}#[cfg(test)]\nmod tests {{\n    fn t() {{}}\n}}\n");
        assert!(check(&[Source::new("a.rs", &text)], "").is_empty());
        assert_eq!(check(&[Source::new("a.rs", &format!("use y;\n{text}"))], "").len(), 1);
        assert!(check(&[Source::new("a/tests.rs", &format!("use y;\n{text}"))], "").is_empty());
    }
}

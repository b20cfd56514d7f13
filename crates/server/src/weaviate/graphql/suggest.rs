//! "Did you mean": names that are nearly the one given.

/// Names suggested at most.
const NAMES_MAX: usize = 5;
/// Bytes of a name that others are suggested for, at most: no name of a schema is longer.
const NAME_BYTES_MAX: usize = 255;

/// The names that are near to `given`, as a question with a blank before it; empty when there are none.
pub(super) fn did_you_mean(given: &str, known: Vec<String>) -> String {
    if given.len() > NAME_BYTES_MAX {
        return String::new();
    }
    let mut near: Vec<(usize, String)> = known
        .into_iter()
        .filter_map(|name| {
            let far = (given.len() / 2).max(name.len() / 2).max(1);
            if given.len().abs_diff(name.len()) > far {
                return None;
            }
            let distance = distance(given, &name);
            (distance <= far).then_some((distance, name))
        })
        .collect();
    near.sort();
    let names: Vec<String> = near.into_iter().take(NAMES_MAX).map(|(_, name)| name).collect();
    if names.is_empty() { String::new() } else { format!(" Did you mean {}?", any_of(&names)) }
}

/// `"a", "b" or "c"`
pub(super) fn any_of(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

/// Letters that must be put in, taken out, replaced or exchanged with their neighbour to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + cost);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_nearest_first() {
        let check = |given: &str, known: &[&str], want: &str| {
            assert_eq!(did_you_mean(given, known.iter().map(|name| (*name).to_owned()).collect()), want, "{given}");
        };
        check("get", &["Get", "Aggregate"], " Did you mean \"Get\"?");
        check("one", &["phone", "title"], " Did you mean \"phone\"?");
        check("nearText", &["nearVector", "nearObject", "limit"], " Did you mean \"nearObject\" or \"nearVector\"?");
        check("Novel", &["Author", "Book", "Press"], "");
        check("tilte", &["title"], " Did you mean \"title\"?");
        check("name", &["pages", "place"], "");
        check(&"a".repeat(1_000_000), &["title"], "");
    }
}

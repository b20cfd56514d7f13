//! Relative links in Markdown files lead somewhere.

use super::{RepoFile, Violation};
use std::path::Path;

pub(super) fn check(root: &Path, files: &[RepoFile]) -> Vec<Violation> {
    let markdown = files.iter().filter(|file| file.path.ends_with(".md"));
    markdown
        .flat_map(|file| targets(&file.text).into_iter().map(move |(line, target)| (file, line, target)))
        .filter(|(file, _, target)| {
            let folder = root.join(&file.path);
            !folder.parent().unwrap_or(root).join(target).exists()
        })
        .map(|(file, line, target)| Violation::new(&file.path, line, format!("dead link: {target}")))
        .collect()
}

/// Paths of inline links and images outside code, without their anchors; absolute URLs and bare anchors are left out.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            let in_code = line[..at].matches('`').count() % 2 == 1;
            let Some(end) = line[at + 2..].find([')', ' ']) else { continue };
            let target = line[at + 2..at + 2 + end].split('#').next().unwrap_or_default();
            if !in_code && !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((index + 1, target));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn finds_relative_targets_outside_code() {
        let text = "See [a](docs/a.md#top), [b](https://x.y) and [c](#here).\n```\n[d](d.md)\n```\n`[e](e.md)` ![f](f.png \"t\")\n";
        assert_eq!(targets(text), [(1, "docs/a.md"), (5, "f.png")]);
    }
}

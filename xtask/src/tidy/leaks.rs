//! Nothing that belongs to one machine or one network is committed: package hosts, home folders, work folders.

use super::{RepoFile, Violation};

/// Cargo's own file names the index of its registry; nothing can be done about that.
const EXEMPT: [&str; 1] = ["Cargo.lock"];

/// Host names of package registries, in parts, so that this file does not break its own rule.
const HOSTS: [&[&str]; 8] = [
    &["crates", "io"],
    &["pypi", "org"],
    &["pythonhosted", "org"],
    &["npmjs", "org"],
    &["proxy.golang", "org"],
    &["maven", "org"],
    &["deb.debian", "org"],
    &["huggingface", "co"],
];

/// Folders of one machine, without their slashes.
const FOLDERS: [&str; 3] = ["work", "root", "home"];

pub(super) fn check(file: &RepoFile) -> Vec<Violation> {
    if EXEMPT.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let hosts = HOSTS.iter().map(|parts| parts.join("."));
    let mut violations = Vec::new();
    let patterns: Vec<String> = hosts.collect();
    for (index, line) in file.text.lines().enumerate() {
        let lower = line.to_lowercase();
        let host = patterns.iter().find(|pattern| lower.contains(pattern.as_str()));
        let folder = FOLDERS.iter().find(|folder| names_folder(line, folder));
        if let Some(host) = host {
            violations.push(Violation::new(&file.path, index + 1, format!("names the registry host {host}")));
        }
        if let Some(folder) = folder {
            violations.push(Violation::new(&file.path, index + 1, format!("names a path below /{folder}")));
        }
    }
    violations
}

/// Whether a line holds an absolute path `/folder/name`, and not `x/folder/name`.
fn names_folder(line: &str, folder: &str) -> bool {
    let pattern = format!("/{folder}/");
    line.match_indices(&pattern).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + pattern.len()..].chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}/:".contains(c)) && after.is_some_and(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::{RepoFile, check};

    fn broken(path: &str, text: &str) -> usize {
        check(&RepoFile { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn finds_hosts_and_folders_of_one_machine() {
        let host = ["crates", "io"].join(".");
        assert_eq!(broken("a.md", &format!("from https://{host}/x")), 1);
        assert_eq!(broken("Cargo.lock", &format!("registry+https://{host}-index")), 0);
        let folder = ["", "work", "main"].join("/");
        assert_eq!(broken("a.md", &format!("cd {folder}\n")), 1);
        assert_eq!(broken("a.md", &format!("cd ./x{folder}\n")), 0);
        assert_eq!(broken("a.md", "a volume at /var/lib/azimuth\n"), 0);
    }
}

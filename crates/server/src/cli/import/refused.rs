//! The records that were not stored, each with its reason, in a file that a program can read: one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use uuid::Uuid;

/// Reasons shown on the terminal at most; the file has them all.
const SHOWN_MAX: u64 = 10;

/// The file of refused records; it is made when the first one comes.
#[derive(Debug)]
pub(super) struct Refused {
    path: PathBuf,
    /// Whether an earlier run's reasons stay.
    append: bool,
    file: Option<File>,
    count: u64,
}

impl Refused {
    /// With `append` what an earlier run wrote stays, otherwise it is overwritten by the first record.
    pub(super) fn new(path: PathBuf, append: bool) -> Refused {
        Refused { path, append, file: None, count: 0 }
    }

    /// Writes a record down and returns the text to show, if it is one of the first.
    pub(super) fn add(&mut self, record: u64, id: Option<Uuid>, reason: &str) -> io::Result<Option<String>> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            options.create(true).write(true).append(self.append).truncate(!self.append);
            self.file = Some(options.open(&self.path)?);
        }
        if let Some(file) = &mut self.file {
            let line = json!({"record": record, "id": id, "error": reason});
            file.write_all(format!("{line}\n").as_bytes())?;
        }
        self.count += 1;
        Ok((self.count <= SHOWN_MAX).then(|| format!("record {record} refused: {reason}")))
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_reasons_are_in_the_file_and_the_first_ones_are_shown() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("refused");
        let mut refused = Refused::new(path.clone(), false);
        assert!(!path.exists(), "no refusal, no file");
        let shown = (0..20).filter_map(|record| refused.add(record, None, "bad \"date\"\n").expect("written")).count();
        assert_eq!((shown, refused.count()), (10, 20));
        Refused::new(path.clone(), true).add(20, Some(Uuid::nil()), "x").expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 21);
        assert_eq!((&lines[3]["record"], &lines[3]["error"]), (&json!(3), &json!("bad \"date\"\n")));
        Refused::new(path.clone(), false).add(0, None, "x").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read").lines().count(), 1);
    }
}

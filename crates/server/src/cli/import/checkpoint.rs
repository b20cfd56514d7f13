//! How far an import has come, in a small file beside its input, so that the next run goes on from there.
//!
//! The file is written anew and renamed over the old one; it names the input that it belongs to. Losing it costs time
//! only: ids are the same in every run, so that records sent twice are stored once.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;

/// What is written to the file, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    format: u32,
    /// Address of the server: another server has none of it.
    server: String,
    collection: String,
    /// Size of the input file: another size is another input.
    objects_bytes: u64,
    /// Records from the beginning that are stored, or listed as refused.
    records: u64,
}

/// The file that holds the position of one import.
#[derive(Debug)]
pub(super) struct Checkpoint {
    path: PathBuf,
    content: Content,
}

impl Checkpoint {
    /// The position that an earlier run left in `path`, or the beginning.
    ///
    /// # Errors
    /// A sentence, if the file belongs to another import or cannot be read.
    pub(super) fn open(
        path: PathBuf,
        server: &str,
        collection: &str,
        objects_bytes: u64,
    ) -> Result<Checkpoint, String> {
        let (server, collection) = (server.to_owned(), collection.to_owned());
        let fresh = Content { format: FORMAT, server, collection, objects_bytes, records: 0 };
        let shown = path.display();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint { path, content: fresh }),
            Err(error) => return Err(format!("reading {shown}: {error}")),
        };
        let content: Content =
            serde_json::from_slice(&text).map_err(|error| format!("{shown} is no position of an import: {error}"))?;
        if content.records == 0 {
            // No record was imported: whatever the earlier import was, it has no progress to resume.
            return Ok(Checkpoint { path, content: fresh });
        }
        if (Content { records: 0, ..content.clone() }) != fresh {
            return Err(format!(
                "{shown} belongs to another import (server {}, collection {}, input of {} bytes); remove it to begin anew",
                content.server, content.collection, content.objects_bytes
            ));
        }
        Ok(Checkpoint { path, content })
    }

    pub(super) fn records(&self) -> u64 {
        self.content.records
    }

    /// Writes the position down; it survives the end of this process at any moment.
    pub(super) fn advance(&mut self, records: u64) -> io::Result<()> {
        if records == self.content.records {
            return Ok(());
        }
        self.content.records = records;
        self.write()
    }

    /// Checks that the position can be written where it is kept, so that a folder where this is impossible shows before
    /// the work. Leaves no file behind.
    pub(super) fn try_write(&self) -> io::Result<()> {
        let temporary = self.temporary();
        std::fs::write(&temporary, b"")?;
        std::fs::remove_file(&temporary)
    }

    fn write(&self) -> io::Result<()> {
        let temporary = self.temporary();
        std::fs::write(&temporary, serde_json::to_vec(&self.content)?)?;
        std::fs::rename(&temporary, &self.path)
    }

    fn temporary(&self) -> PathBuf {
        self.path.with_extension("resume-new")
    }

    /// The import is complete: there is nothing to go on with.
    pub(super) fn remove(self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_run_goes_on_where_the_last_one_was() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("objects.jsonl.resume");
        let mut first = Checkpoint::open(path.clone(), "a:1", "Book", 100).expect("a new one");
        assert_eq!(first.records(), 0);
        first.advance(250).expect("written");
        let second = Checkpoint::open(path.clone(), "a:1", "Book", 100).expect("the same import");
        assert_eq!(second.records(), 250);
        second.remove().expect("removed");
        assert_eq!(Checkpoint::open(path, "a:1", "Book", 100).expect("a new one").records(), 0);
    }

    #[test]
    fn a_position_in_another_input_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("objects.jsonl.resume");
        Checkpoint::open(path.clone(), "a:1", "Book", 100).expect("a new one").advance(9).expect("written");
        assert!(Checkpoint::open(path.clone(), "a:1", "Film", 100).is_err());
        assert!(Checkpoint::open(path.clone(), "a:1", "Book", 101).is_err());
        assert!(Checkpoint::open(path.clone(), "b:1", "Book", 100).is_err());
        std::fs::write(&path, b"{").expect("written");
        assert!(Checkpoint::open(path, "a:1", "Book", 100).is_err());
    }

    #[test]
    fn before_a_record_is_done_there_is_no_file_and_one_from_before_binds_nobody() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("objects.jsonl.resume");
        let mut first = Checkpoint::open(path.clone(), "a:1", "Book", 100).expect("a new one");
        first.try_write().expect("a folder that can be written");
        first.advance(0).expect("nothing to write");
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
        first.write().expect("as versions before this one did");
        assert_eq!(Checkpoint::open(path, "b:1", "Film", 101).expect("another import").records(), 0);
    }
}

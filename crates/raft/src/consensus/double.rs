//! A state machine for tests: it counts what it applied, and keeps that in one small file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::Result;
use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::group::{Applied, Entry, EntryBody, LogPosition, StateMachine};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What is stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    position: Option<LogPosition>,
    membership: Option<(LogPosition, Vec<u8>)>,
    proposers: BTreeMap<u64, u64>,
    /// Numbers of `DropCollection` commands, in the order in which they were applied.
    pub(crate) numbers: Vec<u32>,
    /// How many commands each applied batch had.
    pub(crate) batches: Vec<usize>,
}

/// The double. Like the engine it is durable only up to its last flush.
pub(crate) struct Double {
    dir: PathBuf,
    kept: Mutex<Kept>,
    durable: Mutex<Option<LogPosition>>,
    pub(crate) apply_takes: Mutex<Duration>,
}

impl Double {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let kept = match fs::read(dir.join("double")) {
            Ok(bytes) => postcard::from_bytes(&bytes).expect("written by the double"),
            Err(_) => Kept::default(),
        };
        Ok(Self {
            dir: dir.to_path_buf(),
            durable: Mutex::new(kept.position),
            kept: Mutex::new(kept),
            apply_takes: Mutex::default(),
        })
    }

    pub(crate) fn kept(&self) -> Kept {
        self.kept.lock().clone()
    }

    /// Takes over a checkpoint.
    pub(crate) fn install(&self, dir: &Path) -> Result<()> {
        *self.kept.lock() = postcard::from_bytes(&fs::read(dir.join("double"))?).expect("written by the double");
        self.flush()?;
        Ok(())
    }
}

impl StateMachine for Double {
    fn applied(&self) -> Result<Applied> {
        let kept = self.kept();
        Ok(Applied { position: kept.position, membership: kept.membership })
    }

    fn durable(&self) -> Option<LogPosition> {
        *self.durable.lock()
    }

    fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Vec<Outcome>>> {
        std::thread::sleep(*self.apply_takes.lock());
        let mut kept = self.kept.lock();
        let mut outcomes = Vec::new();
        for Entry { position, body } in entries {
            assert!(kept.position < Some(position), "{position:?} after {:?}", kept.position);
            kept.position = Some(position);
            outcomes.push(match body {
                EntryBody::Blank => Vec::new(),
                EntryBody::Membership(bytes) => {
                    kept.membership = Some((position, bytes));
                    Vec::new()
                }
                EntryBody::Batch(batch) => {
                    let last = kept.proposers.entry(batch.proposer).or_default();
                    if batch.sequence <= *last {
                        vec![Outcome::Repeated; batch.commands.len()]
                    } else {
                        *last = batch.sequence;
                        kept.batches.push(batch.commands.len());
                        batch.commands.into_iter().map(|command| apply(&mut kept, &command)).collect()
                    }
                }
            });
        }
        Ok(outcomes)
    }

    fn flush(&self) -> Result<Option<LogPosition>> {
        let kept = self.kept();
        fs::write(self.dir.join("double.new"), postcard::to_stdvec(&kept).expect("plain data"))?;
        fs::rename(self.dir.join("double.new"), self.dir.join("double"))?;
        *self.durable.lock() = kept.position;
        Ok(kept.position)
    }

    fn checkpoint(&self, dir: &Path) -> Result<Applied> {
        fs::create_dir(dir)?;
        let kept = self.kept();
        fs::write(dir.join("double"), postcard::to_stdvec(&kept).expect("plain data"))?;
        Ok(Applied { position: kept.position, membership: kept.membership })
    }

    fn inspect(&self, dir: &Path) -> Result<Applied> {
        let kept: Kept = postcard::from_bytes(&fs::read(dir.join("double"))?).expect("written by the double");
        Ok(Applied { position: kept.position, membership: kept.membership })
    }

    fn install(&self, dir: &Path, _position: LogPosition) -> Result<Arc<Self>> {
        Self::install(self, dir)?;
        Ok(Arc::new(Self::open(&self.dir)?))
    }
}

/// `DropCollection(n)` is the command of these tests: its outcome carries the number back.
fn apply(kept: &mut Kept, command: &Command) -> Outcome {
    match command {
        Command::DropCollection(id) => {
            kept.numbers.push(id.0);
            Outcome::Refused(id.0.to_string())
        }
        other => panic!("the double does not know {other:?}"),
    }
}

//! A state machine for tests: it counts what it applied, and keeps that in one small file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azimuth_engine::Result;
use azimuth_engine::command::{Command, Outcome};
use azimuth_engine::level::FeatureLevel;
use azimuth_engine::replica::{Applied, Entry, EntryBody, LogPosition, StateMachine};
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
    /// An installed checkpoint has taken its place, and its file.
    replaced: Mutex<bool>,
    pub(crate) apply_takes: Mutex<Duration>,
    pub(crate) install_fails: Mutex<bool>,
}

impl Double {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        Ok(Self::with(dir, read(dir).unwrap_or_default()))
    }

    fn with(dir: &Path, kept: Kept) -> Self {
        Self {
            dir: dir.to_path_buf(),
            durable: Mutex::new(kept.position),
            kept: Mutex::new(kept),
            replaced: Mutex::default(),
            apply_takes: Mutex::default(),
            install_fails: Mutex::default(),
        }
    }

    pub(crate) fn kept(&self) -> Kept {
        self.kept.lock().clone()
    }
}

impl StateMachine for Double {
    fn applied(&self) -> Result<Applied> {
        let kept = self.kept();
        Ok(Applied { position: kept.position, membership: kept.membership })
    }

    fn level(&self) -> FeatureLevel {
        FeatureLevel::SUPPORTED
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
        let replaced = self.replaced.lock();
        let kept = self.kept();
        if *replaced {
            return Ok(kept.position);
        }
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
        let kept = read(dir)?;
        Ok(Applied { position: kept.position, membership: kept.membership })
    }

    fn install(&self, dir: &Path, position: LogPosition) -> Result<Arc<Self>> {
        if *self.install_fails.lock() {
            return Err(azimuth_engine::Error::Storage("made to fail".into()));
        }
        let mut replaced = self.replaced.lock();
        let next = Self::with(&self.dir, read(dir)?);
        assert_eq!(next.kept().position, Some(position));
        next.flush()?;
        *replaced = true;
        Ok(Arc::new(next))
    }
}

fn read(dir: &Path) -> Result<Kept> {
    Ok(postcard::from_bytes(&fs::read(dir.join("double"))?).expect("written by the double"))
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

//! Linearizable reads: one confirmation of leadership serves every read that waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::consensus::{Core, ReadRefused};
use crate::error::ReadError;

/// Reads that may wait for one confirmation.
const WAITING_MAX: usize = 65_536;

/// How long a confirmation may take.
const TIMEOUT: Duration = Duration::from_secs(10);

type Answer = oneshot::Sender<Result<(), ReadError>>;

/// Coalesces the barriers of a group.
pub(crate) struct ReadBarrier {
    waiting: mpsc::Sender<Answer>,
}

impl ReadBarrier {
    /// Starts the task that confirms. It ends when the barrier is dropped. `gate` is true once an entry that was written
    /// after the start is applied: before that, a leader that came back does not know what was acknowledged.
    pub(crate) fn start(core: Arc<Core>, gate: watch::Receiver<bool>) -> Self {
        let (waiting, arrivals) = mpsc::channel(WAITING_MAX);
        tokio::spawn(confirm(core, gate, arrivals));
        Self { waiting }
    }

    /// Returns once everything that was acknowledged before the call can be read here.
    pub(crate) async fn pass(&self) -> Result<(), ReadError> {
        let (answer, answered) = oneshot::channel();
        self.waiting.send(answer).await.map_err(|_| ReadError::Stopped)?;
        answered.await.unwrap_or(Err(ReadError::Stopped))
    }
}

async fn confirm(core: Arc<Core>, mut gate: watch::Receiver<bool>, mut arrivals: mpsc::Receiver<Answer>) {
    while let Some(first) = arrivals.recv().await {
        let mut round = vec![first];
        while let Ok(next) = arrivals.try_recv() {
            round.push(next);
        }
        let confirmed = timeout(TIMEOUT, async {
            gate.wait_for(|open| *open).await.map_err(|_| ReadError::Stopped)?;
            core.read_index().await.map_err(|refused| match refused {
                ReadRefused::NotLeader => ReadError::NotLeader,
                ReadRefused::Stopped => ReadError::Stopped,
            })
        })
        .await
        .unwrap_or(Err(ReadError::Timeout));
        for answer in round {
            // Whoever asked may have given up.
            let _ = answer.send(confirmed.clone());
        }
    }
}

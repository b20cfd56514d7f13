//! Batches commands into log entries.
//!
//! openraft 0.9 pays one fsync per entry, one after the other, so throughput is commands per entry. Commands that come
//! in while an entry is under way go together into the next one; a proposer with nothing under way sends at once.
//! Order: commands of one call are applied in their order, calls in the order in which they got into the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use azimuth_engine::command::{Command, Outcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::consensus::{Core, EncodedCommand, Proposal, SubmitRefused};
use crate::disk::DiskUse;
use crate::error::ProposeError;
use crate::metrics::ProposerMetrics;
use crate::options::ProposerLimits;

/// Bytes that one permit of the queue stands for.
const PERMIT_BYTES: usize = 1 << 10;

/// Commands of one call that fit into one entry, and who waits for their outcomes.
struct Piece {
    commands: Vec<EncodedCommand>,
    bytes: usize,
    answer: oneshot::Sender<Result<Vec<Outcome>, ProposeError>>,
    /// Room in the queue, given back when the piece is answered.
    _room: OwnedSemaphorePermit,
}

/// The way into a group's log.
pub(crate) struct Proposer {
    limits: ProposerLimits,
    room: Arc<Semaphore>,
    queue: mpsc::Sender<Piece>,
    metrics: Arc<ProposerMetrics>,
    disk: watch::Receiver<DiskUse>,
}

impl Proposer {
    /// Starts the task that batches. It ends when the proposer is dropped and the queue is empty.
    pub(crate) fn start(core: Arc<Core>, id: u64, limits: ProposerLimits, disk: watch::Receiver<DiskUse>) -> Self {
        let (queue, pieces) = mpsc::channel(limits.queue_proposals_max.max(1));
        let metrics = Arc::new(ProposerMetrics::default());
        let batcher = Batcher {
            core,
            id,
            sequence: 0,
            limits,
            pieces,
            carried: None,
            slots: Arc::new(Semaphore::new(limits.in_flight_max.max(1))),
            metrics: metrics.clone(),
        };
        tokio::spawn(batcher.run());
        Self { limits, room: Arc::new(Semaphore::new(permits(limits.queue_bytes_max))), queue, metrics, disk }
    }

    /// Proposes commands; see [`Group::propose`](crate::Group::propose).
    pub(crate) async fn propose(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, ProposeError> {
        let outcomes = self.carry_out(commands).await;
        match &outcomes {
            Err(ProposeError::Unknown(_)) => self.metrics.unknown.fetch_add(1, Ordering::Relaxed),
            Err(ProposeError::Overloaded { .. }) => self.metrics.overloaded.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        outcomes
    }

    async fn carry_out(&self, commands: Vec<Command>) -> Result<Vec<Outcome>, ProposeError> {
        let full = *self.disk.borrow();
        if full.refuses() && (full.refuses_removals() || !commands.iter().all(Command::frees_space)) {
            return Err(ProposeError::DiskFull { used_percent: full.used_percent, used_percent_max: full.percent_max });
        }
        let mut outcomes = Vec::with_capacity(commands.len());
        let mut answers = Vec::new();
        for commands in self.split(commands)? {
            match self.enqueue(commands).await {
                Ok(answer) => answers.push(answer),
                Err(error) if answers.is_empty() => return Err(error),
                Err(error) => {
                    let text = format!("the first part was taken, the next was not: {error}");
                    return Err(ProposeError::Unknown(text));
                }
            }
        }
        let write_timeout = self.limits.write_timeout;
        for (part, answer) in answers.into_iter().enumerate() {
            // An entry has a timeout of its own; this one covers the time in the queue too.
            match timeout(write_timeout, answer).await {
                Ok(Ok(Ok(applied))) => outcomes.extend(applied),
                // "Nothing happened" is only true of all commands if it was the first part.
                Ok(Ok(Err(error))) if part == 0 => return Err(error),
                Ok(Ok(Err(error))) => return Err(ProposeError::Unknown(format!("after a part of it: {error}"))),
                Ok(Err(_)) => return Err(ProposeError::Unknown("the node stopped on the way".into())),
                Err(_) => return Err(ProposeError::Unknown(format!("no answer within {write_timeout:?}"))),
            }
        }
        Ok(outcomes)
    }

    /// Bytes that wait or are under way.
    pub(crate) fn queued_bytes(&self) -> u64 {
        let used = permits(self.limits.queue_bytes_max) - self.room.available_permits();
        (used * PERMIT_BYTES) as u64
    }

    /// Most bytes that may wait.
    pub(crate) fn queue_bytes_max(&self) -> u64 {
        self.limits.queue_bytes_max as u64
    }

    pub(crate) fn metrics(&self) -> &ProposerMetrics {
        &self.metrics
    }

    /// Takes no more proposals; what is queued is still carried out.
    pub(crate) fn close(&self) {
        self.room.close();
    }

    /// Waits until everything that was taken is answered.
    pub(crate) async fn drained(&self) {
        while self.room.available_permits() < permits(self.limits.queue_bytes_max) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Cuts commands into parts that fit into an entry each.
    fn split(&self, commands: Vec<Command>) -> Result<Vec<Vec<EncodedCommand>>, ProposeError> {
        let mut parts: Vec<Vec<EncodedCommand>> = Vec::new();
        let mut bytes = 0;
        for command in commands {
            let encoded = EncodedCommand::new(&command)
                .map_err(|error| ProposeError::Unknown(format!("a command cannot be encoded: {error}")))?;
            let command_bytes = encoded.bytes();
            let bytes_max = self.limits.command_bytes_max.min(self.limits.queue_bytes_max);
            if command_bytes > bytes_max {
                return Err(ProposeError::TooLarge { bytes: command_bytes, bytes_max });
            }
            match parts.last_mut() {
                Some(part)
                    if bytes + command_bytes <= self.limits.entry_bytes_max
                        && part.len() < self.limits.entry_commands_max =>
                {
                    bytes += command_bytes;
                    part.push(encoded);
                }
                _ => {
                    bytes = command_bytes;
                    parts.push(vec![encoded]);
                }
            }
        }
        Ok(parts)
    }

    async fn enqueue(
        &self,
        commands: Vec<EncodedCommand>,
    ) -> Result<oneshot::Receiver<Result<Vec<Outcome>, ProposeError>>, ProposeError> {
        let bytes: usize = commands.iter().map(EncodedCommand::bytes).sum();
        let permits = u32::try_from(permits(bytes)).unwrap_or(u32::MAX);
        let (answer, answered) = oneshot::channel();
        let admitted = timeout(self.limits.queue_timeout, async {
            let room = self.room.clone().acquire_many_owned(permits).await.map_err(|_| ProposeError::Stopped)?;
            self.queue.send(Piece { commands, bytes, answer, _room: room }).await.map_err(|_| ProposeError::Stopped)
        })
        .await;
        match admitted {
            Ok(admitted) => admitted.map(|()| answered),
            Err(_) => Err(ProposeError::Overloaded { queued_bytes: self.queued_bytes() }),
        }
    }
}

fn permits(bytes: usize) -> usize {
    bytes.div_ceil(PERMIT_BYTES).max(1)
}

/// The task behind a proposer.
struct Batcher {
    core: Arc<Core>,
    id: u64,
    sequence: u64,
    limits: ProposerLimits,
    pieces: mpsc::Receiver<Piece>,
    /// The piece that did not fit into the last entry.
    carried: Option<Piece>,
    slots: Arc<Semaphore>,
    metrics: Arc<ProposerMetrics>,
}

impl Batcher {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let slot = self.slots.clone().acquire_owned().await;
            let Ok(slot) = slot else { return };
            let batch = self.fill(first).await;
            self.send(batch, slot).await;
        }
    }

    async fn next(&mut self) -> Option<Piece> {
        match self.carried.take() {
            Some(piece) => Some(piece),
            None => self.pieces.recv().await,
        }
    }

    /// Adds pieces that wait. When the entry is not full and others are under way, more may come for a moment.
    async fn fill(&mut self, first: Piece) -> Vec<Piece> {
        let (mut bytes, mut commands) = (first.bytes, first.commands.len());
        let mut batch = vec![first];
        let linger = tokio::time::sleep(self.limits.linger);
        tokio::pin!(linger);
        loop {
            let piece = match self.pieces.try_recv() {
                Ok(piece) => piece,
                // Our own slot is taken: anything less than that is somebody under way.
                Err(_) if self.slots.available_permits() + 1 >= self.limits.in_flight_max => break,
                Err(_) => tokio::select! {
                    piece = self.pieces.recv() => match piece {
                        Some(piece) => piece,
                        None => break,
                    },
                    () = &mut linger => break,
                },
            };
            // Whoever asked has given up, and was told that the fate is unknown: not to carry it out is allowed.
            if piece.answer.is_closed() {
                continue;
            }
            if bytes + piece.bytes > self.limits.entry_bytes_max
                || commands + piece.commands.len() > self.limits.entry_commands_max
            {
                self.carried = Some(piece);
                break;
            }
            bytes += piece.bytes;
            commands += piece.commands.len();
            batch.push(piece);
        }
        batch
    }

    async fn send(&mut self, batch: Vec<Piece>, slot: OwnedSemaphorePermit) {
        let mut commands = Vec::new();
        let mut waiting = Vec::with_capacity(batch.len());
        for piece in batch {
            waiting.push((piece.commands.len(), piece.answer, piece._room));
            commands.extend(piece.commands);
        }
        self.sequence += 1;
        self.metrics.entry_commands.add(commands.len() as u64);
        let started = Instant::now();
        let submitted = match Proposal::new(self.id, self.sequence, &commands) {
            Ok(proposal) => self.core.submit(proposal).await,
            Err(error) => Err(SubmitRefused::Lost(error.to_string())),
        };
        let (metrics, write_timeout) = (self.metrics.clone(), self.limits.write_timeout);
        tokio::spawn(async move {
            let applied = match submitted {
                Ok(submitted) => match timeout(write_timeout, submitted.applied()).await {
                    Ok(applied) => applied.map(|(_, outcomes)| outcomes).map_err(refused),
                    Err(_) => Err(ProposeError::Unknown(format!("no answer within {write_timeout:?}"))),
                },
                Err(error) => Err(refused(error)),
            };
            drop(slot);
            metrics.entry_us.add(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
            answer(waiting, applied);
        });
    }
}

fn refused(error: SubmitRefused) -> ProposeError {
    match error {
        SubmitRefused::NotLeader => ProposeError::NotLeader,
        SubmitRefused::Stopped => ProposeError::Stopped,
        SubmitRefused::Lost(text) => ProposeError::Unknown(text),
    }
}

type Waiting = (usize, oneshot::Sender<Result<Vec<Outcome>, ProposeError>>, OwnedSemaphorePermit);

/// Hands every piece its outcomes.
fn answer(waiting: Vec<Waiting>, applied: Result<Vec<Outcome>, ProposeError>) {
    let commands: usize = waiting.iter().map(|(commands, ..)| commands).sum();
    let applied = applied.and_then(|outcomes| match outcomes.len() == commands {
        true => Ok(outcomes),
        false => Err(ProposeError::Unknown(format!("{} outcomes for {commands} commands", outcomes.len()))),
    });
    // Whoever asked may have given up, so a failed send is no error.
    match applied {
        Ok(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            for (commands, sender, _room) in waiting {
                let _ = sender.send(Ok(outcomes.by_ref().take(commands).collect()));
            }
        }
        Err(error) => {
            for (_, sender, _room) in waiting {
                let _ = sender.send(Err(error.clone()));
            }
        }
    }
}

/// Ids of proposers: one per group and run of a process.
pub(crate) fn new_proposer_id() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    rand::random::<u64>() ^ COUNT.fetch_add(1, Ordering::Relaxed)
}

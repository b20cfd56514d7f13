//! `azimuth import`: loads JSON lines, and a file of vectors beside them, into a collection.
//!
//! The position up to which the server has acknowledged everything is written to a file, so that an import that was cut
//! off goes on from there; records that are sent twice have the same id and are stored once.
//!
//! Exit code 0: everything is stored. 1: finished, but some records were refused (they are listed in a file). 2: not
//! finished: wrong arguments, unreadable input, server gone, interrupted; the same command goes on.

mod checkpoint;
#[cfg(test)]
mod fuzz;
mod object;
mod progress;
mod records;
mod refused;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use azimuth_client::{BatchOptions, BatchWriter, Client, CollectionConfig, Error, Object, RetryPolicy, VectorIndex};
use uuid::Uuid;

use self::checkpoint::Checkpoint;
use self::object::Shape;
use self::progress::Progress;
use self::records::{Lines, VectorFile};
use self::refused::Refused;
use super::connect::{ConnectArgs, runtime};
use super::terminal::{complain, say};

const TIMEOUT: Duration = Duration::from_secs(120);
/// A server may be restarted during an import: about a minute of pauses.
const RETRY: RetryPolicy =
    RetryPolicy { attempts_max: 14, pause_first: Duration::from_millis(100), pause_max: Duration::from_secs(10) };
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// Load JSON lines, and vectors beside them, into a collection.
///
/// A line is an object whose fields become properties, or `{"id", "properties", "vector"}` as on the wire. Ids that are no UUID are
/// hashed together with the collection's name, so that a repeated import replaces what is there.
///
/// Exit code: 0 all stored, 1 some records refused (see the failures file), 2 not finished (the same command goes on).
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The collection to load into.
    #[arg(long, value_name = "NAME")]
    collection: String,
    /// The tenant to load into.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// JSON lines, plain or compressed with gzip.
    #[arg(long, value_name = "FILE")]
    objects: PathBuf,
    /// Vectors in the order of the lines: u32 count, u32 dimension, then f32, little-endian.
    #[arg(long, value_name = "FILE")]
    vectors: Option<PathBuf>,
    /// Name of the vector that the file holds, for collections with named vectors.
    #[arg(long, value_name = "NAME", default_value = azimuth_client::DEFAULT_VECTOR)]
    vector_name: String,
    /// The field that identifies a line; without it, its number does.
    #[arg(long, value_name = "FIELD", default_value = "id")]
    id_field: String,
    /// Keep the value of the id field in this property.
    #[arg(long, value_name = "PROPERTY")]
    id_property: Option<String>,
    /// Objects in one request.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Requests on the way at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    concurrency: u8,
    /// Create the collection if it does not exist: one unnamed vector, cosine distance.
    #[arg(long)]
    create: bool,
    /// Where the position is kept [default: the objects file with .resume added].
    #[arg(long, value_name = "FILE")]
    resume_file: Option<PathBuf>,
    /// Where refused records are listed, counted from 0 [default: the objects file with .failures.jsonl added].
    #[arg(long, value_name = "FILE")]
    failures: Option<PathBuf>,
}

/// Imports and returns the exit code. Not to be called inside a runtime: it brings its own.
pub(crate) fn run(args: &Args) -> ExitCode {
    let outcome = runtime().and_then(|runtime| {
        // Checked before the first request to the server, so that a mistake leaves nothing behind.
        let input = Input::open(args)?;
        // Whoever mistyped an address wants to know at once; patience is for a server that was there already.
        let first = args.connect.client(&runtime, RetryPolicy::default(), TIMEOUT)?;
        runtime.block_on(target(args, &first))?;
        let client = args.connect.client(&runtime, RETRY, TIMEOUT)?;
        runtime.block_on(import(args, input, &client))
    });
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(trouble) => {
            complain(trouble);
            ExitCode::from(2)
        }
    }
}

/// The files of an import, opened and checked.
struct Input {
    lines: Lines,
    vectors: Option<VectorFile>,
    checkpoint: Checkpoint,
}

impl Input {
    fn open(args: &Args) -> Result<Input, String> {
        let lines = Lines::open(&args.objects).map_err(failed("opening", &args.objects))?;
        let resume_file = args.resume_file.clone().unwrap_or_else(|| beside(&args.objects, ".resume"));
        let checkpoint = Checkpoint::open(resume_file, args.connect.url(), &args.collection, lines.extent().0)?;
        checkpoint.try_write().map_err(failed("writing", checkpoint.path()))?;
        let open = |path: &PathBuf| VectorFile::open(path, checkpoint.records()).map_err(failed("opening", path));
        let vectors = args.vectors.as_ref().map(open).transpose()?;
        if checkpoint.records() == 0 {
            check_lines(&args.objects, vectors.as_ref()).map_err(failed("reading", &args.objects))?;
        }
        Ok(Input { lines, vectors, checkpoint })
    }
}

/// Reads the first record, to see that the file can be unpacked, and with `vectors` all of them: each needs one.
fn check_lines(objects: &Path, vectors: Option<&VectorFile>) -> std::io::Result<()> {
    let (mut lines, mut records) = (Lines::open(objects)?, 0);
    let rows = vectors.map_or(0, VectorFile::rows);
    while lines.next()?.is_some() && vectors.is_some() {
        records += 1;
    }
    if vectors.is_some() && records > rows {
        return Err(std::io::Error::other(format!("there are only {rows} vectors for {records} records")));
    }
    Ok(())
}

/// Does the whole work and returns the number of refused records of this run.
async fn import(args: &Args, input: Input, client: &Client) -> Result<u64, String> {
    let mut collection = client.collection(&args.collection).map_err(|error| error.to_string())?;
    if let Some(tenant) = &args.tenant {
        collection = collection.tenant(tenant).map_err(|error| error.to_string())?;
    }
    let Input { lines, vectors, checkpoint } = input;
    let (total_bytes, read_bytes) = lines.extent();
    let skipped = checkpoint.records();
    let options = BatchOptions {
        objects_max: usize::from(args.batch),
        in_flight_max: usize::from(args.concurrency),
        ..BatchOptions::default()
    };
    let failures = args.failures.clone().unwrap_or_else(|| beside(&args.objects, ".failures.jsonl"));
    let mut work = Import {
        lines,
        vectors,
        vector_name: args.vector_name.clone(),
        shape: Shape::new(&args.collection, args.id_field.clone(), args.id_property.clone()),
        writer: collection.batch(options),
        open: Open::starting_at(skipped),
        checkpoint,
        checkpointed: Instant::now(),
        refused: Refused::new(failures, skipped > 0),
        progress: Progress::new(total_bytes, read_bytes),
    };
    if skipped > 0 {
        work.progress.line(&format!("going on after {skipped} records, as {} says", work.checkpoint.path().display()));
    }
    let outcome = work.load(&interrupted()).await;
    let stored = work.open.done() - skipped;
    let rate = work.progress.end(stored);
    outcome.map_err(|trouble| match work.checkpoint.advance(work.open.done()) {
        Ok(()) => format!("{trouble}\nazimuth: {} records are done; the same command goes on", work.open.done()),
        Err(error) => format!("{trouble}\nazimuth: and the position cannot be written: {error}"),
    })?;
    work.checkpoint.remove().map_err(|error| format!("removing the resume file: {error}"))?;
    let count = work.refused.count();
    let listed = if count > 0 { format!(", listed in {}", work.refused.path().display()) } else { String::new() };
    say(format!("{} objects stored, {rate:.0}/s; {count} refused{listed}\n", stored.saturating_sub(count)));
    Ok(count)
}

/// Sees to it that the collection to load into is there, and makes it if that was asked for.
async fn target(args: &Args, client: &Client) -> Result<(), String> {
    let collection = client.collection(&args.collection).map_err(|error| error.to_string())?;
    let exists = collection.exists().await;
    if exists.map_err(|error| format!("asking {}: {error}", args.connect.url()))? {
        return Ok(());
    }
    if !args.create {
        return Err(format!("there is no collection {}; --create makes one", args.collection));
    }
    let config = CollectionConfig::new(&args.collection);
    let config = if args.vector_name == azimuth_client::DEFAULT_VECTOR {
        config.unnamed_vector(VectorIndex::hnsw())
    } else {
        config.named_vector(&args.vector_name, VectorIndex::hnsw())
    };
    match client.create_collection(&config).await {
        // Another import was faster.
        Ok(_) | Err(Error::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(format!("creating the collection: {error}")),
    }
}

/// True after the first Ctrl-C; the second one ends the process.
fn interrupted() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            set.store(true, Ordering::Relaxed);
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(2);
        }
    });
    flag
}

struct Import {
    lines: Lines,
    vectors: Option<VectorFile>,
    vector_name: String,
    shape: Shape,
    writer: BatchWriter,
    open: Open,
    checkpoint: Checkpoint,
    checkpointed: Instant,
    refused: Refused,
    progress: Progress,
}

impl Import {
    /// Sends every record that is not done yet. On an error the position is that of the last settled batch.
    async fn load(&mut self, stop: &AtomicBool) -> Result<(), String> {
        let mut record = 0;
        for _ in 0..self.checkpoint.records() {
            self.lines
                .next()
                .map_err(|error| reading(&error))?
                .ok_or("the input has fewer records than the position says")?;
            record += 1;
        }
        while !stop.load(Ordering::Relaxed) {
            let Some(line) = self.lines.next().map_err(|error| reading(&error))? else {
                self.check_rows(record);
                let flushed = self.writer.flush().await;
                self.settle()?;
                return flushed.map_err(|error| sending(&error));
            };
            match parse(&self.shape, line, record, self.vectors.as_mut(), &self.vector_name)? {
                Ok(object) => self.send(record, &object).await?,
                Err(reason) => {
                    self.open.skip(record);
                    self.refuse(record, None, &reason)?;
                }
            }
            record += 1;
            self.settle()?;
        }
        let flushed = self.writer.flush().await;
        self.settle()?;
        flushed.map_err(|error| sending(&error))?;
        Err("interrupted".to_owned())
    }

    async fn send(&mut self, record: u64, object: &Object) -> Result<(), String> {
        self.open.send(record);
        match self.writer.add(object).await {
            Ok(()) => Ok(()),
            // This one object cannot be sent at all.
            Err(Error::Invalid(reason)) if self.writer.broken().is_none() => {
                self.open.unsend(record);
                self.refuse(record, Some(object.id), &reason)
            }
            Err(error) => {
                let _ = self.settle();
                Err(sending(&error))
            }
        }
    }

    /// Takes over what the writer has learnt since the last call, and writes the position down now and then.
    fn settle(&mut self) -> Result<(), String> {
        for failure in self.writer.take_failures() {
            let record = self.open.record_of(failure.index);
            self.refuse(record, Some(failure.id), &failure.message)?;
        }
        self.open.acknowledge(self.writer.acknowledged());
        self.progress.stand(self.open.done() - self.open.first);
        if self.checkpointed.elapsed() >= CHECKPOINT_EVERY {
            self.checkpointed = Instant::now();
            self.checkpoint
                .advance(self.open.done())
                .map_err(|error| format!("writing {}: {error}", self.checkpoint.path().display()))?;
        }
        Ok(())
    }

    fn refuse(&mut self, record: u64, id: Option<Uuid>, reason: &str) -> Result<(), String> {
        let shown = self.refused.add(record, id, reason).map_err(failed("writing", self.refused.path()))?;
        if let Some(text) = shown {
            self.progress.line(&text);
        }
        Ok(())
    }

    fn check_rows(&self, records: u64) {
        if let Some(vectors) = self.vectors.as_ref().filter(|vectors| vectors.rows() != records) {
            let text = format!(
                "warning: {} vectors of {} dimensions for {records} records",
                vectors.rows(),
                vectors.dimension()
            );
            self.progress.line(&text);
        }
    }
}

/// The object of a line with its vector; `Err` inside if only this record is bad, outside if the import cannot go on.
fn parse(
    shape: &Shape,
    line: &[u8],
    record: u64,
    vectors: Option<&mut VectorFile>,
    vector_name: &str,
) -> Result<Result<Object, String>, String> {
    // The row is taken even if the line is bad: rows and lines go together.
    let vector =
        vectors.map(|file| file.next().map_err(|error| format!("reading the vectors: {error}"))).transpose()?;
    Ok(shape.object(line, record).map(|object| match vector {
        Some(vector) => object.named_vector(vector_name, vector),
        None => object,
    }))
}

/// Which records are sent and not acknowledged, and how far everything is done.
struct Open {
    /// Record at which this run began.
    first: u64,
    /// Record after the last one that was sent or refused.
    end: u64,
    /// Records sent and not acknowledged, oldest first.
    waiting: VecDeque<u64>,
    acknowledged: u64,
}

impl Open {
    fn starting_at(first: u64) -> Open {
        Open { first, end: first, waiting: VecDeque::new(), acknowledged: 0 }
    }

    fn send(&mut self, record: u64) {
        self.waiting.push_back(record);
        self.end = record + 1;
    }

    /// The record sent last was not taken after all.
    fn unsend(&mut self, record: u64) {
        if self.waiting.back() == Some(&record) {
            self.waiting.pop_back();
        }
    }

    /// A record that is not sent; it is done when those before it are.
    fn skip(&mut self, record: u64) {
        self.end = record + 1;
    }

    /// The record that was sent as number `index` of this run; it is not acknowledged yet.
    fn record_of(&self, index: u64) -> u64 {
        let place = usize::try_from(index - self.acknowledged).unwrap_or(usize::MAX);
        self.waiting.get(place).copied().unwrap_or(self.end)
    }

    fn acknowledge(&mut self, acknowledged: u64) {
        while self.acknowledged < acknowledged && self.waiting.pop_front().is_some() {
            self.acknowledged += 1;
        }
    }

    /// Records from the beginning of the input that are stored or refused.
    fn done(&self) -> u64 {
        self.waiting.front().copied().unwrap_or(self.end)
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> String + use<'a> {
    move |error| format!("{doing} {}: {error}", path.display())
}

fn reading(error: &std::io::Error) -> String {
    format!("reading the objects: {error}")
}

fn sending(error: &Error) -> String {
    format!("sending: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_ends_before_the_first_open_record() {
        let mut open = Open::starting_at(10);
        assert_eq!(open.done(), 10);
        for record in [10, 11, 13, 14] {
            if record == 13 {
                open.skip(12);
            }
            open.send(record);
        }
        open.skip(15);
        assert_eq!(open.done(), 10);
        assert_eq!((open.record_of(2), open.record_of(3)), (13, 14));
        open.acknowledge(2);
        assert_eq!(open.done(), 13, "the refused record 12 is done, too");
        assert_eq!(open.record_of(3), 14);
        open.unsend(14);
        open.acknowledge(3);
        assert_eq!(open.done(), 16);
    }
}

//! Timing many calls: some clients, each with one call on the way at a time, for a while.

use std::future::Future;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// What some clients measured together.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Calls a second, all clients together.
    pub per_second: f64,
    /// The median time of a call.
    pub p50: Duration,
    /// The time that 99 % of the calls stay below.
    pub p99: Duration,
    /// Mean of what the calls returned, for instance their recall.
    pub mean: f64,
}

/// Runs `clients` clients for `span`, each a thread with a runtime of its own, as separate programs would be. `connect` is
/// called inside the runtime and gives what makes a call; that gets numbers 0, 1, 2, .. over all clients and returns a figure
/// to be averaged. The first calls of each client open its connections and are not counted.
///
/// # Errors
/// The first error of a call, or of a start.
///
/// # Panics
/// If a call panics.
pub fn measure<S, C, F, E>(clients: usize, span: Duration, connect: S) -> Result<Rate, E>
where
    S: Fn() -> Result<C, E> + Sync,
    C: Fn(usize) -> F,
    F: Future<Output = Result<f64, E>>,
    E: From<std::io::Error> + Send,
{
    let next = AtomicUsize::new(0);
    let start = Barrier::new(clients);
    let parts: Vec<Result<Part, E>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(|| one_client(span, &connect, &next, &start))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client does not panic")).collect()
    });
    let mut times = histogram();
    let (mut sum, mut per_second) = (0.0, 0.0);
    for part in parts {
        let part = part?;
        times.add(&part.times).expect("histograms of one kind");
        sum += part.sum;
        per_second += part.times.len() as f64 / part.elapsed.as_secs_f64();
    }
    Ok(Rate {
        per_second,
        p50: Duration::from_nanos(times.value_at_quantile(0.5)),
        p99: Duration::from_nanos(times.value_at_quantile(0.99)),
        mean: sum / (times.len() as f64).max(1.0),
    })
}

/// What one client measured.
struct Part {
    times: Histogram<u64>,
    sum: f64,
    elapsed: Duration,
}

fn one_client<S, C, F, E>(span: Duration, connect: &S, next: &AtomicUsize, start: &Barrier) -> Result<Part, E>
where
    S: Fn() -> Result<C, E>,
    C: Fn(usize) -> F,
    F: Future<Output = Result<f64, E>>,
    E: From<std::io::Error>,
{
    const WARM_UP: usize = 5;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(E::from);
    let ready = runtime.and_then(|runtime| {
        let call = runtime.block_on(async {
            let call = connect()?;
            for number in 0..WARM_UP {
                call(number).await?;
            }
            Ok::<C, E>(call)
        })?;
        Ok((runtime, call))
    });
    // A client that failed must not keep the others waiting.
    start.wait();
    let (runtime, call) = ready?;
    runtime.block_on(async {
        let (mut times, mut sum) = (histogram(), 0.0);
        let begun = Instant::now();
        while begun.elapsed() < span {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let called = Instant::now();
            sum += call(number).await?;
            times.saturating_record(u64::try_from(called.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(Part { times, sum, elapsed: begun.elapsed() })
    })
}

/// Nanoseconds up to ten minutes.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("good bounds")
}

/// The run in the middle, by calls a second.
///
/// # Panics
/// If there is no run.
pub fn median(mut runs: Vec<Rate>) -> Rate {
    runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    runs[runs.len() / 2]
}

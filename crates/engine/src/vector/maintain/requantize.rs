//! Requantising: from the codes that an index has to those of its settings, in bounded steps beside searches and
//! inserts.
//!
//! Scalar and product codes are trained first: on `training_limit` vectors, or on fewer once nothing waits for the
//! graph and they are enough. Until then the present or the default codes serve. All vectors are then
//! coded by as many threads as work, while every vector that comes is coded both ways (see [`code_columns`](crate::vector::store::code_columns)).
//! Nothing of it survives a restart: the saved codes serve, and it begins anew.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::calibration::calibrated;
use crate::vector::arena::State;
use crate::vector::config::{Codes, IndexConfig};
use crate::vector::core::Core;
use crate::vector::quantize::{CodeKind, Codec, Encoding, ProductTraining, Requantization, Scalar, Training};
use crate::vector::store::code_columns;
use crate::vector::store::view::View;

/// Result of a step.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::vector) struct Step {
    pub coded: usize,
    /// Whether another step would find something to do.
    pub more: bool,
}

/// The change from the present codes to those of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Compare f32.
    Drop,
    /// Compare these codes; the default ones only if they suit the vectors.
    Make { kind: CodeKind, tried: bool, training_limit: usize },
}

/// Slots coded in one step.
const STEP_SLOTS: u32 = 512;

/// Vectors that training looks at, at most.
const SAMPLE_MAX: usize = 65_536;

/// Vectors for each centroid that are enough to train with when no more seem to come.
const ENOUGH_PER_CENTROID: usize = 40;

/// One bounded step.
pub(in crate::vector) fn step(core: &Core, config: &IndexConfig) -> Step {
    let Some(mut state) = core.requantization.try_lock() else { return Step { coded: 0, more: true } };
    match &mut *state {
        Requantization::Idle => match wanted(core, config) {
            None => Step::default(),
            Some(change) => {
                *state = begin(core, change);
                Step { coded: 0, more: true }
            }
        },
        Requantization::Away => Step::default(),
        Requantization::Training(_) => train(core, config, state),
        Requantization::Encoding(_) => encode(core, state),
    }
}

/// Whether the codes are not yet what the settings ask for. Waits for a step that another thread has begun: its
/// end decides whether there is something to do for this one.
pub(in crate::vector) fn is_wanted(core: &Core, config: &IndexConfig) -> bool {
    let is_idle = matches!(*core.requantization.lock(), Requantization::Idle);
    !is_idle || wanted(core, config).is_some()
}

fn wanted(core: &Core, config: &IndexConfig) -> Option<Change> {
    let view = core.store.view();
    let present = view.tables.codec().map(|codec| codec.kind());
    if present.is_none() && core.store.len() <= core.options.graph_cutoff {
        return None;
    }
    let codes = config.codes_with(view.graph.is_some() || core.outgrows_scan(config));
    let kind = CodeKind::wanted(codes, core.distance, core.dim);
    match kind {
        Some(kind) if kind.is_trained() && present != Some(kind) && !can_train(core, config, &view, kind, codes) => {
            if present.is_some() {
                None
            } else {
                change(core, &view, Codes::Default)
            }
        }
        _ => change(core, &view, codes),
    }
}

fn change(core: &Core, view: &View, codes: Codes) -> Option<Change> {
    let present = view.tables.codec().map(|codec| codec.kind());
    match (CodeKind::wanted(codes, core.distance, core.dim), present) {
        (None, None) => None,
        (None, Some(_)) => Some(Change::Drop),
        (wanted, present) if wanted == present => None,
        (Some(_), None) if codes == Codes::Default && view.tables.layout.codes_refused => None,
        (Some(kind), _) => {
            let tried = codes == Codes::Default;
            Some(Change::Make { kind, tried, training_limit: training_limit(codes) })
        }
    }
}

fn training_limit(codes: Codes) -> usize {
    match codes {
        Codes::Scalar { training_limit, .. } | Codes::Product { training_limit, .. } => training_limit,
        Codes::Default | Codes::None | Codes::Rotational { .. } | Codes::Binary { .. } => 0,
    }
}

/// Whether there are enough vectors to train with.
fn can_train(core: &Core, config: &IndexConfig, view: &View, kind: CodeKind, codes: Codes) -> bool {
    let live = core.store.len();
    if live >= training_limit(codes) {
        return true;
    }
    let enough = match kind {
        CodeKind::Product { centroids, .. } => centroids as usize * ENOUGH_PER_CENTROID,
        CodeKind::Rotational { .. } | CodeKind::Scalar | CodeKind::Signs => 0,
    };
    let settled = config.hnsw().is_none() || view.graph.is_some() || !core.outgrows_scan(config);
    settled && live >= enough && view.waiting() == 0
}

fn begin(core: &Core, change: Change) -> Requantization {
    let Change::Make { kind, tried, training_limit } = change else {
        code_columns::drop_codes(&core.store, true, false);
        return Requantization::Idle;
    };
    let view = core.store.view();
    let seed = core.options.seed;
    if let Some(codec) = Codec::untrained(core.distance, core.dim, kind, seed) {
        let (codec, fits) = calibrated(&core.kernels, &view.tables, core.store.high(&view), codec);
        if tried && !fits {
            code_columns::drop_codes(&core.store, true, true);
            return Requantization::Idle;
        }
        return start(core, codec);
    }
    let slots = sample(core, &view, training_limit);
    match kind {
        CodeKind::Product { segments, centroids } => {
            let training = Training::new(core.dim, segments as usize, centroids as usize, seed);
            Requantization::Training(Box::new(ProductTraining { kind, slots, training }))
        }
        CodeKind::Scalar | CodeKind::Rotational { .. } | CodeKind::Signs => {
            let (mut least, mut greatest) = (f32::INFINITY, f32::NEG_INFINITY);
            gather(&view, &slots, 0..core.dim, |values| {
                for &value in values {
                    (least, greatest) = (least.min(value), greatest.max(value));
                }
            });
            if least > greatest {
                return Requantization::Idle;
            }
            start(core, Codec::scalar(core.distance, core.dim, Scalar::between(least, greatest)))
        }
    }
}

/// Slots to train with, from all over the index.
fn sample(core: &Core, view: &View, limit: usize) -> Vec<u32> {
    let is_live = |slot: &u32| view.tables.state(*slot).load(Ordering::Acquire) & State::LIVE != 0;
    let live: Vec<u32> = (0..core.store.high(view)).filter(is_live).collect();
    let count = limit.clamp(1, SAMPLE_MAX).min(live.len());
    (0..count).map(|i| live[i * live.len() / count]).collect()
}

/// Shows components of those of the slots that are still live.
fn gather(view: &View, slots: &[u32], components: Range<usize>, mut take: impl FnMut(&[f32])) {
    for &slot in slots {
        if view.tables.has(slot) && view.tables.state(slot).load(Ordering::Acquire) & State::LIVE != 0 {
            // SAFETY: seen live under this view.
            take(&unsafe { view.tables.original(slot) }[components.clone()]);
        }
    }
}

/// Trains one segment without holding the lock.
fn train(core: &Core, config: &IndexConfig, mut state: MutexGuard<'_, Requantization>) -> Step {
    let Requantization::Training(mut product) = std::mem::replace(&mut *state, Requantization::Away) else {
        return Step::default();
    };
    drop(state);
    let view = core.store.view();
    let codes = config.codes_with(view.graph.is_some() || core.outgrows_scan(config));
    let mut next = Requantization::Idle;
    if CodeKind::wanted(codes, core.distance, core.dim) == Some(product.kind) {
        let mut sample = Vec::new();
        let components = product.training.next_segment().unwrap_or_default();
        gather(&view, &product.slots, components, |values| sample.extend_from_slice(values));
        drop(view);
        if !sample.is_empty() {
            product.training.train(&sample);
            next = match product.training.next_segment() {
                Some(_) => Requantization::Training(product),
                None => match product.training.finish() {
                    Some(trained) => start(core, Codec::product(core.distance, core.dim, product.kind, trained)),
                    None => Requantization::Idle,
                },
            };
        }
    }
    *core.requantization.lock() = next;
    Step { coded: 0, more: true }
}

fn start(core: &Core, codec: Codec) -> Requantization {
    let codec = Arc::new(codec);
    code_columns::begin_codes(&core.store, &codec);
    let end = core.store.high(&core.store.view());
    Requantization::Encoding(Encoding { codec, claimed: 0, end, open: 0 })
}

/// Quantises a range without holding the lock; the thread with the last range puts the codes in force.
fn encode(core: &Core, mut state: MutexGuard<'_, Requantization>) -> Step {
    let Requantization::Encoding(encoding) = &mut *state else { return Step::default() };
    let codec = encoding.codec.clone();
    let range = encoding.claimed..encoding.claimed.saturating_add(STEP_SLOTS).min(encoding.end);
    if range.is_empty() && encoding.open > 0 {
        return Step { coded: 0, more: true };
    }
    encoding.claimed = range.end;
    encoding.open += 1;
    drop(state);
    let coded = encode_range(core, &codec, range);
    let mut state = core.requantization.lock();
    if let Requantization::Encoding(encoding) = &mut *state
        && Arc::ptr_eq(&encoding.codec, &codec)
    {
        encoding.open -= 1;
        if coded.is_none() || (encoding.claimed >= encoding.end && encoding.open == 0) {
            code_columns::finish_codes(&core.store, &codec);
            *state = Requantization::Idle;
        }
    }
    Step { coded: coded.unwrap_or(0), more: true }
}

/// Codes what is in use among these slots; `None` if the codec is not the next one any more.
fn encode_range(core: &Core, codec: &Arc<Codec>, range: Range<u32>) -> Option<usize> {
    // Held until the codes are written: what is live under it stays where it is.
    let view = core.store.view();
    if !view.tables.is_next(codec) {
        return None;
    }
    let (mut scratch, mut row, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let (mut coded, mut left) = (Vec::new(), Vec::new());
    // The last slots may have been given back since the range began.
    for slot in range.filter(|&slot| view.tables.has(slot)) {
        let state = view.tables.state(slot).load(Ordering::Acquire);
        if state & (State::LIVE | State::LINKED) != 0 {
            // SAFETY: seen live or in the graph under this view.
            codec.encode(unsafe { view.tables.original(slot) }, &mut scratch, &mut row);
            rows.extend_from_slice(&row);
            coded.push(slot);
        } else if state != State::FREE {
            left.push(slot);
        }
    }
    let _writer = core.store.writer.lock();
    let now = core.store.view();
    if !now.tables.is_next(codec) {
        return None;
    }
    for (&slot, row) in coded.iter().zip(rows.chunks_exact(codec.stride())) {
        // SAFETY: the writer's lock is held.
        unsafe { now.tables.write_next_code(slot, row) };
    }
    // Dead and not linked: free to be used again, or in the hands of a builder that may link it yet.
    for &slot in left.iter().filter(|&&slot| now.tables.state(slot).load(Ordering::Acquire) & State::LIVE == 0) {
        // SAFETY: the slot was used before, and the writer's lock, without which nobody writes to it, is held.
        unsafe {
            codec.encode(now.tables.original(slot), &mut scratch, &mut row);
            now.tables.write_next_code(slot, &row);
        }
    }
    Some(coded.len())
}

//! Searches for which one term suffices: MaxScore over windows of doc ids.
//!
//! The scores of a window are summed in an array, list by list. Before, the greatest scores of the blocks that reach into the
//! window bound those of its documents: a window that cannot have a hit is passed over with all its blocks, and lists that
//! together cannot lift a document to a hit are only asked for the documents that the other lists have found.

use super::lists::{Operand, Operands};
use super::top::{Candidates, Top};
use crate::inverted::reader::ranked::END;
use crate::{Result, interrupt};

/// Doc ids of a window.
const WINDOW: usize = 2_048;

/// Offers every object that can be a hit to `top`.
///
/// # Errors
/// Those of the index, of reading ids, and of an interrupt.
pub(super) fn rank(operands: &mut Operands<'_>, candidates: &mut Candidates<'_>, top: &mut Top<'_>) -> Result<()> {
    let mut window = Window { sums: vec![0; WINDOW], found: [0; WINDOW / 64] };
    let mut bounds: Vec<(i64, usize)> = Vec::with_capacity(operands.all.len());
    loop {
        interrupt::check()?;
        let start = operands.all.iter_mut().map(|operand| operand.cursor.floor()).min().unwrap_or(END);
        let start = if start == END { END } else { candidates.next_from(start) };
        if start == END {
            return Ok(());
        }
        let end = start.saturating_add(WINDOW as u64);
        bounds.clear();
        for (at, Operand { cursor, scorer, .. }) in operands.all.iter_mut().enumerate() {
            cursor.pass(start);
            bounds.push((cursor.bound(end, |frequency, length| scorer.bound(frequency, length)), at));
        }
        let total: i64 = bounds.iter().map(|(bound, _)| bound).sum();
        if top.admits(total) {
            bounds.sort_unstable();
            window.rank(operands, &bounds, start..end, candidates, top)?;
        }
        operands.all.iter_mut().for_each(|operand| operand.cursor.pass(end));
    }
}

/// The sums of the documents of a window.
struct Window {
    /// By distance from the first doc id; 0 between windows.
    sums: Vec<i64>,
    /// A bit for each document that a list has.
    found: [u64; WINDOW / 64],
}

impl Window {
    /// `bounds`: greatest score of each list in the window, ascending.
    fn rank(
        &mut self,
        operands: &mut Operands<'_>,
        bounds: &[(i64, usize)],
        docs: std::ops::Range<u64>,
        candidates: &Candidates<'_>,
        top: &mut Top<'_>,
    ) -> Result<()> {
        // The longest start of `bounds` that does not make a hit alone.
        let (mut optional, mut optional_max) = (0, 0_i64);
        while let Some((bound, _)) = bounds.get(optional).filter(|(bound, _)| !top.admits(optional_max + bound)) {
            optional_max += bound;
            optional += 1;
        }
        for (_, at) in &bounds[optional..] {
            let Operand { cursor, scorer, .. } = &mut operands.all[*at];
            let (sums, found) = (&mut self.sums, &mut self.found);
            cursor.drain(docs.end, |posting| {
                let slot = (posting.doc_id.0 - docs.start) as usize;
                sums[slot] += scorer.score(posting.frequency, posting.length);
                found[slot / 64] |= 1 << (slot % 64);
            })?;
        }
        for word in 0..self.found.len() {
            let mut bits = std::mem::take(&mut self.found[word]);
            while bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let sum = std::mem::take(&mut self.sums[slot]);
                if top.admits(sum + optional_max) {
                    let doc_id = docs.start + slot as u64;
                    offer(operands, &bounds[..optional], (doc_id, sum, optional_max), candidates, top)?;
                }
            }
        }
        Ok(())
    }
}

/// Adds the scores of the optional lists to the sum of a document, as long as it can be a hit. `rest`: what these can add.
fn offer(
    operands: &mut Operands<'_>,
    optional: &[(i64, usize)],
    (doc_id, mut sum, mut rest): (u64, i64, i64),
    candidates: &Candidates<'_>,
    top: &mut Top<'_>,
) -> Result<()> {
    if !candidates.contain(doc_id) {
        return Ok(());
    }
    for (bound, at) in optional.iter().rev() {
        if !top.admits(sum + rest) {
            return Ok(());
        }
        rest -= bound;
        let Operand { cursor, scorer, .. } = &mut operands.all[*at];
        if cursor.seek(doc_id)? == doc_id
            && let Some(posting) = cursor.posting()
        {
            sum += scorer.score(posting.frequency, posting.length);
        }
    }
    top.offer(doc_id, sum)
}

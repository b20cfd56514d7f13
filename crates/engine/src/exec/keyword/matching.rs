//! Searches for which several terms must meet in an object, and searches among few objects: document by document.
//!
//! The least document that can match follows from the positions in the lists: of a property of which `n` terms are needed it
//! is the `n`th least position. All lists move there, which moves the least document further, until the two are equal.

use super::lists::{Condition, Operand, Operands};
use super::top::{Candidates, Top};
use crate::inverted::reader::ranked::END;
use crate::{Result, interrupt};

/// Offers every object that can be a hit to `top`.
///
/// # Errors
/// Those of the index, of reading ids, and of an interrupt.
pub(super) fn rank(operands: &mut Operands<'_>, candidates: &mut Candidates<'_>, top: &mut Top<'_>) -> Result<()> {
    let mut matcher = Matcher { positions: vec![0; operands.all.len()], ..Matcher::default() };
    let mut target = 0;
    loop {
        interrupt::check()?;
        target = candidates.next_from(target);
        if target == END {
            return Ok(());
        }
        // All documents up to `last` are in the present blocks.
        let (mut bound, mut last) = (0_i64, END - 1);
        for Operand { cursor, scorer, .. } in &mut operands.all {
            let (of_list, last_of_list) =
                cursor.block_bound(target, |frequency, length| scorer.bound(frequency, length));
            bound += of_list;
            last = last.min(last_of_list);
        }
        if !top.admits(bound) {
            target = last + 1;
            continue;
        }
        for (position, operand) in matcher.positions.iter_mut().zip(&mut operands.all) {
            *position = operand.cursor.seek(target)?;
        }
        let least = matcher.least(operands);
        if least == END {
            return Ok(());
        }
        if least > target {
            target = least;
            continue;
        }
        if candidates.contain(target) {
            top.offer(target, matcher.sum(operands, target))?;
        }
        target += 1;
    }
}

#[derive(Default)]
struct Matcher {
    /// The present doc id of each list.
    positions: Vec<u64>,
    /// Of one clause, or of one term.
    some: Vec<u64>,
}

impl Matcher {
    /// The least document that can match, by the positions.
    fn least(&mut self, operands: &Operands<'_>) -> u64 {
        match &operands.condition {
            Condition::Each(needed) => {
                let mut least = END;
                let mut from = 0;
                for of_clause in operands.all.chunk_by(|a, b| a.clause == b.clause) {
                    let needed = needed[of_clause[0].clause];
                    self.some.clear();
                    self.some.extend_from_slice(&self.positions[from..from + of_clause.len()]);
                    from += of_clause.len();
                    // Clauses with fewer lists than are needed have been left out.
                    let (_, nth, _) = self.some.select_nth_unstable(needed - 1);
                    least = least.min(*nth);
                }
                least
            }
            Condition::Cross(terms) => {
                self.some.clear();
                self.some.resize(*terms, END);
                for (operand, position) in operands.all.iter().zip(&self.positions) {
                    self.some[operand.term] = self.some[operand.term].min(*position);
                }
                self.some.iter().max().copied().unwrap_or(END)
            }
        }
    }

    /// The sum of a document that matches.
    fn sum(&self, operands: &Operands<'_>, doc_id: u64) -> i64 {
        let mut sum = 0;
        let mut from = 0;
        for of_clause in operands.all.chunk_by(|a, b| a.clause == b.clause) {
            let positions = &self.positions[from..from + of_clause.len()];
            from += of_clause.len();
            let having = positions.iter().filter(|position| **position == doc_id).count();
            let counts = match &operands.condition {
                Condition::Each(needed) => having >= needed[of_clause[0].clause],
                Condition::Cross(_) => true,
            };
            if !counts {
                continue;
            }
            for (operand, _) in of_clause.iter().zip(positions).filter(|(_, position)| **position == doc_id) {
                if let Some(posting) = operand.cursor.posting() {
                    sum += operand.scorer.score(posting.frequency, posting.length);
                }
            }
        }
        sum
    }
}

//! The lists of postings of a search, and the positions of a pass over them.

use super::analysis::Analysis;
use super::weights::{Scorer, Weights};
use crate::Result;
use crate::inverted::DocSet;
use crate::inverted::form::postings::Posting;
use crate::inverted::reader::lookup::Lookup;
use crate::inverted::reader::ranked::{PostingCursor, TermPostings};
use crate::query::{Charge, Explained, KeywordOperator};

/// Bytes of an explained term beside the term itself, its text on a wire included.
const EXPLAINED_BYTES: usize = 192;

/// The postings of each term in each searched property.
pub(super) struct Lists {
    lists: Vec<List>,
}

struct List {
    clause: usize,
    /// Position among the terms of the clause's group.
    term: usize,
    postings: TermPostings,
}

impl Lists {
    /// Reads the lists that have postings. `charge` is charged with their memory.
    ///
    /// # Errors
    /// Those of the index and of the charge.
    pub(super) fn read(lookup: &Lookup<'_>, analysis: &Analysis<'_>, charge: Charge) -> Result<Self> {
        let (mut lists, mut reader) = (Vec::new(), lookup.posting_reader());
        for (clause, of) in analysis.clauses.iter().enumerate() {
            for (term, of_term) in analysis.groups[of.group].terms.iter().enumerate() {
                let postings = reader.read(of.property.id, &of_term.text)?;
                if !postings.is_empty() {
                    charge.take(postings.bytes())?;
                    lists.push(List { clause, term, postings });
                }
            }
        }
        Ok(Self { lists })
    }

    /// Number of postings, of dead doc ids too.
    pub(super) fn postings(&self) -> u64 {
        self.lists.iter().map(|list| list.postings.len() as u64).sum()
    }

    /// Live objects per clause and term.
    ///
    /// # Errors
    /// Those of the index.
    pub(super) fn frequencies(
        &self,
        analysis: &Analysis<'_>,
        live: &DocSet,
        clean_below: u64,
    ) -> Result<Vec<Vec<u64>>> {
        let none = analysis.clauses.iter().map(|clause| vec![0; analysis.groups[clause.group].terms.len()]);
        let mut frequencies: Vec<Vec<u64>> = none.collect();
        for list in &self.lists {
            frequencies[list.clause][list.term] = list.postings.live_count(live, clean_below)?;
        }
        Ok(frequencies)
    }
}

/// Whether the terms of an object suffice.
#[derive(Debug)]
pub(super) enum Condition {
    /// At least so many different terms within one clause; per clause.
    Each(Vec<usize>),
    /// All of so many terms, over all clauses.
    Cross(usize),
}

/// A list and a position in it.
pub(super) struct Operand<'p> {
    pub cursor: PostingCursor<'p>,
    pub scorer: Scorer,
    pub clause: usize,
    pub term: usize,
}

/// A pass over the lists of a search.
pub(super) struct Operands<'p> {
    /// By clause.
    pub all: Vec<Operand<'p>>,
    pub condition: Condition,
}

impl<'p> Operands<'p> {
    /// Before the first posting of each list. Lists of clauses that cannot match are left out.
    pub(super) fn new(analysis: &Analysis<'_>, lists: &'p Lists, weights: &Weights, operator: KeywordOperator) -> Self {
        let terms = |clause: usize| analysis.groups[analysis.clauses[clause].group].terms.len();
        let condition = match operator {
            KeywordOperator::AndCross => Condition::Cross(analysis.groups.first().map_or(0, |group| group.terms.len())),
            KeywordOperator::And => Condition::Each((0..analysis.clauses.len()).map(terms).collect()),
            KeywordOperator::Or { minimum } => {
                Condition::Each(vec![usize::try_from(minimum).unwrap_or(usize::MAX).max(1); analysis.clauses.len()])
            }
        };
        let mut present = vec![0_usize; analysis.clauses.len()];
        lists.lists.iter().for_each(|list| present[list.clause] += 1);
        let can_match = |list: &&List| match &condition {
            Condition::Each(needed) => present[list.clause] >= needed[list.clause],
            Condition::Cross(_) => true,
        };
        let operand = |list: &'p List| Operand {
            cursor: PostingCursor::new(&list.postings),
            scorer: weights.scorer(list.clause, list.term, list.postings.len()),
            clause: list.clause,
            term: list.term,
        };
        let all = lists.lists.iter().filter(can_match).map(operand).collect();
        Self { all, condition }
    }

    /// Whether one term suffices.
    pub(super) fn is_union(&self) -> bool {
        match &self.condition {
            Condition::Each(needed) => self.all.iter().all(|operand| needed[operand.clause] <= 1),
            Condition::Cross(_) => false,
        }
    }

    /// Frequency and length of each term in each of these documents: of the first property that has it. `charge` is
    /// charged with their memory, as text too.
    ///
    /// # Errors
    /// Those of the index.
    pub(super) fn explain(
        &mut self,
        analysis: &Analysis<'_>,
        docs: &[u64],
        charge: Charge,
    ) -> Result<Vec<Vec<Explained>>> {
        let mut order: Vec<usize> = (0..docs.len()).collect();
        order.sort_unstable_by_key(|&at| docs[at]);
        let mut all = vec![Vec::new(); docs.len()];
        for at in order {
            let mut known: Vec<&str> = Vec::new();
            for operand in &mut self.all {
                let group = analysis.clauses[operand.clause].group;
                let term = analysis.groups[group].terms[operand.term].text.as_str();
                if operand.cursor.seek(docs[at])? != docs[at] || known.contains(&term) {
                    continue;
                }
                known.push(term);
                if let Some(Posting { frequency, length, .. }) = operand.cursor.posting() {
                    charge.take(EXPLAINED_BYTES + 3 * term.len())?;
                    all[at].push(Explained::Term { term: term.to_owned(), frequency, length });
                }
            }
        }
        Ok(all)
    }
}

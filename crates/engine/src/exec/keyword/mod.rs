//! Keyword searches: BM25F over the postings of a shard.
//!
//! `analysis` cuts the query into terms, `lists` reads their postings and counts them, `weights` turns counts into scores,
//! `union` and `matching` go over the postings and offer objects to `top`, which keeps the best.
//!
//! Scores are summed as integers, so that neither the order of the terms nor the number of shards changes a bit of them.
//! Objects whose upper bound is below the score of the last one kept are passed over; equal scores are never passed over,
//! since the ids decide between them.

mod analysis;
mod lists;
mod matching;
mod top;
mod union;
mod weights;

use std::borrow::Cow;
use std::collections::BTreeSet;

use roaring::RoaringTreemap;
use uuid::Uuid;

use self::analysis::Analysis;
use self::lists::{Lists, Operands};
use self::top::{Candidates, Top};
use self::weights::Weights;
use super::ReadContext;
use super::fetch::read_id;
use super::filter::Filtered;
use super::search::{Found, Search};
use crate::error::readable;
use crate::ids::{DocId, ShardKey};
use crate::inverted::IndexView;
use crate::inverted::form::column::{self, Stored};
use crate::inverted::form::terms::{ColumnOf, OBJECT};
use crate::inverted::reader::columns::ColumnReader;
use crate::inverted::reader::lookup::Lookup;
use crate::query::{Keyword, KeywordStatistics, Query, Score};
use crate::shard::records::CompactionRecord;
use crate::{Error, Result};

/// Documents of one chunk from which on their ids are read from the column and not from the rows.
const COLUMN_DOCS_MIN: usize = 8;
/// Matches of a filter, as a share of the postings, below which each match is looked up in the postings.
const MATCHES_SHARE: u64 = 16;

impl ReadContext<'_> {
    /// The counts by which a keyword search weighs its terms, in this shard.
    ///
    /// # Errors
    /// As [`ReadContext::search`].
    pub(crate) fn keyword_statistics(self, at: ShardKey, keyword: &Keyword) -> Result<KeywordStatistics> {
        let (schema, shard) = self.state.known(at)?;
        let search = Search::begin(self, &schema, &shard, &BTreeSet::new())?;
        let analysis = Analysis::of(&schema, keyword)?;
        search.reporting(|| search.counted(&search.filtered().lookup(&search.view), &analysis))
    }
}

impl Search<'_> {
    /// Refuses a search that the schema does not allow.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a property that is not searchable or searched twice, and for properties that do not suit the
    /// operator.
    pub(super) fn check_keyword(&self, keyword: &Keyword) -> Result<()> {
        analysis::check(self.schema, keyword).map(drop)
    }

    /// The hits from the query's offset on; equal scores are in the order of the doc ids.
    pub(super) fn keywords(
        &self,
        query: &Query,
        keyword: &Keyword,
        k: usize,
        matches: Option<&RoaringTreemap>,
    ) -> Result<Vec<Found>> {
        self.reporting(|| {
            let filtered = self.filtered();
            self.ranked(&filtered.lookup(&self.view), query, keyword, k, matches)
        })
    }

    fn filtered(&self) -> Filtered<'_> {
        Filtered { context: self.context, schema: self.schema, shard: self.shard }
    }

    /// Asks for a rebuild when a block that is decoded late fails its checks.
    fn reporting<T>(&self, read: impl FnOnce() -> Result<T>) -> Result<T> {
        read().inspect_err(|error| {
            if let Error::DamagedIndex(why) = error {
                self.context.maintenance.begin_rebuild(self.shard.at, why);
            }
        })
    }

    /// The counts of this shard, for which one list of postings is in memory at a time.
    fn counted(&self, lookup: &Lookup<'_>, analysis: &Analysis<'_>) -> Result<KeywordStatistics> {
        let clean_below = self.clean_below()?;
        let mut reader = lookup.posting_reader();
        let mut frequencies = Vec::with_capacity(analysis.clauses.len());
        for clause in &analysis.clauses {
            let mut of_clause = Vec::new();
            for term in &analysis.groups[clause.group].terms {
                let list = reader.read(clause.property.id, &term.text)?;
                of_clause.push(list.live_count(&self.view.state.live, clean_below)?);
            }
            frequencies.push(of_clause);
        }
        Ok(analysis.statistics(&self.view.state, frequencies))
    }

    fn ranked(
        &self,
        lookup: &Lookup<'_>,
        query: &Query,
        keyword: &Keyword,
        k: usize,
        matches: Option<&RoaringTreemap>,
    ) -> Result<Vec<Found>> {
        let analysis = Analysis::of(self.schema, keyword)?;
        let lists = Lists::read(lookup, &analysis, query.include.charge)?;
        let statistics = match &keyword.statistics {
            Some(statistics) => Cow::Borrowed(statistics),
            None => {
                let frequencies = lists.frequencies(&analysis, &self.view.state.live, self.clean_below()?)?;
                Cow::Owned(analysis.statistics(&self.view.state, frequencies))
            }
        };
        let weights = Weights::new(self.schema, &analysis, &statistics)?;
        let hidden = self.shard.unreadable.known();
        let mut candidates = Candidates::new(&self.view.state.live, matches, hidden);
        let ids = |docs: &[u64]| self.ids_of(&lookup.view, docs);
        let mut top = Top::new(k, weights.scale, &ids);
        let mut operands = Operands::new(&analysis, &lists, &weights, keyword.operator);
        let is_narrow = matches.is_some_and(|matches| matches.len() * MATCHES_SHARE < lists.postings());
        if operands.is_union() && !is_narrow {
            union::rank(&mut operands, &mut candidates, &mut top)?;
        } else {
            matching::rank(&mut operands, &mut candidates, &mut top)?;
        }
        let page = top.page(query.offset)?;
        let explanations = if keyword.explain {
            let mut operands = Operands::new(&analysis, &lists, &weights, keyword.operator);
            let docs: Vec<u64> = page.iter().map(|(_, doc_id)| *doc_id).collect();
            operands.explain(&analysis, &docs, query.include.charge)?
        } else {
            vec![Vec::new(); page.len()]
        };
        let found = page.into_iter().zip(explanations).map(|((value, doc_id), explanation)| {
            let score = Some(Box::new(Score { value, explanation }));
            Found { doc_id: DocId(doc_id), distance: None, score }
        });
        Ok(found.collect())
    }

    /// Entries below this doc id that have keys of their own hold live doc ids alone.
    fn clean_below(&self) -> Result<u64> {
        let record = CompactionRecord::at(&self.view.store, self.context.state.group, self.shard.at)?;
        Ok(record.clean_below(&self.view.state.live))
    }

    /// The ids of documents, which ascend; the greatest one for a document whose row cannot be read.
    fn ids_of(&self, view: &IndexView<'_>, docs: &[u64]) -> Result<Vec<Uuid>> {
        let mut ids = Vec::with_capacity(docs.len());
        let mut columns = ColumnReader::new(view, OBJECT, ColumnOf::Id);
        for of_chunk in docs.chunk_by(|a, b| column::chunk_of(*a) == column::chunk_of(*b)) {
            let mut known = vec![None; of_chunk.len()];
            if of_chunk.len() >= COLUMN_DOCS_MIN && view.has_columns() {
                columns.each(of_chunk, |at, value| {
                    if let Stored::Uuid(id) = value {
                        known[at] = Some(id);
                    }
                    Ok(())
                })?;
            }
            for (doc_id, known) in of_chunk.iter().zip(known) {
                ids.push(match known {
                    Some(id) => id,
                    None => readable(read_id(self.shard, &self.view, DocId(*doc_id)))?.unwrap_or(Uuid::max()),
                });
            }
        }
        Ok(ids)
    }
}

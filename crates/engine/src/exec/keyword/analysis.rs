//! The terms of a query, as each searched property has them.

use std::collections::{BTreeSet, HashMap};

use crate::query::{Keyword, KeywordOperator, KeywordStatistics, PropertyStatistics};
use crate::schema::{Collection, Property, Tokenization};
use crate::shard::ShardState;
use crate::{Error, Result, tokenizer};

/// Lists of postings of one search: terms times properties.
const LISTS_MAX: usize = 16_384;
/// Greatest absolute value of a boost: sums of scores stay within f32.
const BOOST_MAX: f64 = 1e30;

/// A query, cut into terms.
pub(super) struct Analysis<'s> {
    /// One per searched property.
    pub clauses: Vec<Clause<'s>>,
    /// Properties that share their terms.
    pub groups: Vec<Group>,
}

/// A searched property.
pub(super) struct Clause<'s> {
    pub property: &'s Property,
    pub boost: f64,
    /// Position of its group.
    pub group: usize,
}

/// The terms of properties with the same tokenization and text analyzer.
pub(super) struct Group {
    /// Different terms in the order of their first occurrence, stop words left out.
    pub terms: Vec<QueryTerm>,
}

/// A term of the query.
pub(super) struct QueryTerm {
    pub text: String,
    /// How often the query has it.
    pub repetitions: u32,
}

/// The searched properties.
///
/// # Errors
/// [`Error::Invalid`] for a property that is not searchable or given twice, and for properties of several groups where the
/// operator needs one.
pub(super) fn check<'s>(schema: &'s Collection, keyword: &Keyword) -> Result<Vec<Clause<'s>>> {
    let mut clauses: Vec<Clause<'s>> = Vec::with_capacity(keyword.properties.len());
    for searched in &keyword.properties {
        let property = schema.properties().iter().find(|property| property.id == searched.property);
        let property = property.filter(|property| property.searchable).ok_or_else(|| {
            Error::Invalid(format!("property {} of collection {} is not searchable", searched.property, schema.name))
        })?;
        if clauses.iter().any(|clause| clause.property.id == property.id) {
            return Err(Error::Invalid(format!("property '{}' is searched twice", property.name)));
        }
        let same = |clause: &&Clause<'_>| {
            clause.property.tokenization == property.tokenization
                && clause.property.text_analyzer == property.text_analyzer
        };
        let next = clauses.iter().map(|clause| clause.group + 1).max().unwrap_or(0);
        let group = clauses.iter().find(same).map_or(next, |clause| clause.group);
        let boost = if searched.boost.is_finite() { searched.boost.clamp(-BOOST_MAX, BOOST_MAX) } else { 0.0 };
        clauses.push(Clause { property, boost, group });
    }
    if keyword.operator == KeywordOperator::AndCross && clauses.iter().any(|clause| clause.group > 0) {
        let why = "the operator AndCross requires that all searched properties have the same tokenization and analyzer";
        return Err(Error::Invalid(why.into()));
    }
    Ok(clauses)
}

impl<'s> Analysis<'s> {
    /// Cuts the query.
    ///
    /// # Errors
    /// As [`check`]; [`Error::Limit`] for too many terms.
    pub(super) fn of(schema: &'s Collection, keyword: &Keyword) -> Result<Self> {
        let clauses = check(schema, keyword)?;
        let mut groups = Vec::new();
        for clause in &clauses {
            // The first property of a group comes before those of later groups.
            if clause.group == groups.len() {
                groups.push(Group::of(schema, clause.property, &keyword.query));
            }
        }
        let lists: usize = clauses.iter().map(|clause| groups[clause.group].terms.len()).sum();
        if lists > LISTS_MAX {
            return Err(Error::Limit(format!(
                "the keyword search has {lists} pairs of terms and properties, above the limit of {LISTS_MAX}: shorten the \
                 query or name fewer properties"
            )));
        }
        Ok(Self { clauses, groups })
    }

    /// The statistics of a shard, of which `frequencies` are known: per clause and term.
    pub(super) fn statistics(&self, state: &ShardState, frequencies: Vec<Vec<u64>>) -> KeywordStatistics {
        let of_clause = |(clause, frequencies): (&Clause<'_>, Vec<u64>)| {
            let lengths = state.record.lengths.get(&clause.property.id).copied().unwrap_or_default();
            PropertyStatistics { objects: lengths.objects, tokens: lengths.tokens, frequencies }
        };
        let properties = self.clauses.iter().zip(frequencies).map(of_clause).collect();
        KeywordStatistics { objects: state.live.len(), properties }
    }
}

impl Group {
    fn of(schema: &Collection, property: &Property, query: &str) -> Self {
        let tokenization = property.tokenization.unwrap_or(Tokenization::Word);
        // Those of the collection hold for words; those of the property itself whatever its tokenization is.
        let has_own = property.text_analyzer.as_ref().is_some_and(|analyzer| analyzer.stopword_preset.is_some());
        let stopwords = match tokenization {
            Tokenization::Word => tokenizer::stopwords(&schema.inverted, Some(property)),
            _ if has_own => tokenizer::stopwords(&schema.inverted, Some(property)),
            _ => BTreeSet::new(),
        };
        let text = tokenizer::analyze(property.text_analyzer.as_ref(), query);
        let (mut terms, mut known) = (Vec::<QueryTerm>::new(), HashMap::new());
        for term in tokenizer::tokenize(tokenization, &text) {
            if term.is_empty() || stopwords.contains(&term) {
                continue;
            }
            match known.get(&term) {
                Some(&at) => {
                    let term: &mut QueryTerm = &mut terms[at];
                    term.repetitions = term.repetitions.saturating_add(1);
                }
                None => {
                    known.insert(term.clone(), terms.len());
                    terms.push(QueryTerm { text: term, repetitions: 1 });
                }
            }
        }
        Self { terms }
    }
}

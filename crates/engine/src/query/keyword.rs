//! Keyword searches: BM25F over the terms of a query.

use serde::{Deserialize, Serialize};

use crate::ids::PropertyId;
use crate::{Error, Result};

/// A keyword search: the objects with the greatest BM25F score.
///
/// The query is cut into terms by the tokenization of each property, and stop words are left out: those of the collection
/// where the tokenization is by words, those that a property chooses itself always. Properties with the same tokenization and text analyzer
/// form a *group*. The score of an object is, over the terms of the query and the properties that [match](KeywordOperator),
///
/// ```text
/// sum of idf * repetitions in the query * boost * f / (f + k1 * (1 - b + b * length / mean length))
/// idf = ln(1 + (N - n + 0.5) / (n + 0.5))
/// ```
///
/// where `f` is the frequency of the term in the property, `N` the number of objects, and `n` the mean number of objects with
/// the term over those properties of the group that have it, rounded down. The mean length of a property is that of the
/// objects with a token in it. All of these count the live objects exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyword {
    /// The text that was searched for.
    pub query: String,
    /// The searched properties, each once. All must be searchable.
    pub properties: Vec<SearchedProperty>,
    /// Which objects match.
    pub operator: KeywordOperator,
    /// Statistics of all shards of the search; `None` to take those of the shard that answers.
    pub statistics: Option<KeywordStatistics>,
    /// Whether scores come with explanations.
    pub explain: bool,
}

/// A property that a keyword search looks at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchedProperty {
    /// Which property.
    pub property: PropertyId,
    /// Factor of its scores; may be 0 or negative.
    pub boost: f64,
}

/// Which objects a keyword search finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeywordOperator {
    /// Objects with at least so many different terms of the query in one property; 0 counts as 1. Properties with fewer
    /// add nothing to the score.
    Or {
        /// The number.
        minimum: u32,
    },
    /// Objects with all terms of the query in one property. Properties that lack one add nothing to the score.
    And,
    /// Objects with all terms of the query, each in any of the properties, which must be one group.
    AndCross,
}

/// The counts by which a keyword search weighs its terms. Those of several shards add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeywordStatistics {
    /// Live objects.
    pub objects: u64,
    /// Per searched property, in the order of the search.
    pub properties: Vec<PropertyStatistics>,
}

/// The counts of one searched property.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyStatistics {
    /// Live objects with at least one token there.
    pub objects: u64,
    /// Tokens of these objects.
    pub tokens: u64,
    /// Per different term of the query, in the order of their first occurrence: live objects with the term there.
    pub frequencies: Vec<u64>,
}

impl KeywordStatistics {
    /// Adds the counts of another shard.
    ///
    /// # Errors
    /// [`Error::Limit`] when the other shard cut the query into other terms: its schema is another version.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        let sizes = |of: &Self| of.properties.iter().map(|property| property.frequencies.len()).collect::<Vec<_>>();
        if sizes(self) != sizes(other) {
            return Err(Error::Limit("the collection was changed while it was searched: search again".into()));
        }
        self.objects += other.objects;
        for (sum, other) in self.properties.iter_mut().zip(&other.properties) {
            sum.objects += other.objects;
            sum.tokens += other.tokens;
            sum.frequencies.iter_mut().zip(&other.frequencies).for_each(|(sum, other)| *sum += other);
        }
        Ok(())
    }
}

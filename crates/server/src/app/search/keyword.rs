//! Keyword searches as requests give them: names of properties with boosts, made into a search of the engine.

use azimuth_engine::query::{Keyword, KeywordOperator, SearchedProperty};
use azimuth_engine::schema::{Collection, Property};

/// Separates the name of a property from its boost.
const BOOST: char = '^';

/// Why a keyword search is refused. Front ends word it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeywordError {
    /// The request has no text to search for.
    NoQuery,
    /// The property, given with or without a boost, does not exist or is not searchable.
    NotSearchable(String),
    /// The request names no property, and the collection has none that is searchable.
    NoProperties,
    /// The operator needs properties with the same tokenization and text analyzer.
    SeveralGroups,
}

/// A keyword search of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeywordRequest {
    /// The text that is searched for.
    pub(crate) query: String,
    /// Names of properties, each perhaps with a boost as `name^2`; empty for all that are searchable.
    pub(crate) properties: Vec<String>,
    /// Which objects match; `None` for those with any of the terms.
    pub(crate) operator: Option<KeywordOperator>,
}

impl KeywordRequest {
    /// The search. Of a property that is given twice the last boost counts; a boost that is no number is 0.
    ///
    /// # Errors
    /// [`KeywordError`]
    pub(crate) fn resolve(&self, collection: &Collection, explain: bool) -> Result<Keyword, KeywordError> {
        if self.query.is_empty() {
            return Err(KeywordError::NoQuery);
        }
        let mut properties: Vec<SearchedProperty> = Vec::new();
        for given in &self.properties {
            let (name, boost) = match given.split_once(BOOST) {
                Some((name, rest)) => (name, boost(rest)),
                None => (given.as_str(), 1.0),
            };
            let property = collection.property(name).filter(|property| is_searchable(property));
            let property = property.ok_or_else(|| KeywordError::NotSearchable(given.clone()))?.id;
            match properties.iter_mut().find(|known| known.property == property) {
                Some(known) => known.boost = boost,
                None => properties.push(SearchedProperty { property, boost }),
            }
        }
        if self.properties.is_empty() {
            let searchable = collection.properties().iter().filter(|property| is_searchable(property));
            properties = searchable.map(|of| SearchedProperty { property: of.id, boost: 1.0 }).collect();
            if properties.is_empty() {
                return Err(KeywordError::NoProperties);
            }
        }
        let operator = self.operator.unwrap_or(KeywordOperator::Or { minimum: 0 });
        if operator == KeywordOperator::AndCross && !is_one_group(collection, &properties) {
            return Err(KeywordError::SeveralGroups);
        }
        Ok(Keyword { query: self.query.clone(), properties, operator, statistics: None, explain })
    }
}

/// A number of terms as requests give it.
pub(crate) fn or(minimum: i64) -> KeywordOperator {
    KeywordOperator::Or { minimum: u32::try_from(minimum.max(0)).unwrap_or(u32::MAX) }
}

fn boost(text: &str) -> f64 {
    let first = text.split(BOOST).next().unwrap_or_default();
    first.parse().ok().filter(|boost: &f64| boost.is_finite()).unwrap_or(0.0)
}

fn is_searchable(property: &Property) -> bool {
    property.searchable && property.data_type.is_text()
}

fn is_one_group(collection: &Collection, searched: &[SearchedProperty]) -> bool {
    let of = |searched: &SearchedProperty| {
        let property = collection.properties().iter().find(|property| property.id == searched.property);
        property.map(|property| (property.tokenization, &property.text_analyzer))
    };
    searched.windows(2).all(|pair| of(&pair[0]) == of(&pair[1]))
}

//! Sorting by properties.
//!
//! Text without regard to case, false before true, lists element by element and then by length. What an object lacks
//! (also an empty list) comes first ascending and last descending. Objects that are equal keep the order of an unsorted
//! listing.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Charge, Hit, Sort};
use crate::error::{SortError, SortRefusal};
use crate::object::{Geo, Object, Value};
use crate::schema::{Collection, DataType, Primitive};
use crate::{Error, Result};

/// Checked sort clauses of a query.
pub(crate) struct SortTerms {
    terms: Vec<(SortTerm, bool)>,
}

/// What a clause sorts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SortTerm {
    Id,
    Created,
    Updated,
    Property(String),
}

/// What an object is sorted by. The order is that of the clauses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortKeys(Vec<(SortKey, bool)>);

/// One comparable value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SortKey {
    Missing,
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(String),
    Instant(i128),
    Geo(Geo),
    List(Vec<SortKey>),
}

impl SortTerms {
    /// Checks the clauses against the schema.
    ///
    /// # Errors
    /// [`Error::Sort`] with each clause that cannot be sorted by.
    pub(crate) fn new(schema: &Collection, clauses: &[Sort]) -> Result<Self> {
        let mut terms = Vec::with_capacity(clauses.len());
        let mut refused = Vec::new();
        for (at, clause) in clauses.iter().enumerate() {
            match term(schema, &clause.property) {
                Ok(term) => terms.push((term, clause.descending)),
                Err(reason) => refused.push(SortError { position: at, reason }),
            }
        }
        if refused.is_empty() { Ok(Self { terms }) } else { Err(Error::Sort(refused)) }
    }

    /// The terms, in their order.
    pub(crate) fn terms(&self) -> impl Iterator<Item = &SortTerm> {
        self.terms.iter().map(|(term, _)| term)
    }

    /// The keys of an object that has no value to be sorted by.
    pub(crate) fn no_keys(&self) -> SortKeys {
        SortKeys(self.terms.iter().map(|(_, descending)| (SortKey::Missing, *descending)).collect())
    }

    /// What `object` (with the properties that the clauses name) is sorted by.
    pub(crate) fn keys(&self, object: &Object) -> SortKeys {
        let key = |term: &SortTerm| match term {
            SortTerm::Id => SortKey::Text(object.id.to_string()),
            SortTerm::Created => SortKey::Int(object.created_ms),
            SortTerm::Updated => SortKey::Int(object.updated_ms),
            SortTerm::Property(name) => object.properties.get(name).map_or(SortKey::Missing, SortKey::of),
        };
        SortKeys(self.terms.iter().map(|(term, descending)| (key(term), *descending)).collect())
    }
}

/// The hits (with their properties) in the order of the clauses; hits that these do not tell apart keep their order.
///
/// # Errors
/// [`Error::Sort`] with each clause that cannot be sorted by, and the errors of `charge`, which is charged with the
/// memory of the keys.
pub fn sort_hits(schema: &Collection, clauses: &[Sort], hits: Vec<Hit>, charge: Charge) -> Result<Vec<Hit>> {
    if clauses.is_empty() {
        return Ok(hits);
    }
    let terms = SortTerms::new(schema, clauses)?;
    let mut keyed = Vec::with_capacity(hits.len());
    for hit in hits {
        let keys = terms.keys(&hit.object);
        charge.take(keys.bytes())?;
        keyed.push((keys, hit));
    }
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(keyed.into_iter().map(|(_, hit)| hit).collect())
}

impl SortKeys {
    /// Sets the key of the `n`th term.
    pub(crate) fn set(&mut self, n: usize, key: SortKey) {
        self.0[n].0 = key;
    }

    /// Removes all keys.
    pub(crate) fn clear(&mut self) {
        self.0.iter_mut().for_each(|(key, _)| *key = SortKey::Missing);
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(key, _)| size_of::<(SortKey, bool)>() + key.heap_bytes()).sum()
    }
}

fn term(schema: &Collection, name: &str) -> std::result::Result<SortTerm, SortRefusal> {
    match name {
        "_id" | "id" => return Ok(SortTerm::Id),
        "_creationTimeUnix" => return Ok(SortTerm::Created),
        "_lastUpdateTimeUnix" => return Ok(SortTerm::Updated),
        "" => return Err(SortRefusal::NoProperty),
        _ => {}
    }
    // A path into an object is accepted, and everything is equal there.
    let top = name.split('.').next().unwrap_or(name);
    let Some(property) = schema.property(top) else {
        let (property, collection) = (name.to_owned(), schema.name.clone());
        return Err(SortRefusal::NoSuchProperty { property, collection });
    };
    match &property.data_type {
        DataType::Primitive { of: Primitive::Uuid, .. } => Err(SortRefusal::Uuid(name.to_owned())),
        DataType::Reference(targets) => {
            let target = targets.first().cloned().unwrap_or_default();
            Err(SortRefusal::Reference { property: name.to_owned(), target })
        }
        DataType::Primitive { .. } | DataType::Object { .. } => Ok(SortTerm::Property(name.to_owned())),
    }
}

impl SortKey {
    /// The key of a text.
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_lowercase())
    }

    /// The key of a value.
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::Bool(value) => SortKey::Bool(*value),
            Value::Int(value) => SortKey::Int(*value),
            Value::Number(value) => SortKey::Number(*value),
            Value::Text(text) | Value::Blob(text) => SortKey::text(text),
            Value::Date(date) => SortKey::Instant(date.unix_ns()),
            Value::Geo(geo) => SortKey::Geo(*geo),
            Value::Phone(phone) => SortKey::List(vec![
                SortKey::Int(i64::try_from(phone.country_code).unwrap_or(i64::MAX)),
                SortKey::Int(i64::try_from(phone.national).unwrap_or(i64::MAX)),
            ]),
            Value::List(values) if values.is_empty() => SortKey::Missing,
            Value::List(values) => SortKey::List(values.iter().map(Self::of).collect()),
            Value::Null | Value::Uuid(_) | Value::Object(_) | Value::References(_) => SortKey::Missing,
        }
    }
}

impl Eq for SortKey {}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => (a + 0.0).total_cmp(&(b + 0.0)),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Instant(a), Self::Instant(b)) => a.cmp(b),
            (Self::Geo(a), Self::Geo(b)) => a.longitude.total_cmp(&b.longitude).then(a.latitude.total_cmp(&b.latitude)),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            // Kinds differ only where a value is missing: a property has one type.
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl SortKey {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(keys) => keys.iter().map(|key| size_of::<Self>() + key.heap_bytes()).sum(),
            Self::Missing | Self::Bool(_) | Self::Int(_) | Self::Number(_) | Self::Instant(_) | Self::Geo(_) => 0,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Number(_) => 3,
            Self::Text(_) => 4,
            Self::Instant(_) => 5,
            Self::Geo(_) => 6,
            Self::List(_) => 7,
        }
    }
}

impl PartialOrd for SortKeys {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortKeys {
    fn cmp(&self, other: &Self) -> Ordering {
        for ((a, descending), (b, _)) in self.0.iter().zip(&other.0) {
            let order = if *descending { b.cmp(a) } else { a.cmp(b) };
            if order.is_ne() {
                return order;
            }
        }
        Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_ordered_as_weaviate_orders_them() {
        let text = |text: &str| SortKey::of(&Value::Text(text.into()));
        let list = |values: &[i64]| SortKey::of(&Value::List(values.iter().copied().map(Value::Int).collect()));
        assert_eq!(text("Apple"), text("apple"));
        assert!(text("apple") < text("Banana"));
        assert!(SortKey::Missing < text(""));
        assert_eq!(list(&[]), SortKey::Missing);
        assert!(list(&[1]) < list(&[1, 0]) && list(&[1, 5]) < list(&[2]));
        assert!(SortKey::of(&Value::Bool(false)) < SortKey::of(&Value::Bool(true)));
        assert!(SortKey::of(&Value::Number(-0.5)) < SortKey::of(&Value::Number(0.0)));
        let keys = |key: &SortKey, descending| SortKeys(vec![(key.clone(), descending)]);
        assert!(keys(&SortKey::Missing, true) > keys(&text("x"), true));
    }
}

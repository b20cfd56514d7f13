//! Tests of single values inside of objects.

use roaring::RoaringTreemap;

use super::super::condition::{self, ordered};
use super::super::like::Pattern;
use super::super::lookup::Lookup;
use super::super::text::{self, Liked};
use super::candidates::Candidates;
use super::positions::Positions;
use super::set::Set;
use crate::error::FilterError;
use crate::inverted::form::terms;
use crate::object::Value;
use crate::query::{FilterValue, Operator};
use crate::schema::{DataType, Primitive, Property};
use crate::storage::key::InvKind;
use crate::{Error, Result};

/// What a comparison asks of the values at its path.
pub(super) enum Test {
    /// A value that compares so.
    Value(ValueTest),
    /// A value that equals none of these.
    NoneOf(Vec<ValueTest>),
    /// No value, or any.
    IsNull(bool),
}

/// A comparison with one value. Text is compared by its terms, which all have to match at one position.
pub(super) struct ValueTest {
    /// The operator, `Equal` for `NotEqual`.
    operator: Operator,
    /// Whether values that do not match are wanted.
    pub negated: bool,
    wanted: Wanted,
}

enum Wanted {
    Terms(Vec<String>),
    Scalar { of: Primitive, kind: InvKind, bytes: Vec<u8> },
}

impl ValueTest {
    /// The test of a leaf property; not for the `Contains` operators and `IsNull`.
    ///
    /// # Errors
    /// [`Error::Filter`] when operator and value do not fit the property, or hold stopwords only.
    pub(super) fn of(
        lookup: &Lookup<'_>,
        property: &Property,
        operator: Operator,
        value: &FilterValue,
    ) -> Result<Self> {
        let DataType::Primitive { of, .. } = property.data_type else {
            return Err(FilterError::NotFilterable(property.name.clone()).into());
        };
        let negated = operator == Operator::NotEqual;
        let operator = if negated { Operator::Equal } else { operator };
        if of == Primitive::Text {
            let terms = text::wanted(lookup, property, operator, value)?;
            if terms.is_empty() {
                return Err(FilterError::OnlyStopwords.into());
            }
            if !matches!(operator, Operator::Equal | Operator::Like) && condition::bounds(operator, &[]).is_none() {
                return Err(condition::wrong_operator(operator, of));
            }
            return Ok(Self { operator, negated, wanted: Wanted::Terms(terms) });
        }
        let kind = condition::kind_of(property).ok_or_else(|| FilterError::NotFilterable(property.name.clone()))?;
        let bytes = condition::scalar(of, value)?;
        // Refuses operators that do not compare such values.
        ordered(operator, of, &bytes, |_| Ok(RoaringTreemap::new()))?;
        Ok(Self { operator, negated, wanted: Wanted::Scalar { of, kind, bytes } })
    }

    pub(super) fn wrong_null(value: &FilterValue) -> Error {
        condition::wrong_kind(Primitive::Boolean, value)
    }

    pub(super) fn not_a_list(property: &Property, value: &FilterValue) -> Error {
        FilterError::NotAList { wanted: condition::stored_kind(property), given: condition::kind(value) }.into()
    }

    /// Number of parts that have to match at one position.
    pub(super) fn parts(&self) -> usize {
        match &self.wanted {
            Wanted::Terms(terms) => terms.len(),
            Wanted::Scalar { .. } => 1,
        }
    }

    /// The positions of one object at which a value at `path` matches, or does not, among `existing`, those that have a
    /// value.
    pub(super) fn positions(&self, property: &Property, positions: &Positions<'_>, existing: &Set) -> Set {
        let apply = |found: Set| if self.negated { existing.without(&found) } else { existing.and(&found) };
        match &self.wanted {
            Wanted::Terms(terms) => {
                let of_term = |term: &String| {
                    let pattern = (self.operator == Operator::Like).then(|| Pattern::new(term));
                    let fits = |found: &str| match &pattern {
                        Some(pattern) => pattern.matches(found),
                        None => compares(self.operator, found.as_bytes(), term.as_bytes()),
                    };
                    apply(positions.values_where(property.id, |value| has_term(property, value, fits)))
                };
                terms.iter().map(of_term).reduce(|all, found| all.and(&found)).unwrap_or_default()
            }
            Wanted::Scalar { bytes, .. } => apply(positions.values_where(property.id, |value| {
                terms::scalar(value).is_some_and(|(_, found)| compares(self.operator, &found, bytes))
            })),
        }
    }

    /// Live objects of the index that have all parts of the value at the path, at one position or not.
    pub(super) fn documents(&self, lookup: &Lookup<'_>, property: &Property) -> Result<Candidates> {
        let Wanted::Terms(terms) = &self.wanted else { return self.scalars(lookup, property) };
        let mut all: Option<Candidates> = None;
        for term in terms {
            let found = self.having(lookup, property, term)?;
            all = Some(match all {
                Some(all) => Candidates { set: all.set & found.set, exact: all.exact && found.exact },
                None => found,
            });
        }
        Ok(all.unwrap_or_default())
    }

    /// Live objects that have some part of the value at the path.
    pub(super) fn documents_of_any(&self, lookup: &Lookup<'_>, property: &Property) -> Result<Candidates> {
        let Wanted::Terms(terms) = &self.wanted else { return self.scalars(lookup, property) };
        let mut any = Candidates { set: RoaringTreemap::new(), exact: true };
        for term in terms {
            let found = self.having(lookup, property, term)?;
            any = Candidates { set: any.set | found.set, exact: any.exact && found.exact };
        }
        Ok(any)
    }

    fn having(&self, lookup: &Lookup<'_>, property: &Property, term: &str) -> Result<Candidates> {
        if self.operator != Operator::Like {
            let set = text::compared(lookup, property, InvKind::Term, self.operator, term)?;
            return Ok(Candidates { set, exact: true });
        }
        let Liked { mut found, cut } = text::liked(lookup, property, InvKind::Term, &Pattern::new(term))?;
        for value in &cut {
            found |= lookup.value(property.id, InvKind::Term, value)?;
        }
        Ok(Candidates { set: found, exact: cut.is_empty() })
    }

    fn scalars(&self, lookup: &Lookup<'_>, property: &Property) -> Result<Candidates> {
        let Wanted::Scalar { of, kind, bytes } = &self.wanted else { return Ok(Candidates::default()) };
        let set = ordered(self.operator, *of, bytes, |bounds| match bounds {
            Some(bounds) => lookup.values(property.id, *kind, bounds),
            None => lookup.value(property.id, *kind, bytes),
        })?;
        Ok(Candidates { set, exact: true })
    }
}

fn has_term(property: &Property, value: &Value, fits: impl Fn(&str) -> bool) -> bool {
    let Value::Text(text) = value else { return false };
    let mut has = false;
    terms::each_term(property, text, |term| has = has || fits(term));
    has
}

/// Whether a stored value compares so with the wanted one; both in the form of keys.
fn compares(operator: Operator, found: &[u8], wanted: &[u8]) -> bool {
    match operator {
        Operator::GreaterThan => found > wanted,
        Operator::GreaterThanEqual => found >= wanted,
        Operator::LessThan => found < wanted,
        Operator::LessThanEqual => found <= wanted,
        // `Like` on booleans is `Equal`.
        _ => found == wanted,
    }
}

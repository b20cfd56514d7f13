//! Comparisons of text: the value is cut into terms as the property's text was, and all of them must match.

use std::ops::Bound;

use roaring::RoaringTreemap;

use super::condition::{bounds, wrong_operator, wrong_text};
use super::like::Pattern;
use super::lookup::Lookup;
use crate::error::FilterError;
use crate::inverted::form::terms;
use crate::object::codec::{self, Wanted};
use crate::query::{FilterValue, Operator, Projection};
use crate::schema::{Primitive, Property, Tokenization};
use crate::storage::Family;
use crate::storage::key::InvKind;
use crate::{Error, Result, tokenizer};

/// Among fewer than one of so many objects a term is looked for by skipping blocks of postings.
const CANDIDATES_SHARE: u64 = 64;

/// Compares a text property: objects that have all terms of the value.
pub(crate) fn compare(
    lookup: &Lookup<'_>,
    property: &Property,
    operator: Operator,
    value: &FilterValue,
) -> Result<RoaringTreemap> {
    let mut all: Option<RoaringTreemap> = None;
    for term in wanted(lookup, property, operator, value)? {
        all = Some(match all {
            Some(all) if operator == Operator::Equal && all.len() * CANDIDATES_SHARE <= lookup.view.live.len() => {
                equal_among(lookup, property, &term, &all)?
            }
            Some(all) => all & having(lookup, property, operator, &term)?,
            None => having(lookup, property, operator, &term)?,
        });
    }
    all.ok_or_else(|| FilterError::OnlyStopwords.into())
}

/// Objects that have at least one term of the value.
pub(crate) fn any(lookup: &Lookup<'_>, property: &Property, value: &FilterValue) -> Result<RoaringTreemap> {
    let wanted = wanted(lookup, property, Operator::Equal, value)?;
    if wanted.is_empty() {
        return Err(FilterError::OnlyStopwords.into());
    }
    let mut any = RoaringTreemap::new();
    for term in wanted {
        any |= having(lookup, property, Operator::Equal, &term)?;
    }
    Ok(any)
}

/// The terms of a value, each once.
pub(super) fn wanted(
    lookup: &Lookup<'_>,
    property: &Property,
    operator: Operator,
    value: &FilterValue,
) -> Result<Vec<String>> {
    let FilterValue::Text(text) = value else { return Err(wrong_text(value)) };
    let tokenization = property.tokenization.unwrap_or(Tokenization::Word);
    let text = tokenizer::analyze(property.text_analyzer.as_ref(), text);
    let mut wanted = match operator {
        Operator::Like => tokenizer::tokenize_pattern(tokenization, &text),
        _ => tokenizer::tokenize(tokenization, &text),
    };
    if operator != Operator::Like && tokenization == Tokenization::Word {
        let stopwords = tokenizer::stopwords(&lookup.schema.inverted, Some(property));
        wanted.retain(|term| !stopwords.contains(term.as_str()));
    }
    wanted.sort_unstable();
    wanted.dedup();
    Ok(wanted)
}

/// The kinds of entries that a text has. Objects written before the searchable index was removed have postings, which
/// filters can use as well; objects written later have plain sets.
fn kinds(property: &Property) -> &'static [InvKind] {
    if property.searchable { &[InvKind::Posting] } else { &[InvKind::Term, InvKind::Posting] }
}

/// Objects that have a term in that relation to `term`.
fn having(lookup: &Lookup<'_>, property: &Property, operator: Operator, term: &str) -> Result<RoaringTreemap> {
    let mut found = RoaringTreemap::new();
    for &kind in kinds(property) {
        found |= match operator {
            Operator::Like => like(lookup, property, kind, term)?,
            operator => compared(lookup, property, kind, operator, term)?,
        };
    }
    Ok(found)
}

/// Objects that have a term in that relation to `term`, by the entries of one kind; not for `Like`.
pub(super) fn compared(
    lookup: &Lookup<'_>,
    property: &Property,
    kind: InvKind,
    operator: Operator,
    term: &str,
) -> Result<RoaringTreemap> {
    let term = terms::term_key(term);
    if operator == Operator::Equal {
        return lookup.value(property.id, kind, &term);
    }
    let bounds = bounds(operator, &term).ok_or_else(|| wrong_operator(operator, Primitive::Text))?;
    lookup.values(property.id, kind, bounds)
}

/// Those of `among` that have the term.
fn equal_among(lookup: &Lookup<'_>, property: &Property, term: &str, among: &RoaringTreemap) -> Result<RoaringTreemap> {
    let term = terms::term_key(term);
    let mut found = RoaringTreemap::new();
    for &kind in kinds(property) {
        found |= match kind {
            InvKind::Posting => lookup.posted_among(property.id, &term, among)?,
            kind => lookup.value(property.id, kind, &term)? & among,
        };
    }
    Ok(found)
}

fn like(lookup: &Lookup<'_>, property: &Property, kind: InvKind, pattern: &str) -> Result<RoaringTreemap> {
    let pattern = Pattern::new(pattern);
    let Liked { mut found, cut } = liked(lookup, property, kind, &pattern)?;
    // Of long terms the key has only the beginning: their objects are asked.
    for value in cut {
        for doc_id in lookup.value(property.id, kind, &value)? {
            if !found.contains(doc_id) && has_term(lookup, property, doc_id, |term| pattern.matches(term))? {
                found.insert(doc_id);
            }
        }
    }
    Ok(found)
}

/// The objects that have terms like a pattern.
pub(super) struct Liked {
    /// Objects with a term that is whole in its key and matches.
    pub found: RoaringTreemap,
    /// Values of the keys of long terms whose beginning may match.
    pub cut: Vec<Vec<u8>>,
}

/// Looks up the terms like a pattern.
pub(super) fn liked(lookup: &Lookup<'_>, property: &Property, kind: InvKind, pattern: &Pattern) -> Result<Liked> {
    let start = terms::term_key_prefix(&pattern.literal_prefix());
    let end = crate::storage::key::after_prefix(&start);
    let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut cut = Vec::new();
    let found = lookup.values_where(property.id, kind, (Bound::Included(&start), end), |value| {
        let damaged = || Error::DamagedIndex("term".into());
        let (term, _) = terms::parse_term_key(value).ok_or_else(damaged)?;
        if term.cut {
            cut.push(value.to_vec());
            return Ok(false);
        }
        Ok(std::str::from_utf8(&term.bytes).is_ok_and(|term| pattern.matches(term)))
    })?;
    Ok(Liked { found, cut })
}

/// Whether a live object has a term that `wanted` picks.
fn has_term(lookup: &Lookup<'_>, property: &Property, doc_id: u64, wanted: impl Fn(&str) -> bool) -> Result<bool> {
    let row = lookup.view.store.get(Family::Objects, &lookup.view.prefix.object(crate::ids::DocId(doc_id)))?;
    let row = row.ok_or_else(|| Error::Damaged(format!("live doc id {doc_id} has no row")))?;
    let projection = Projection::of([property.name.as_str()]);
    let object = match codec::decode(&row, &Wanted::new(lookup.schema, &projection)) {
        Ok((_, object)) => object,
        Err(error) => {
            lookup.context.unreadable(crate::ids::DocId(doc_id), &error);
            return Ok(false);
        }
    };
    let Some(value) = object.properties.get(&property.name) else { return Ok(false) };
    let texts = terms::elements(value).iter().filter_map(|value| match value {
        crate::object::Value::Text(text) => Some(text),
        _ => None,
    });
    Ok(texts.flat_map(|text| terms::text_terms(property, text)).any(|term| wanted(&term)))
}

//! Comparisons of text: the value is cut into terms as the property's text was, and all of them must match.

use std::ops::Bound;

use roaring::RoaringTreemap;

use super::condition::{bounds, wrong_text};
use super::like::Pattern;
use super::lookup::Lookup;
use super::terms;
use crate::group::Family;
use crate::key::InvKind;
use crate::object::codec;
use crate::query::{FilterValue, Operator};
use crate::schema::{Property, Tokenization};
use crate::tokenizer;
use crate::{Error, Result};

/// What a text says that holds nothing to look for.
pub(super) const ONLY_STOPWORDS: &str = "invalid search term, only stopwords provided. Stopwords can be configured in \
                                         class.invertedIndexConfig.stopwords";

/// Compares a text property.
pub(super) fn compare(
    lookup: &Lookup<'_>,
    property: &Property,
    operator: Operator,
    value: &FilterValue,
) -> Result<RoaringTreemap> {
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
    let kind = if property.searchable { InvKind::Posting } else { InvKind::Term };
    let mut all: Option<RoaringTreemap> = None;
    for term in &wanted {
        let found = match operator {
            Operator::Like => like(lookup, property, kind, term)?,
            Operator::Equal => lookup.value(property.id, kind, &terms::term_key(term))?,
            operator => {
                let term = terms::term_key(term);
                let bounds = bounds(operator, &term).ok_or_else(|| {
                    Error::Invalid(format!("operator {operator:?} cannot be used on text properties"))
                })?;
                lookup.values(property.id, kind, bounds)?
            }
        };
        all = Some(all.map_or(found.clone(), |all| all & found));
    }
    all.ok_or_else(|| Error::Invalid(ONLY_STOPWORDS.into()))
}

fn like(lookup: &Lookup<'_>, property: &Property, kind: InvKind, pattern: &str) -> Result<RoaringTreemap> {
    let pattern = Pattern::new(pattern);
    let start = terms::term_key_prefix(&pattern.literal_prefix());
    let end = crate::key::after_prefix(&start);
    let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    // Of long terms the key has only the beginning: their objects are asked.
    let mut cut = Vec::new();
    let mut found = lookup.values_where(property.id, kind, (Bound::Included(&start), end), |value| {
        let damaged = || Error::Damaged("inverted index: term".into());
        let (term, _) = terms::parse_term_key(value).ok_or_else(damaged)?;
        if term.cut {
            cut.push(value.to_vec());
            return Ok(false);
        }
        Ok(std::str::from_utf8(&term.bytes).is_ok_and(|term| pattern.matches(term)))
    })?;
    for value in cut {
        for doc_id in lookup.value(property.id, kind, &value)? {
            if !found.contains(doc_id) && has_term(lookup, property, doc_id, |term| pattern.matches(term))? {
                found.insert(doc_id);
            }
        }
    }
    Ok(found)
}

/// Whether a live object has a term that `wanted` picks.
fn has_term(lookup: &Lookup<'_>, property: &Property, doc_id: u64, wanted: impl Fn(&str) -> bool) -> Result<bool> {
    let row = lookup.view.store.get(Family::Objects, &lookup.prefix.object(crate::ids::DocId(doc_id)))?;
    let row = row.ok_or_else(|| Error::Damaged(format!("live doc id {doc_id} has no row")))?;
    let object = match codec::decode(&row, lookup.schema, true) {
        Ok((_, object)) => object,
        Err(error) => {
            lookup.group.shard(lookup.at)?.unreadable.note(lookup.at, crate::ids::DocId(doc_id), &error);
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

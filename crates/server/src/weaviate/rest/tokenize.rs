//! `/tokenize` and `/schema/{class}/properties/{property}/tokenize`: the terms of a text, as the inverted index makes them.

use std::collections::BTreeSet;
use std::sync::Arc;

use azimuth_engine::schema::{TextAnalyzer, Tokenization};
use azimuth_engine::tokenizer;
use http::StatusCode;
use serde_json::{Value, json};

use super::message::{Reply, RestRequest};
use super::schema::{TOKENIZATIONS, permit};
use super::{decode, missing, not_one_of};
use crate::app::{App, AppError};
use crate::auth::Access;
use crate::request_memory;
use crate::weaviate::schema::{check_folding, decode_analyzer, decode_inverted, without_dictionary};

/// Most bytes of the text of a request that names no property.
const TEXT_BYTES_MAX: usize = 10_000;
/// Bytes of a term in an answer, beside its text.
const TERM_BYTES: usize = size_of::<Value>() + 16;

/// Answers a request on a property, or one that brings its own settings.
pub(super) fn handle(app: &Arc<App>, req: &RestRequest) -> Reply {
    let answer = if req.segments.len() == 1 { with_settings(req) } else { of_property(app, req) };
    answer.unwrap_or_else(|reply| reply)
}

fn with_settings(req: &RestRequest) -> Result<Reply, Reply> {
    let request = decode(req, "body", "models.TokenizeRequest")?;
    let text = required(&request, "text")?;
    let name = required(&request, "tokenization")?;
    if !TOKENIZATIONS.contains(&name) {
        return Err(not_one_of("tokenization in body", &TOKENIZATIONS));
    }
    let refused = |message: String| Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &message);
    let tokenization =
        without_dictionary(name).ok_or_else(|| refused(format!("unsupported tokenization strategy: {name}")))?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(refused("text exceeds maximum allowed length of 10,000 characters".to_owned()));
    }
    let analyzer = request.get("analyzerConfig").map(decode_analyzer).unwrap_or_default();
    check_folding(&analyzer).map_err(refused)?;
    let has = |name: &str| request.get(name).is_some_and(|given| given.as_object().is_none_or(|map| !map.is_empty()));
    let has_stopwords = request.get("stopwords").is_some();
    if has_stopwords && has("stopwordPresets") {
        return Err(refused("stopwords and stopwordPresets are mutually exclusive; pass only one".to_owned()));
    }
    let config = decode_inverted(Some(&request))?;
    let words = match &analyzer.stopword_preset {
        Some(preset) => tokenizer::stopword_preset(&config, preset).ok_or_else(|| {
            refused(format!(
                "unknown stopword preset \"{preset}\"; define it in stopwordPresets or use a built-in preset ('en', 'none')"
            ))
        })?,
        None if has_stopwords => tokenizer::stopwords(&config, None),
        None if tokenization == Tokenization::Word => tokenizer::stopword_preset(&config, "en").unwrap_or_default(),
        None => BTreeSet::new(),
    };
    terms(text, tokenization, &analyzer, &words)
}

/// With the settings that the index of a property has.
fn of_property(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let request = decode(req, "body", "models.PropertyTokenizeRequest")?;
    let text = required(&request, "text")?;
    let (class, property) = (app.resolve(req.caller()?, &req.segments[1]), &req.segments[3]);
    let permit = permit(app, req, Access::Read, &class)?;
    let not_found = || Reply::empty(StatusCode::NOT_FOUND);
    let collection = app.collection(&permit, &class)?.ok_or_else(not_found)?;
    let named = collection.properties().iter().find(|known| known.name.eq_ignore_ascii_case(property));
    let property = named.ok_or_else(not_found)?;
    let Some(tokenization) = property.tokenization else {
        let message = "tokenization is not enabled for this property";
        return Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, message));
    };
    let words = tokenizer::stopwords(&collection.inverted, Some(property));
    terms(text, tokenization, property.text_analyzer.as_ref().unwrap_or(&TextAnalyzer::default()), &words)
}

fn required<'v>(request: &'v Value, name: &str) -> Result<&'v str, Reply> {
    request.get(name).and_then(Value::as_str).ok_or_else(|| missing(name))
}

/// The terms of a text in the index, and in a query, which leaves stop words out.
fn terms(
    text: &str,
    tokenization: Tokenization,
    analyzer: &TextAnalyzer,
    stopwords: &BTreeSet<String>,
) -> Result<Reply, Reply> {
    let text = tokenizer::analyze(Some(analyzer), text);
    let mut bytes = 0_usize;
    tokenizer::each_term(tokenization, &text, |term| bytes = bytes.saturating_add(term.len() + TERM_BYTES));
    // Each term can be in both lists.
    request_memory::charge(bytes.saturating_mul(2)).map_err(AppError::from)?;
    let (mut indexed, mut query) = (Vec::new(), Vec::new());
    tokenizer::each_term(tokenization, &text, |term| {
        indexed.push(Value::from(term));
        if !stopwords.contains(term) {
            query.push(Value::from(term));
        }
    });
    Ok(Reply::ok(json!({"indexed": indexed, "query": query})))
}

//! `invertedIndexConfig` as the wire gives it.

use std::collections::BTreeMap;

use azimuth_engine::schema::{Bm25, InvertedConfig, Stopwords};
use azimuth_engine::tokenizer::ENGLISH_STOPWORDS;
use serde_json::Value;

use super::{defaults, invalid};
use crate::app::AppResult;

/// Reads the block; missing settings have their defaults. Also for other bodies with the same fields.
pub(crate) fn decode(given: Option<&Value>) -> AppResult<InvertedConfig> {
    let mut config = defaults::new_inverted();
    let Some(given) = given.filter(|given| given.is_object()) else { return Ok(config) };
    let flag = |name: &str| given.get(name).and_then(Value::as_bool).unwrap_or_default();
    let cleanup_s = given.get("cleanupIntervalSeconds").and_then(Value::as_i64).unwrap_or_default();
    if cleanup_s < 0 {
        return Err(invalid("cleanup interval seconds must be > 0"));
    }
    if cleanup_s > 0 {
        config.cleanup_interval_s = cleanup_s;
    }
    if let Some(bm25) = given.get("bm25") {
        config.bm25 = decode_bm25(bm25)?;
    }
    config.stopwords = decode_stopwords(given.get("stopwords"))?;
    config.stopword_presets = decode_presets(given.get("stopwordPresets"))?;
    config.index_timestamps = flag("indexTimestamps");
    config.index_null_state = flag("indexNullState");
    config.index_property_length = flag("indexPropertyLength");
    config.tokenizer_user_dict = decode_user_dict(given.get("tokenizerUserDict"))?;
    Ok(config)
}

/// A parameter that the block leaves out is zero, and a zero is not shown.
fn decode_bm25(given: &Value) -> AppResult<Bm25> {
    let parameter = |name: &str| given.get(name).and_then(Value::as_f64).unwrap_or_default();
    let (k1, b) = (parameter("k1"), parameter("b"));
    if k1 < 0.0 {
        return Err(invalid("BM25.k1 must be >= 0"));
    }
    if !(0.0..=1.0).contains(&b) {
        return Err(invalid("BM25.b must be >= 0 and <= 1"));
    }
    Ok(Bm25 { k1: Some(k1), b: Some(b) })
}

fn words(given: &Value) -> Option<Vec<String>> {
    let words = given.as_array()?;
    Some(words.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect())
}

fn decode_stopwords(given: Option<&Value>) -> AppResult<Stopwords> {
    let preset = given.and_then(|given| given.get("preset")).and_then(Value::as_str).unwrap_or_default();
    let preset = if preset.is_empty() { "en" } else { preset };
    if preset != "en" && preset != "none" {
        return Err(invalid(format!("stopwordPreset '{preset}' does not exist")));
    }
    let list = |name: &str| given.and_then(|given| given.get(name)).and_then(words);
    let (additions, removals) = (list("additions"), list("removals"));
    for (name, words) in [("additions", &additions), ("removals", &removals)] {
        if words.iter().flatten().any(|word| word.trim().is_empty()) {
            return Err(invalid(format!("cannot use whitespace in stopword.{name}")));
        }
    }
    if let Some(both) = additions.iter().flatten().find(|word| removals.iter().flatten().any(|other| other == *word)) {
        return Err(invalid(format!("found '{both}' in both stopwords.additions and stopwords.removals")));
    }
    let in_preset = |word: &String| preset == "en" && ENGLISH_STOPWORDS.contains(&word.as_str());
    let additions = additions.map(|words| words.into_iter().filter(|word| !in_preset(word)).collect::<Vec<_>>());
    Ok(Stopwords {
        preset: preset.to_owned(),
        additions: additions.filter(|words| !words.is_empty()),
        removals: removals.filter(|words| !words.is_empty()),
    })
}

fn decode_presets(given: Option<&Value>) -> AppResult<Option<BTreeMap<String, Vec<String>>>> {
    let Some(given) = given.and_then(Value::as_object) else { return Ok(None) };
    let mut presets = BTreeMap::new();
    for (name, list) in given {
        if name.trim().is_empty() {
            return Err(invalid("stopwordPresets: preset name must not be empty or whitespace-only"));
        }
        let list = words(list).unwrap_or_default();
        if list.is_empty() {
            return Err(invalid(format!("stopwordPresets: preset \"{name}\" must have at least one word")));
        }
        if list.iter().any(|word| word.trim().is_empty()) {
            return Err(invalid(format!("stopwordPresets: preset \"{name}\" contains empty or whitespace-only word")));
        }
        presets.insert(name.clone(), list);
    }
    Ok(Some(presets))
}

fn decode_user_dict(given: Option<&Value>) -> AppResult<Option<String>> {
    let Some(given) = given.filter(|given| given.is_array()) else { return Ok(None) };
    for entry in given.as_array().into_iter().flatten() {
        let tokenizer = entry.get("tokenizer").and_then(Value::as_str).unwrap_or_default();
        if !matches!(tokenizer, "kagome_kr" | "kagome_ja") {
            return Err(invalid(format!("tokenizer '{tokenizer}' in tokenizer user dict config is not supported")));
        }
    }
    Ok(Some(given.to_string()))
}

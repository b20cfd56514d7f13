//! Settings of the inverted index and of keyword search.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Settings of the inverted index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InvertedConfig {
    /// Has no effect and is kept for compatibility: clean-up runs continuously.
    pub cleanup_interval_s: i64,
    /// Ranking parameters; a field is `None` if no request has set it.
    pub bm25: Bm25,
    /// Stop words of keyword queries.
    pub stopwords: Stopwords,
    /// Named stop-word lists, which properties refer to.
    pub stopword_presets: Option<BTreeMap<String, Vec<String>>>,
    /// Whether creation and update times can be filtered on. Immutable.
    pub index_timestamps: bool,
    /// Whether `IsNull` filters work. Immutable.
    pub index_null_state: bool,
    /// Whether `len(property)` filters work. Immutable.
    pub index_property_length: bool,
    /// User dictionary of the Asian tokenizers as the JSON text of the request.
    pub tokenizer_user_dict: Option<String>,
}

impl Default for InvertedConfig {
    /// The settings of a collection whose request has none.
    fn default() -> Self {
        Self {
            cleanup_interval_s: 60,
            bm25: Bm25::default(),
            stopwords: Stopwords { preset: "en".into(), additions: None, removals: None },
            stopword_presets: None,
            index_timestamps: false,
            index_null_state: false,
            index_property_length: false,
            tokenizer_user_dict: None,
        }
    }
}

/// Parameters of BM25.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bm25 {
    /// Saturation of the term frequency; 1.2 if `None`.
    pub k1: Option<f64>,
    /// Weight of the document length; 0.75 if `None`.
    pub b: Option<f64>,
}

/// Stop words: a preset with additions and removals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopwords {
    /// `en`, `none`, or a preset of the collection.
    pub preset: String,
    /// Words that are added to the preset; `None` if no request has set them.
    pub additions: Option<Vec<String>>,
    /// Words that are removed from the preset; `None` if no request has set them.
    pub removals: Option<Vec<String>>,
}

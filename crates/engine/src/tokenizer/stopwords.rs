//! Stop words: terms that keyword queries ignore.

use std::collections::BTreeSet;

use crate::schema::{InvertedConfig, Property};

/// The preset `en`.
const EN: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of",
    "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
];

/// The stop words of a property, or of the collection: the preset that the property names if any, else the preset of the
/// collection with its additions and removals.
pub fn stopwords(config: &InvertedConfig, property: Option<&Property>) -> BTreeSet<String> {
    let own = property.and_then(|property| property.text_analyzer.as_ref()?.stopword_preset.as_deref());
    if let Some(own) = own {
        return preset(config, own);
    }
    let mut words = preset(config, &config.stopwords.preset);
    words.extend(config.stopwords.additions.iter().flatten().cloned());
    for removed in config.stopwords.removals.iter().flatten() {
        words.remove(removed);
    }
    words
}

fn preset(config: &InvertedConfig, name: &str) -> BTreeSet<String> {
    if let Some(words) = config.stopword_presets.as_ref().and_then(|presets| presets.get(name)) {
        return words.iter().cloned().collect();
    }
    if name == "en" { EN.iter().map(|&word| word.to_owned()).collect() } else { BTreeSet::new() }
}

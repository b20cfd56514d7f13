//! Stop words: terms that keyword queries ignore.

use std::collections::BTreeSet;

use crate::schema::{InvertedConfig, Property};

/// The built-in preset `en`.
pub const ENGLISH_STOPWORDS: [&str; 33] = [
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no", "not", "of",
    "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "will", "with",
];

/// The stop words of a property, or of the collection: the preset that the property names if any, else the built-in preset
/// that the collection names with the additions and removals of the collection.
pub fn stopwords(config: &InvertedConfig, property: Option<&Property>) -> BTreeSet<String> {
    let own = property.and_then(|property| property.text_analyzer.as_ref()?.stopword_preset.as_deref());
    if let Some(own) = own {
        return stopword_preset(config, own).unwrap_or_default();
    }
    let mut words = built_in(&config.stopwords.preset).unwrap_or_default();
    words.extend(config.stopwords.additions.iter().flatten().cloned());
    for removed in config.stopwords.removals.iter().flatten() {
        words.remove(removed);
    }
    words
}

/// The words of a preset: of the collection's own one with this name, else of the built-in one; `None` if there is neither.
pub fn stopword_preset(config: &InvertedConfig, name: &str) -> Option<BTreeSet<String>> {
    let own = config.stopword_presets.as_ref().and_then(|presets| presets.get(name));
    own.map(|words| words.iter().cloned().collect()).or_else(|| built_in(name))
}

fn built_in(name: &str) -> Option<BTreeSet<String>> {
    match name {
        "en" => Some(ENGLISH_STOPWORDS.iter().map(|&word| word.to_owned()).collect()),
        "none" => Some(BTreeSet::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::schema::Stopwords;

    #[test]
    fn own_presets_replace_built_in_ones_where_they_are_named() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let presets = BTreeMap::from([("en".to_owned(), words(&["cat"])), ("fr".to_owned(), words(&["le"]))]);
        let stopwords_of = |preset: &str| Stopwords {
            preset: preset.into(),
            additions: Some(words(&["sea"])),
            removals: Some(words(&["the"])),
        };
        let config = InvertedConfig {
            stopwords: stopwords_of("en"),
            stopword_presets: Some(presets),
            ..InvertedConfig::default()
        };
        let preset = |name: &str| stopword_preset(&config, name).map(|words| words.into_iter().collect::<Vec<_>>());
        assert_eq!(preset("en"), Some(words(&["cat"])));
        assert_eq!(preset("fr"), Some(words(&["le"])));
        assert_eq!((preset("none"), preset("de")), (Some(Vec::new()), None));
        let of_collection = stopwords(&config, None);
        assert!(of_collection.contains("a") && of_collection.contains("sea") && !of_collection.contains("the"));
        let none = InvertedConfig { stopwords: stopwords_of("none"), ..config };
        assert_eq!(stopwords(&none, None).into_iter().collect::<Vec<_>>(), words(&["sea"]));
    }
}

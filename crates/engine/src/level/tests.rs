//! The frozen rules of each level. A failure here means that replicas of different versions would apply the same log
//! differently.

use std::fmt::Write;

use super::*;
use crate::limits::{
    ALIAS_NAME_BYTES_MAX, ALIASES_MAX, DEPTH_MAX, SHARD_NAME_BYTES_MAX, SHARDS_AT_ONCE_MAX, SHARDS_MAX,
    STORED_DEPTH_MAX,
};
use crate::schema::{TextAnalyzer, Tokenization};
use crate::vector::{DIM_MAX, ROWS_MAX};
use crate::{tokenizer, weight};

/// The limits that the wires check before they propose a command.
const NEWEST: ApplyLimits = ApplyLimits {
    dimensions: DIM_MAX,
    rows: ROWS_MAX,
    value_depth: STORED_DEPTH_MAX,
    shards: SHARDS_MAX,
    shard_name_bytes: SHARD_NAME_BYTES_MAX,
    shards_at_once: SHARDS_AT_ONCE_MAX,
    proposers: LEVEL_0.proposers,
};

/// A digest of the terms that each tokenization makes of every character, alone and between letters, as it is and folded.
fn terms_digest() -> u128 {
    use Tokenization::{Field, Lowercase, Trigram, Whitespace, Word};
    let folding = TextAnalyzer { ascii_fold: Some(true), ..TextAnalyzer::default() };
    let characters: Vec<char> = ('\0'..=char::MAX).collect();
    let mut digest = 0_u128;
    for part in characters.chunks(4_096) {
        let text: String = part.iter().map(|c| format!("{c}x{c}Yz ")).collect();
        let folded = tokenizer::analyze(Some(&folding), &text);
        let mut terms = digest.to_be_bytes().to_vec();
        for tokenization in [Word, Lowercase, Whitespace, Field, Trigram] {
            for text in [text.as_str(), &folded] {
                tokenizer::each_term(tokenization, text, |term| {
                    terms.extend_from_slice(term.as_bytes());
                    terms.push(0xff);
                });
            }
        }
        digest = murmur3::murmur3_x64_128(&mut terms.as_slice(), 0).unwrap();
    }
    digest
}

/// The rules in the form of `frozen.txt`: one line per level, and one of the rules that no level has changed so far.
fn rules() -> String {
    let mut out = String::new();
    for (level, limits) in LIMITS.iter().enumerate() {
        writeln!(out, "{level}: {limits:?}").unwrap();
    }
    writeln!(
        out,
        "all: entries {} tokens {} schema_depth {DEPTH_MAX} unicode {:?} terms {:032x} aliases {ALIASES_MAX} of \
         {ALIAS_NAME_BYTES_MAX} bytes",
        weight::ENTRIES_MAX,
        weight::TOKENS_MAX,
        char::UNICODE_VERSION,
        terms_digest()
    )
    .unwrap();
    out
}

#[test]
fn rules_of_levels_are_frozen() {
    assert_eq!(
        rules(),
        include_str!("frozen.txt"),
        "a rule of apply has changed: replicas of different versions would differ. Add a feature level, as level.rs says"
    );
    assert_eq!(
        *FeatureLevel::SUPPORTED.limits(),
        NEWEST,
        "the wires check other limits than apply at the newest level"
    );
    assert!(LIMITS.iter().all(|limits| limits.value_depth <= STORED_DEPTH_MAX), "rows hold what apply accepts");
}

#[test]
fn the_common_level_is_what_every_member_supports() {
    let level = |number| Some(FeatureLevel(number));
    assert_eq!(FeatureLevel::common([]), None);
    assert_eq!(FeatureLevel::common([level(3)]), level(3));
    assert_eq!(FeatureLevel::common([level(3), level(1), level(2)]), level(1));
    assert_eq!(FeatureLevel::common([level(3), None, level(2)]), None);
    assert_eq!(FeatureLevel::common([None]), None);
}

//! Explanations of scores.

use std::fmt::Write as _;

use azimuth_engine::query::{Explained, FusedSearch};
use uuid::Uuid;

/// How the score of an object came about. Of searches that were fused by their scores the last one comes first.
pub(crate) fn explanation(id: Uuid, parts: &[Explained]) -> String {
    let mut text = String::new();
    let is_relative = matches!(parts.first(), Some(Explained::Relative { .. }));
    let mut write = |part: &Explained| {
        // Writing to a text cannot fail.
        let _ = match part {
            Explained::Term { term, frequency, length } => {
                write!(text, ", BM25F_{term}_frequency:{frequency}, BM25F_{term}_propLength:{length}")
            }
            Explained::Rank { search, added } => {
                let set = result_set(*search);
                write!(text, "\nHybrid (Result Set {set}) Document {id} contributed {added} to the score")
            }
            Explained::Relative { search, original, added } => {
                let (set, joint) = (result_set(*search), if text.is_empty() { "" } else { " - " });
                write!(
                    text,
                    "{joint}\nHybrid (Result Set {set}) Document {id}: original score {original}, normalized score: {added}"
                )
            }
        };
    };
    if is_relative {
        parts.iter().rev().for_each(&mut write);
    } else {
        parts.iter().for_each(&mut write);
    }
    text
}

fn result_set(search: FusedSearch) -> &'static str {
    match search {
        FusedSearch::Keyword => "keyword,bm25",
        FusedSearch::Vector => "vector,hybridVector",
        FusedSearch::VectorSearch => "vector,nearVector",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_score_is_explained() {
        let id = Uuid::from_u128(1);
        let [vector, keyword] = [FusedSearch::VectorSearch, FusedSearch::Keyword];
        let relative = |search, original| Explained::Relative { search, original, added: 0.5 };
        assert_eq!(
            explanation(id, &[relative(vector, 0.25), relative(keyword, 2.0)]),
            format!(
                "\nHybrid (Result Set keyword,bm25) Document {id}: original score 2, normalized score: 0.5 - \
                 \nHybrid (Result Set vector,nearVector) Document {id}: original score 0.25, normalized score: 0.5"
            )
        );
        let ranked = |search| Explained::Rank { search, added: 0.25 };
        assert_eq!(
            explanation(id, &[ranked(FusedSearch::Vector), ranked(keyword)]),
            format!(
                "\nHybrid (Result Set vector,hybridVector) Document {id} contributed 0.25 to the score\
                 \nHybrid (Result Set keyword,bm25) Document {id} contributed 0.25 to the score"
            )
        );
        let term = |term: &str, frequency| Explained::Term { term: term.to_owned(), frequency, length: 8 };
        assert_eq!(
            explanation(id, &[term("a", 1), term("b", 2)]),
            ", BM25F_a_frequency:1, BM25F_a_propLength:8, BM25F_b_frequency:2, BM25F_b_propLength:8"
        );
        assert_eq!(explanation(id, &[]), "");
    }
}

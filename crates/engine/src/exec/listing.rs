//! Listings in the order of ids or of doc ids.

use roaring::RoaringTreemap;

use super::search::Search;
use crate::Result;
use crate::ids::DocId;
use crate::query::{Query, Rank};
use crate::storage::{Family, key};

impl Search<'_> {
    /// Doc ids of the page of a listing in the order of ids, with `offset` left out.
    pub(super) fn by_id(&self, query: &Query, matches: Option<&RoaringTreemap>) -> Result<Vec<DocId>> {
        let prefix = self.shard.prefix;
        let mut cursor = self.view.store.cursor(Family::Ids, prefix.bytes(), None);
        let after = match &query.rank {
            Rank::Listing { after } => *after,
            Rank::Near(_) | Rank::Keyword(_) => None,
        };
        cursor.seek(&after.map_or_else(|| prefix.bytes().to_vec(), |after| prefix.id(after)));
        let hidden = self.shard.unreadable.known();
        let mut found = Vec::new();
        let mut left_out = 0;
        while let Some((key, value)) = cursor.item()? {
            let doc_id = key::parse_doc_id(value)?;
            let wanted = self.view.state.live.contains(doc_id.0)
                && !hidden.as_ref().is_some_and(|hidden| hidden.contains(doc_id.0))
                && matches.is_none_or(|matches| matches.contains(doc_id.0))
                && (after.is_none() || after != Some(key::parse_id(key)?));
            if wanted && left_out < query.offset {
                left_out += 1;
            } else if wanted {
                found.push(doc_id);
                if found.len() >= query.limit {
                    break;
                }
            }
            cursor.next();
        }
        Ok(found)
    }

    /// Doc ids of the page of the matches in the order of doc ids.
    pub(super) fn by_doc_id(&self, query: &Query, matches: Option<&RoaringTreemap>) -> Vec<DocId> {
        let hidden = self.shard.unreadable.known();
        let matches = matches.into_iter().flat_map(RoaringTreemap::iter);
        let matches = matches.filter(|doc_id| !hidden.as_ref().is_some_and(|hidden| hidden.contains(*doc_id)));
        matches.skip(query.offset).take(query.limit).map(DocId).collect()
    }
}

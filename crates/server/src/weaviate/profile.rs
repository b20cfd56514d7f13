//! Profiles of searches as the wires show them: by shard and kind of search, named times in Go's form.

use std::collections::BTreeMap;

use azimuth_engine::vector::IndexKind;
use serde::Serialize;

use crate::app::search::Search;
use crate::app::shards::{Profile, SearchKind, ShardTimes};
use crate::weaviate::duration;

/// The times of one kind of search, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ShownSearch {
    /// Times and counts.
    pub(crate) details: BTreeMap<&'static str, String>,
}

/// The profile of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ShownShard {
    /// Its name, the collection's before it.
    pub(crate) name: String,
    /// The node that read it.
    pub(crate) node: String,
    /// By kind of search.
    pub(crate) searches: BTreeMap<&'static str, ShownSearch>,
}

/// The profile of a search that ran on `node`.
pub(crate) fn shown(profile: &Profile, search: &Search, node: &str) -> Vec<ShownShard> {
    let collection = &search.shard_target.collection;
    let flat = collection
        .vectors
        .iter()
        .any(|(_, config)| config.index.kind == IndexKind::Flat && search.vectors().contains(&config.id));
    let mut shards: BTreeMap<_, ShownShard> = BTreeMap::new();
    for ((at, kind), times) in profile.times() {
        let shard = shards.entry(at).or_insert_with(|| ShownShard {
            name: format!("{}_{}", collection.name.to_lowercase(), search.shard_target.name_of(at)),
            node: node.to_owned(),
            searches: BTreeMap::new(),
        });
        let (name, details) = details(kind, times, flat);
        shard.searches.insert(name, ShownSearch { details });
    }
    shards.into_values().collect()
}

/// The name of a kind of search, and its times. A graph search is not timed by level: level 0 stands for all of them.
fn details(kind: SearchKind, times: ShardTimes, flat: bool) -> (&'static str, BTreeMap<&'static str, String>) {
    let took = duration::text;
    let total = ("total_took", took(times.total()));
    match kind {
        SearchKind::Listing => ("object", BTreeMap::from([total])),
        SearchKind::Vector => {
            let flat = ("hnsw_flat_search", flat.to_string());
            let search = took(times.search);
            let level = ("knn_search_layer_0_took", search.clone());
            (
                "vector",
                BTreeMap::from([
                    total,
                    ("vector_search_took", search),
                    level,
                    ("objects_took", took(times.objects)),
                    flat,
                ]),
            )
        }
        SearchKind::Keyword => {
            let details = [
                total,
                ("kwd_method", "blockmaxwand".to_owned()),
                ("kwd_time", took(times.search + times.terms)),
                ("kwd_1_tok_time", took(times.terms)),
                ("kwd_4_bmw_time", took(times.search)),
                ("kwd_5_objects_time", took(times.objects)),
                ("kwd_6_res_count", times.hits.to_string()),
            ];
            ("keyword", BTreeMap::from(details))
        }
    }
}

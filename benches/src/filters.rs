//! Filters of the load test, which know nothing of the vectors.

use azimuth_client::Filter;

use crate::corpus::Corpus;

/// A filter, the documents that it admits, and what is known of the peers.
#[derive(Debug, Clone)]
pub struct FilterCase {
    /// Share of the documents that it admits.
    pub share: &'static str,
    /// Whether it admits a document.
    pub admit: fn(usize) -> bool,
    /// The filter.
    pub filter: Filter,
    /// What Weaviate answered elsewhere.
    pub weaviate: &'static str,
    /// What Milvus answered elsewhere.
    pub milvus: &'static str,
}

/// One of each kind of share: a scan, a walk through excluded nodes, a walk over all.
pub fn filter_cases() -> [FilterCase; 4] {
    [
        FilterCase {
            share: "1 %",
            admit: |index| Corpus::bucket(index) == 0,
            filter: buckets(1),
            weaviate: "",
            milvus: "",
        },
        FilterCase {
            share: "6 %",
            admit: |index| Corpus::bucket(index) < 6,
            filter: buckets(6),
            weaviate: "170-234/s; 478-534/s, recall 1.0",
            milvus: "",
        },
        FilterCase {
            share: "18 %",
            admit: |index| Corpus::bucket(index) < 18,
            filter: buckets(18),
            weaviate: "80-109/s; 188-226/s, recall 1.0",
            milvus: "368/s, recall .914",
        },
        FilterCase {
            share: "50 %",
            admit: |index| Corpus::half(index) == 0,
            filter: Filter::property("half").equal(0),
            weaviate: "",
            milvus: "",
        },
    ]
}

/// The documents of the first `count` buckets, one percent each.
fn buckets(count: i64) -> Filter {
    let bucket = |bucket: i64| Filter::property("bucket").equal(bucket);
    if count == 1 { bucket(0) } else { Filter::any((0..count).map(bucket)) }
}

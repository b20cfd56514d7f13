//! 50,000 real passages with their embeddings: loaded through gRPC batches, searched while indexing runs, after it, and
//! after kill -9 and a restart. Recall against the exact answers is the measure; the times are printed, not judged.

use azimuth_client::{Client, Collection, CollectionConfig, DataType, Filter, Object, Property, Query, VectorIndex};
use azimuth_tests::dataset::{Dataset, recall};
use azimuth_tests::notice;
use azimuth_tests::server::Server;
use std::time::{Duration, Instant};
use uuid::Uuid;

const NEAREST: usize = 10;
const RECALL_MIN: f64 = 0.99;
/// Indexing 50,000 vectors on two shared processors ends well before this.
const INDEXING_TIMEOUT: Duration = Duration::from_secs(900);

fn identity(row: usize) -> Uuid {
    Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 | row as u128)
}

fn row_of(id: Uuid) -> usize {
    usize::try_from(id.as_u128() & 0xffff_ffff).expect("32 bits")
}

#[test]
fn minilm_passages_are_found_during_indexing_after_it_and_after_kill_9() {
    let Some(dataset) = Dataset::minilm_docs() else {
        notice("real data: skipped, the shared folder with the data set is not there (AZIMUTH_SHARED)");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut server = Server::start();
    runtime.block_on(async {
        let client = server.client();
        load(&client, &dataset).await;
        let collection = client.collection("Passage").expect("a good name");
        measure(&collection, &dataset, "right after loading").await;
        let since = Instant::now();
        wait_until_indexed(&collection).await;
        notice(&format!("real data: the index is complete {:.1} s later", since.elapsed().as_secs_f64()));
        measure(&collection, &dataset, "indexed").await;
        check_objects(&collection, &dataset).await;
    });
    server.kill();
    let since = Instant::now();
    server.start_again();
    notice(&format!("real data: ready {:.2} s after kill -9", since.elapsed().as_secs_f64()));
    runtime.block_on(async {
        let collection = server.client().collection("Passage").expect("a good name");
        measure(&collection, &dataset, "after kill -9").await;
        check_objects(&collection, &dataset).await;
    });
}

async fn load(client: &Client, dataset: &Dataset) {
    let config = CollectionConfig::new("Passage")
        .property(Property::new("text", DataType::Text))
        .property(Property::new("source", DataType::Text).tokenization("field"))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&config).await.expect("a new collection");
    let since = Instant::now();
    let mut batch = client.collection("Passage").expect("a good name").batch(Default::default());
    for (row, passage) in dataset.passages.iter().enumerate() {
        let object = Object::with_id(identity(row))
            .property("text", passage.text.as_str())
            .property("source", passage.source.as_str())
            .vector(dataset.base.row(row));
        batch.add(&object).await.expect("a batch is taken");
    }
    let report = batch.finish().await.expect("the last batches are taken");
    assert_eq!((report.objects, report.failures.len()), (dataset.passages.len() as u64, 0), "every object is stored");
    let seconds = since.elapsed().as_secs_f64();
    notice(&format!(
        "real data: {} objects in {seconds:.1} s, {:.0}/s",
        report.objects,
        report.objects as f64 / seconds
    ));
}

async fn measure(collection: &Collection, dataset: &Dataset, when: &str) {
    let (mut sum, mut times) = (0.0, Vec::new());
    for query in 0..dataset.queries.rows() {
        let since = Instant::now();
        let request = Query::near_vector(dataset.queries.row(query)).limit(NEAREST as u32).properties(["source"]);
        let hits = collection.search(request).await.expect("a search");
        times.push(since.elapsed());
        assert_eq!(hits.len(), NEAREST, "{when}: query {query} has too few hits");
        let distances: Vec<f32> = hits.iter().map(|hit| hit.distance.expect("a distance")).collect();
        assert!(distances.is_sorted(), "{when}: query {query} is answered out of order: {distances:?}");
        let found: Vec<usize> = hits.iter().map(|hit| row_of(hit.object.id)).collect();
        sum += recall(&found, dataset.nearest.row(query));
    }
    times.sort_unstable();
    let recall = sum / dataset.queries.rows() as f64;
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let (p50, p99) = (p50.as_secs_f64() * 1e3, p99.as_secs_f64() * 1e3);
    notice(&format!("real data: {when}: recall@{NEAREST} {recall:.4}, p50 {p50:.2} ms, p99 {p99:.2} ms"));
    assert!(recall >= RECALL_MIN, "{when}: recall@{NEAREST} is {recall}");
}

async fn wait_until_indexed(collection: &Collection) {
    let since = Instant::now();
    while collection.vector_queue_size().await.expect("the state of the shards") > 0 {
        assert!(since.elapsed() < INDEXING_TIMEOUT, "indexing does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn check_objects(collection: &Collection, dataset: &Dataset) {
    assert_eq!(collection.count(None).await.expect("a count"), dataset.passages.len() as u64);
    for row in (0..dataset.passages.len()).step_by(4_999) {
        let object = collection.get(identity(row)).await.expect("an answer").expect("the object");
        let text = object.properties.get("text").and_then(serde_json::Value::as_str);
        assert_eq!(text, Some(dataset.passages[row].text.as_str()));
        assert_eq!(object.vectors.single(), Some(dataset.base.row(row)), "the vector comes back as it was sent");
    }
    let source = dataset.passages[0].source.as_str();
    let expected = dataset.passages.iter().filter(|passage| passage.source == source).count();
    let counted = collection.count(Some(Filter::property("source").equal(source))).await.expect("a count");
    assert_eq!(counted, expected as u64, "passages from {source}");
}

//! Several searches in one call: our own gRPC call, GraphQL aliases, GraphQL batches.

use azimuth_client::{
    Client, Collection, CollectionConfig, DataType, Error, Filter, Hit, Object, Property, Query, VectorIndex,
};
use azimuth_tests::server::Server;
use serde_json::{Value, json};
use uuid::Uuid;

const OBJECTS: u16 = 600;

fn vector(n: u16) -> [f32; 3] {
    let turn = f32::from(n) * 0.01;
    [turn.cos(), turn.sin(), 0.25]
}

async fn fill(client: &Client) -> Collection {
    let config = CollectionConfig::new("Thing")
        .property(Property::new("number", DataType::Int))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&config).await.expect("a collection");
    let collection = client.collection("Thing").expect("a good name");
    let object = |n: u16| Object::with_id(Uuid::from_u128(u128::from(n) + 1)).property("number", n).vector(vector(n));
    let objects: Vec<Object> = (0..OBJECTS).map(object).collect();
    let report = collection.insert_many(&objects, Default::default()).await.expect("batches");
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    collection
}

fn queries() -> Vec<Query> {
    let near = |n: u16| Query::near_vector(vector(n)).limit(5);
    let below = |n: i64| Filter::property("number").less(n);
    let mut queries: Vec<Query> = (0..40).map(|n| near(n * 13)).collect();
    queries.extend((0..20).map(|n| near(n * 7).filter(below(100))));
    queries.push(near(3).filter(below(7)).properties(Vec::<String>::new()));
    queries.push(Query::list().limit(3));
    queries.push(Query::near_object(Uuid::from_u128(9)).limit(4));
    queries
}

fn ids(hits: &[Hit]) -> Vec<(Uuid, Option<f32>)> {
    hits.iter().map(|hit| (hit.object.id, hit.distance)).collect()
}

#[tokio::test]
async fn searches_of_one_call_answer_as_each_by_itself() {
    let server = Server::start();
    let collection = fill(&server.client()).await;
    let together = collection.search_many(queries()).await.expect("an answer");
    assert_eq!(together.len(), queries().len());
    for (query, found) in queries().into_iter().zip(together) {
        let alone = collection.search(query).await.expect("an answer");
        assert!(!alone.is_empty());
        assert_eq!(ids(&found.expect("hits")), ids(&alone));
    }

    // One that fails leaves the others alone, and fails as it would by itself.
    let mixed = [Query::near_vector(vector(1)), Query::near_vector([1.0, 2.0]), Query::near_vector(vector(2))];
    let found = collection.search_many(mixed).await.expect("an answer");
    let alone = collection.search(Query::near_vector([1.0, 2.0])).await.expect_err("a wrong length");
    assert!(found[0].is_ok() && found[2].is_ok());
    assert_eq!(found[1].as_ref().expect_err("a wrong length"), &alone);
    let nowhere = server.client().collection("Nowhere").expect("a good name");
    let found = nowhere.search_many([Query::list()]).await.expect("an answer");
    assert!(matches!(found.as_slice(), [Err(Error::NotFound(_))]), "{found:?}");

    for many in [0, 257] {
        let refused = collection.search_many((0..many).map(|_| Query::list())).await.expect_err("too few or too many");
        assert!(matches!(&refused, Error::Invalid(text) if text.contains("1 to 256")), "{refused}");
    }
    // As many hits as one search could have, and not one more.
    let limits = |last: u32| [Query::list().limit(9_000), Query::list().limit(last)];
    assert!(collection.search_many(limits(1_000)).await.expect("an answer").iter().all(Result::is_ok));
    let refused = collection.search_many(limits(1_001)).await.expect_err("too many hits");
    assert!(matches!(&refused, Error::Invalid(text) if text.contains("QUERY_MAXIMUM_RESULTS")), "{refused}");
}

#[tokio::test]
async fn searches_of_one_call_need_the_same_rights() {
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "false")
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "admin-key,other-key")
        .variable("AUTHENTICATION_APIKEY_USERS", "admin,other")
        .variable("AUTHORIZATION_ADMINLIST_ENABLED", "true")
        .variable("AUTHORIZATION_ADMINLIST_USERS", "admin")
        .start();
    let client = |key: &str| server.client_builder().api_key(key).build().expect("a client");
    fill(&client("admin-key")).await;
    let ask = async |client: Client| {
        let collection = client.collection("Thing").expect("a good name");
        collection.search_many([Query::list(), Query::near_vector(vector(1))]).await
    };
    assert!(ask(client("admin-key")).await.expect("an answer").iter().all(Result::is_ok));
    let refused = ask(client("other-key")).await.expect("failures in their places");
    assert!(refused.iter().all(|one| matches!(one, Err(Error::PermissionDenied(_)))), "{refused:?}");
    let unknown = ask(client("no-key")).await.expect_err("an unknown key");
    assert!(matches!(unknown, Error::Unauthenticated(_)), "{unknown}");
}

#[tokio::test]
async fn graphql_answers_aliases_and_batches_in_order() {
    let server = Server::start();
    let client = server.client();
    let collection = fill(&client).await;
    let near = |n: u16| {
        let [x, y, z] = vector(n);
        format!("Thing(limit: 3, nearVector: {{vector: [{x}, {y}, {z}]}}) {{ number }}")
    };
    let wanted = async |n: u16| -> Value {
        let hits = collection.search(Query::near_vector(vector(n)).limit(3)).await.expect("hits");
        hits.iter().map(|hit| json!({"number": hit.object.properties["number"]})).collect()
    };
    let aliases: Vec<String> = (0..30).map(|n| format!("a{n}: {}", near(n * 19))).collect();
    let data = client.graphql(&format!("{{ Get {{ {} }} }}", aliases.join(" "))).await.expect("data");
    for n in 0..30 {
        assert_eq!(data["Get"][format!("a{n}")], wanted(n * 19).await, "alias {n}");
    }

    let bodies: Value = (0..30).map(|n| json!({"query": format!("{{ Get {{ {} }} }}", near(n * 11))})).collect();
    let body = serde_json::to_vec(&bodies).expect("plain data");
    let answer = client.post_raw("/graphql/batch", body).await.expect("an answer");
    let answers: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answers.as_array().map(Vec::len), Some(30));
    for n in 0..30 {
        assert_eq!(answers[usize::from(n)]["data"]["Get"]["Thing"], wanted(n * 11).await, "request {n}");
    }
}

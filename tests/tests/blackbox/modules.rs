//! Modules against a service of the test: vectors at import and for searches, texts, ranks, failures.

use azimuth_client::proto::weaviate::v1 as pb;
use azimuth_tests::raw_http;
use azimuth_tests::server::{Server, ServerBuilder};
use azimuth_tests::service::{Service, vector};
use pb::weaviate_client::WeaviateClient;
use serde_json::{Value, json};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

const KEY: (&str, &str) = ("X-OpenAI-Api-Key", "secret-of-the-caller");

fn builder() -> ServerBuilder {
    Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
}

fn call(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("Content-Type", "application/json"), KEY];
    let answer = raw_http::request(&server.http_address(), method, path, &headers, body.to_string().as_bytes());
    let answer = answer.expect("an answer");
    (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
}

fn graphql(server: &Server, query: &str) -> Value {
    let (status, answer) = call(server, "POST", "/v1/graphql", &json!({ "query": query }));
    assert_eq!(status, 200, "{answer}");
    answer
}

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A class whose vectors a module makes of `title` alone.
fn create(server: &Server, service: &Service, module: &str) {
    let settings = json!({
        "vectorizeClassName": false,
        "baseURL": service.address(),
        "apiEndpoint": service.address(),
        "model": "of-the-test",
    });
    let class = json!({
        "class": "Book", "vectorizer": module,
        "moduleConfig": {
            module: settings,
            "generative-openai": {"baseURL": service.address()},
        },
        "properties": [
            {"name": "title", "dataType": ["text"]},
            {"name": "secret", "dataType": ["text"], "moduleConfig": {module: {"skip": true}}},
            {"name": "pages", "dataType": ["int"]},
        ],
    });
    let (status, answer) = call(server, "POST", "/v1/schema", &class);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["moduleConfig"][module]["model"], "of-the-test");
    assert_eq!(answer["properties"][0]["moduleConfig"][module], json!({"skip": false, "vectorizePropertyName": false}));
}

const TITLES: [&str; 4] = ["the blue sea", "the red desert", "blue whales of the sea", "cooking with salt"];

fn fill(server: &Server) {
    let object = |(number, title): (usize, &&str)| {
        let properties = json!({"title": title, "secret": "never sent", "pages": number});
        json!({"class": "Book", "id": id(number as u32), "properties": properties})
    };
    let objects: Vec<Value> = TITLES.iter().enumerate().map(object).collect();
    let (status, answer) = call(server, "POST", "/v1/batch/objects", &json!({ "objects": objects }));
    assert_eq!(status, 200, "{answer}");
    let failed = answer.as_array().expect("a list").iter().filter(|one| one["result"]["status"] != "SUCCESS").count();
    assert_eq!(failed, 0, "{answer}");
}

fn stored_vector(server: &Server, number: u32) -> Vec<f32> {
    let (status, object) = call(server, "GET", &format!("/v1/objects/Book/{}?include=vector", id(number)), &json!({}));
    assert_eq!(status, 200, "{object}");
    let numbers = object["vector"].as_array().unwrap_or_else(|| panic!("no vector: {object}"));
    numbers.iter().map(|number| number.as_f64().expect("a number") as f32).collect()
}

fn titles(answer: &Value) -> Vec<String> {
    let hits = answer["data"]["Get"]["Book"].as_array().unwrap_or_else(|| panic!("no hits: {answer}"));
    hits.iter().map(|hit| hit["title"].as_str().expect("a title").to_owned()).collect()
}

fn grpc(server: &Server) -> WeaviateClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", server.grpc_port())).expect("an address");
    WeaviateClient::new(endpoint.connect_lazy())
}

async fn search(server: &Server, search: pb::SearchRequest) -> Result<pb::SearchReply, Status> {
    let mut request = Request::new(pb::SearchRequest { collection: "Book".into(), uses_127_api: true, ..search });
    request.metadata_mut().insert("x-openai-api-key", MetadataValue::from_static(KEY.1));
    grpc(server).search(request).await.map(tonic::Response::into_inner)
}

fn shown(reply: &pb::SearchReply) -> Vec<String> {
    let title = |result: &pb::SearchResult| {
        let fields = &result.properties.as_ref()?.non_ref_props.as_ref()?.fields;
        match fields.get("title")?.kind.as_ref()? {
            pb::value::Kind::TextValue(text) => Some(text.clone()),
            _ => None,
        }
    };
    reply.results.iter().filter_map(title).collect()
}

#[test]
fn objects_are_vectorised_once_per_text() {
    for module in ["text2vec-openai", "text2vec-ollama"] {
        let (server, service) = (builder().start(), Service::start());
        create(&server, &service, module);
        fill(&server);
        let requests = service.take_requests();
        assert_eq!(requests.len(), 1, "one call for a batch: {requests:?}");
        assert_eq!(requests[0].texts(), TITLES);
        assert_eq!(requests[0].body["model"], "of-the-test");
        let key = requests[0].header("authorization");
        assert_eq!(key, (module == "text2vec-openai").then_some("Bearer secret-of-the-caller"));
        assert_eq!(stored_vector(&server, 2), vector(TITLES[2]));

        // The same text again, and other properties: the vector is kept.
        fill(&server);
        let path = format!("/v1/objects/Book/{}", id(1));
        let (status, _) = call(&server, "PATCH", &path, &json!({"class": "Book", "properties": {"pages": 9}}));
        assert_eq!(status, 204);
        assert!(service.take_requests().is_empty());
        assert_eq!(stored_vector(&server, 1), vector(TITLES[1]));
        // Another text.
        let (status, _) =
            call(&server, "PATCH", &path, &json!({"class": "Book", "properties": {"title": "green hills"}}));
        assert_eq!(status, 204);
        assert_eq!(service.take_requests()[0].texts(), ["green hills"]);
        assert_eq!(stored_vector(&server, 1), vector("green hills"));
        // A vector of the client.
        let own = json!({"class": "Book", "id": id(8), "properties": {"title": "own"}, "vector": vector("other")});
        assert_eq!(call(&server, "POST", "/v1/objects", &own).0, 200);
        assert!(service.take_requests().is_empty());
        assert_eq!(stored_vector(&server, 8), vector("other"));
        assert!(!server.log().contains("panicked") && !server.log().contains(KEY.1), "{}", server.log());
    }
}

#[test]
fn failures_are_those_of_the_objects() {
    let service = Service::start();
    let server = builder().variable("MODULES_CLIENT_TIMEOUT", "5s").start();
    create(&server, &service, "text2vec-openai");
    // Failures of the moment are repeated.
    service.fail(&[503, 429]);
    fill(&server);
    assert_eq!(service.take_requests().len(), 3);
    service.fail(&[401]);
    let object = json!({"class": "Book", "id": id(50), "properties": {"title": "no key"}});
    let (status, answer) = call(&server, "POST", "/v1/objects", &object);
    let message = answer["error"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!(status, 500, "{answer}");
    assert!(message.contains("update vector: connection to: OpenAI API failed with status: 401"), "{message}");
    assert_eq!(call(&server, "GET", &format!("/v1/objects/Book/{}", id(50)), &json!({})).0, 404);
    service.fail(&[400]);
    let (status, answer) = call(&server, "POST", "/v1/batch/objects", &json!({"objects": [object]}));
    assert_eq!((status, &answer[0]["result"]["status"]), (200, &json!("FAILED")), "{answer}");
    // No key at all.
    let answer = raw_http::post(&server.http_address(), "/v1/objects", &object.to_string()).expect("an answer");
    assert!(answer.body.contains("no api key found neither in request header"), "{}", answer.body);
    // A service that is not there.
    let elsewhere = json!({
        "class": "Lost", "vectorizer": "text2vec-openai",
        "moduleConfig": {"text2vec-openai": {"baseURL": "http://127.0.0.1:9"}},
        "properties": [{"name": "title", "dataType": ["text"]}],
    });
    assert_eq!(call(&server, "POST", "/v1/schema", &elsewhere).0, 200);
    let object = json!({"class": "Lost", "properties": {"title": "x"}});
    let (status, answer) = call(&server, "POST", "/v1/objects", &object);
    assert_eq!(status, 500);
    assert!(answer.to_string().contains("send POST request to OpenAI API"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_by_text() {
    let (server, service) = (builder().start(), Service::start());
    create(&server, &service, "text2vec-openai");
    fill(&server);
    service.take_requests();
    let answer = graphql(&server, r#"{ Get { Book(nearText: {concepts: ["blue sea"]}, limit: 2) { title } } }"#);
    assert_eq!(titles(&answer), ["the blue sea", "blue whales of the sea"]);
    assert_eq!(service.take_requests()[0].texts(), ["blue sea"]);
    let moved = r#"{ Get { Book(nearText: {concepts: ["desert"], moveTo: {concepts: ["salt cooking"], force: 1}}, limit: 1) { title } } }"#;
    graphql(&server, moved);
    assert_eq!(service.take_requests()[0].texts(), ["desert", "salt cooking"]);
    let away = format!(
        r#"{{ Get {{ Book(nearText: {{concepts: ["blue sea"], distance: 1.9, moveAwayFrom: {{objects: [{{id: "{}"}}], force: 1}}}}, limit: 4) {{ title }} }} }}"#,
        id(0)
    );
    let answer = graphql(&server, &away);
    assert!(!titles(&answer).is_empty(), "{answer}");
    let wrong = graphql(
        &server,
        r#"{ Get { Book(nearText: {concepts: ["a"], moveTo: {concepts: ["b"], force: 2}}) { title } } }"#,
    );
    assert!(wrong.to_string().contains("force must be between 0 and 1"), "{wrong}");
    let hybrid = graphql(&server, r#"{ Get { Book(hybrid: {query: "blue sea", alpha: 0.9}, limit: 1) { title } } }"#);
    assert_eq!(titles(&hybrid), ["the blue sea"]);
    let aggregate =
        graphql(&server, r#"{ Aggregate { Book(nearText: {concepts: ["sea"]}, objectLimit: 3) { meta { count } } } }"#);
    assert_eq!(aggregate["data"]["Aggregate"]["Book"][0]["meta"]["count"], 3, "{aggregate}");

    let near = |query: &str| pb::NearTextSearch { query: vec![query.to_owned()], ..Default::default() };
    let request = pb::SearchRequest { near_text: Some(Box::new(near("red desert"))), limit: 1, ..Default::default() };
    assert_eq!(shown(&search(&server, request).await.expect("hits")), ["the red desert"]);
    let hybrid = pb::Hybrid { query: "cooking salt".into(), use_alpha_param: true, ..Default::default() };
    let request = pb::SearchRequest { hybrid_search: Some(Box::new(hybrid.clone())), limit: 1, ..Default::default() };
    assert_eq!(shown(&search(&server, request).await.expect("hits")), ["cooking with salt"]);
    let hybrid = pb::Hybrid { query: "nothing".into(), near_text: Some(near("red desert")), ..hybrid };
    let hybrid = pb::Hybrid { alpha_param: Some(1.0), ..hybrid };
    let request = pb::SearchRequest { hybrid_search: Some(Box::new(hybrid)), limit: 1, ..Default::default() };
    assert_eq!(shown(&search(&server, request).await.expect("hits")), ["the red desert"]);
    service.fail(&[400]);
    let request = pb::SearchRequest { near_text: Some(Box::new(near("a"))), ..Default::default() };
    let refused = search(&server, request).await.expect_err("the service refuses");
    assert!(refused.message().contains("failed with status: 400"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_and_ranks() {
    let service = Service::start();
    let server = builder()
        .variable("ENABLE_MODULES", "text2vec-transformers,reranker-transformers")
        .variable("DEFAULT_VECTORIZER_MODULE", "text2vec-transformers")
        .variable("TRANSFORMERS_INFERENCE_API", service.address())
        .variable("RERANKER_INFERENCE_API", service.address())
        .start();
    create(&server, &service, "text2vec-transformers");
    fill(&server);
    assert_eq!(service.take_requests().len(), TITLES.len(), "one text at a time");
    let query = r#"{ Get { Book(limit: 2, sort: [{path: "pages"}]) { title _additional {
        generate(singleResult: {prompt: "say {title}"}, groupedResult: {task: "sum up", properties: ["title"]})
        { singleResult groupedResult error } } } } }"#;
    let answer = graphql(&server, query);
    let hits = &answer["data"]["Get"]["Book"];
    assert_eq!(hits[0]["_additional"]["generate"]["singleResult"], "answer to: say the blue sea", "{answer}");
    assert_eq!(hits[1]["_additional"]["generate"]["singleResult"], "answer to: say the red desert");
    let grouped = hits[0]["_additional"]["generate"]["groupedResult"].as_str().expect("a text");
    assert!(
        grouped.contains("sum up") && grouped.contains("the red desert") && !grouped.contains("never"),
        "{grouped}"
    );
    assert_eq!(hits[1]["_additional"]["generate"]["groupedResult"], Value::Null);
    let query = r#"{ Get { Book(bm25: {query: "sea desert salt"}) { title _additional { rerank(property: "title", query: "desert") { score } } } } }"#;
    let answer = graphql(&server, query);
    assert_eq!(titles(&answer)[0], "the red desert", "{answer}");
    assert!(answer["data"]["Get"]["Book"][0]["_additional"]["rerank"][0]["score"].is_number(), "{answer}");

    let generative = pb::GenerativeSearch {
        single: Some(pb::generative_search::Single { prompt: "say {title}".into(), ..Default::default() }),
        grouped: Some(pb::generative_search::Grouped { task: "sum up".into(), ..Default::default() }),
        ..Default::default()
    };
    let rerank = pb::Rerank { property: "title".into(), query: Some("salt".into()) };
    let request = pb::SearchRequest {
        generative: Some(Box::new(generative)),
        rerank: Some(Box::new(rerank)),
        limit: 4,
        ..Default::default()
    };
    let reply = search(&server, request).await.expect("hits");
    assert_eq!(shown(&reply)[0], "cooking with salt");
    let first = &reply.results[0];
    let text = &first.generative.as_ref().expect("a text").values[0].result;
    assert_eq!(text, "answer to: say cooking with salt");
    assert!(first.metadata.as_ref().expect("metadata").rerank_score_present);
    let grouped = &reply.generative_grouped_results.as_ref().expect("a text").values[0].result;
    assert!(grouped.contains("the blue sea"), "{grouped}");
    // A class that names no vectorizer gets the default one.
    let (_, class) = call(&server, "POST", "/v1/schema", &json!({"class": "Plain"}));
    assert_eq!(class["vectorizer"], "text2vec-transformers");
}

#[test]
fn modules_that_are_not_enabled() {
    let server = builder().variable("API_BASED_MODULES_DISABLED", "true").start();
    let class = |vectorizer: &str| json!({"class": "Book", "vectorizer": vectorizer});
    for name in ["text2vec-openai", "text2vec-transformers", "text2vec-nothing", "generative-openai"] {
        let (status, answer) = call(&server, "POST", "/v1/schema", &class(name));
        assert_eq!(status, 422, "{answer}");
        assert!(answer.to_string().contains("no module with name"), "{answer}");
    }
    let refused = builder().variable("ENABLE_MODULES", "text2vec-transformers").start_refused();
    assert!(refused.contains("TRANSFORMERS_INFERENCE_API"), "{refused}");
    let refused = builder().variable("DEFAULT_VECTORIZER_MODULE", "text2vec-transformers").start_refused();
    assert!(refused.contains("DEFAULT_VECTORIZER_MODULE"), "{refused}");
}

//! Keyword and hybrid searches: GraphQL and gRPC, over one shard and over eight, answer as a naive model does, while objects
//! are replaced and deleted and the server is killed.

use std::collections::{BTreeMap, HashMap};

use azimuth_client::proto::weaviate::v1 as pb;
use azimuth_tests::server::Server;
use azimuth_tests::{notice, raw_http};
use pb::search_operator_options::Operator;
use pb::weaviate_client::WeaviateClient;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

const COLLECTIONS: [(&str, u32); 2] = [("One", 1), ("Eight", 8)];
const OBJECTS: u128 = 260;
const QUERIES: usize = 120;
const WORDS: [&str; 9] = ["harbour", "lamp", "the", "water", "salt", "boat", "north", "star", "lavender"];
const STOP_WORD: &str = "the";
/// Properties that are searched, by name; the last one is not cut into words.
const SEARCHED: [&str; 4] = ["title", "body", "tags", "label"];
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// Hits of each part of a hybrid search, at least.
const CANDIDATES: usize = 100;

struct Wire {
    address: String,
    grpc: WeaviateClient<Channel>,
    runtime: Runtime,
}

impl Wire {
    fn new(server: &Server) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", server.grpc_port())).expect("an address");
        let channel = runtime.block_on(async { endpoint.connect_lazy() });
        Self { address: server.http_address(), grpc: WeaviateClient::new(channel), runtime }
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let headers = [("Content-Type", "application/json")];
        let answer = raw_http::request(&self.address, method, path, &headers, body.to_string().as_bytes());
        let answer = answer.expect("an answer");
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send("POST", path, body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }

    /// Ids and scores.
    fn graphql(&self, class: &str, arguments: &str) -> Vec<Hit> {
        let query = format!("{{ Get {{ {class}({arguments}) {{ _additional {{ id score explainScore }} }} }} }}");
        let answer = self.post("/v1/graphql", &json!({"query": query}));
        let hits = answer["data"]["Get"][class].as_array();
        let hits = hits.unwrap_or_else(|| panic!("{arguments}: {answer}"));
        let hit = |hit: &Value| {
            let text = |name: &str| hit["_additional"][name].as_str().expect("a text").to_owned();
            let score = text("score").parse().expect("a number");
            Hit { id: text("id").parse().expect("an id"), score, explained: text("explainScore") }
        };
        hits.iter().map(hit).collect()
    }

    fn grpc(&self, request: pb::SearchRequest) -> Vec<Hit> {
        let mut client = self.grpc.clone();
        let reply = self.runtime.block_on(client.search(request)).expect("a reply").into_inner();
        let hit = |result: pb::SearchResult| {
            let metadata = result.metadata.expect("metadata");
            assert!(metadata.score_present && metadata.explain_score_present);
            let id = metadata.id.parse().expect("an id");
            Hit { id, score: metadata.score, explained: metadata.explain_score }
        };
        reply.results.into_iter().map(hit).collect()
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Hit {
    id: Uuid,
    score: f32,
    explained: String,
}

#[derive(Debug, Clone)]
struct Document {
    number: i64,
    texts: BTreeMap<&'static str, Vec<String>>,
    vector: Option<Vec<f32>>,
}

type Model = BTreeMap<Uuid, Document>;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn create(wire: &Wire) {
    for (name, shards) in COLLECTIONS {
        let class = json!({
            "class": name, "vectorizer": "none", "shardingConfig": {"desiredCount": shards},
            "vectorIndexType": "flat",
            "properties": [
                {"name": "title", "dataType": ["text"]}, {"name": "body", "dataType": ["text"]},
                {"name": "tags", "dataType": ["text[]"]},
                {"name": "label", "dataType": ["text"], "tokenization": "field"},
                {"name": "number", "dataType": ["int"]},
            ],
        });
        wire.post("/v1/schema", &class);
    }
}

fn line(rng: &mut ChaCha8Rng) -> String {
    let count = rng.random_range(1..12);
    (0..count).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect::<Vec<_>>().join(" ")
}

fn vector(rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..4).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Writes or replaces an object in both collections.
fn write(wire: &Wire, rng: &mut ChaCha8Rng, model: &mut Model, number: u128) {
    let mut texts = BTreeMap::new();
    texts.insert("title", vec![line(rng)]);
    if rng.random_bool(0.8) {
        texts.insert("body", vec![line(rng)]);
    }
    texts.insert("tags", (0..rng.random_range(0..3)).map(|_| line(rng)).collect());
    texts.insert("label", vec![WORDS[rng.random_range(0..WORDS.len())].to_owned()]);
    let document =
        Document { number: rng.random_range(0..40), texts, vector: rng.random_bool(0.8).then(|| vector(rng)) };
    let mut properties = json!({"number": document.number});
    for (name, lines) in &document.texts {
        properties[*name] = if *name == "tags" { json!(lines) } else { json!(lines[0]) };
    }
    let objects: Vec<Value> = COLLECTIONS
        .iter()
        .map(|(name, _)| {
            let mut object = json!({"class": name, "id": id(number), "properties": properties});
            document.vector.iter().for_each(|vector| object["vector"] = json!(vector));
            object
        })
        .collect();
    let answer = wire.post("/v1/batch/objects", &json!({"objects": objects}));
    assert!(
        answer.as_array().is_some_and(|all| all.iter().all(|one| one["result"]["status"] == "SUCCESS")),
        "{answer}"
    );
    model.insert(id(number), document);
}

fn delete(wire: &Wire, model: &mut Model, number: u128) {
    for (name, _) in COLLECTIONS {
        let (status, answer) = wire.send("DELETE", &format!("/v1/objects/{name}/{}", id(number)), &Value::Null);
        assert!(matches!(status, 204 | 404), "{answer}");
    }
    model.remove(&id(number));
}

/// A keyword search of both wires.
#[derive(Debug, Clone)]
struct Keywords {
    query: String,
    properties: Vec<(&'static str, f64)>,
    /// 0: Or, 1: And, 2: `AndCross`.
    operator: usize,
    minimum: usize,
}

fn keywords(rng: &mut ChaCha8Rng) -> Keywords {
    let count = rng.random_range(1..5);
    let words: Vec<&str> = (0..count).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
    let operator = [0, 0, 0, 1, 2][rng.random_range(0..5)];
    let names = if operator == 2 { &SEARCHED[..3] } else { &SEARCHED[..] };
    let mut properties: Vec<(&'static str, f64)> =
        names.iter().filter(|_| rng.random_bool(0.6)).map(|name| (*name, 1.0)).collect();
    if properties.is_empty() {
        properties.push((names[0], 1.0));
    }
    properties.iter_mut().for_each(|(_, boost)| *boost = [1.0, 1.0, 2.5, 0.5][rng.random_range(0..4)]);
    Keywords { query: words.join(" "), properties, operator, minimum: rng.random_range(0..3) }
}

impl Keywords {
    fn boosted(&self) -> Vec<String> {
        self.properties.iter().map(|(name, boost)| format!("{name}^{boost}")).collect()
    }

    fn operator_graphql(&self) -> String {
        match self.operator {
            0 => format!("{{operator: Or, minimumOrTokensMatch: {}}}", self.minimum),
            1 => "{operator: And}".to_owned(),
            _ => "{operator: AndCross}".to_owned(),
        }
    }

    fn operator_grpc(&self) -> pb::SearchOperatorOptions {
        let (operator, minimum) = match self.operator {
            0 => (Operator::Or, i32::try_from(self.minimum).ok()),
            1 => (Operator::And, None),
            _ => (Operator::AndCross, None),
        };
        pb::SearchOperatorOptions { operator: operator.into(), minimum_or_tokens_match: minimum }
    }

    fn terms(&self, property: &str) -> Vec<String> {
        if property == "label" {
            // Stop words are those of the words of a text.
            return vec![self.query.clone()];
        }
        self.query.split(' ').filter(|word| *word != STOP_WORD).map(str::to_owned).collect()
    }

    /// The score of every object that matches, by the formula.
    fn scores(&self, model: &Model) -> HashMap<Uuid, f64> {
        let tokens = |document: &Document, property: &str| -> Vec<String> {
            let lines = document.texts.get(property).into_iter().flatten();
            match property {
                "label" => lines.cloned().collect(),
                _ => lines.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect(),
            }
        };
        let having = |property: &str, term: &String| {
            model.values().filter(|document| tokens(document, property).contains(term)).count()
        };
        let mean = |property: &str| {
            let lengths = model.values().map(|document| tokens(document, property).len());
            let lengths: Vec<usize> = lengths.filter(|length| *length > 0).collect();
            lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64
        };
        let is_word = |property: &str| property != "label";
        let mut weights: HashMap<(&str, String), f64> = HashMap::new();
        for (property, boost) in &self.properties {
            for term in self.terms(property) {
                let of_group = self.properties.iter().filter(|(other, _)| is_word(other) == is_word(property));
                let counts: Vec<usize> =
                    of_group.map(|(other, _)| having(other, &term)).filter(|count| *count > 0).collect();
                let n = counts.iter().sum::<usize>().checked_div(counts.len()).unwrap_or(0) as f64;
                let idf = (1.0 + (model.len() as f64 - n + 0.5) / (n + 0.5)).ln();
                // A word that is there twice counts twice.
                *weights.entry((*property, term)).or_default() += idf * boost;
            }
        }
        let means: HashMap<&str, f64> = self.properties.iter().map(|(name, _)| (*name, mean(name))).collect();
        let mut scores = HashMap::new();
        for (id, document) in model {
            let (mut sum, mut matches, mut seen) = (0.0, false, Vec::new());
            for (property, _) in &self.properties {
                let (tokens, mut terms) = (tokens(document, property), self.terms(property));
                terms.sort();
                terms.dedup();
                let found: Vec<&String> = terms.iter().filter(|term| tokens.contains(term)).collect();
                let needed = match self.operator {
                    0 => self.minimum.max(1),
                    1 => terms.len().max(1),
                    _ => 1,
                };
                if found.len() < needed {
                    continue;
                }
                matches = true;
                for term in found {
                    seen.push(term.clone());
                    let f = tokens.iter().filter(|token| *token == term).count() as f64;
                    let norm = K1 * (1.0 - B + B * tokens.len() as f64 / means[property]);
                    sum += weights[&(*property, term.clone())] * f / (f + norm);
                }
            }
            if self.operator == 2 {
                let terms = self.terms("title");
                matches = !terms.is_empty() && terms.iter().all(|term| seen.contains(term));
            }
            if matches {
                scores.insert(*id, sum);
            }
        }
        scores
    }
}

/// The page of a search.
#[derive(Debug, Clone, Copy)]
struct Page {
    offset: usize,
    limit: usize,
    below: Option<i64>,
}

fn page(rng: &mut ChaCha8Rng) -> Page {
    Page {
        offset: [0, 0, 3, 40][rng.random_range(0..4)],
        limit: [1, 10, 300][rng.random_range(0..3)],
        below: rng.random_bool(0.4).then(|| rng.random_range(0..40)),
    }
}

impl Page {
    fn graphql(self) -> String {
        let filter =
            self.below.map(|below| format!(", where: {{path: [\"number\"], operator: LessThan, valueInt: {below}}}"));
        format!("limit: {}, offset: {}{}", self.limit, self.offset, filter.unwrap_or_default())
    }

    fn grpc(self, class: &str) -> pb::SearchRequest {
        let target = pb::filter_target::Target::Property("number".to_owned());
        let filters = self.below.map(|below| {
            Box::new(pb::Filters {
                operator: pb::filters::Operator::LessThan.into(),
                target: Some(pb::FilterTarget { target: Some(target) }),
                test_value: Some(pb::filters::TestValue::ValueInt(below)),
                ..pb::Filters::default()
            })
        });
        let metadata =
            pb::MetadataRequest { uuid: true, score: true, explain_score: true, ..pb::MetadataRequest::default() };
        pb::SearchRequest {
            collection: class.to_owned(),
            limit: u32::try_from(self.limit).unwrap_or(u32::MAX),
            offset: u32::try_from(self.offset).unwrap_or(u32::MAX),
            filters,
            metadata: Some(metadata),
            uses_127_api: true,
            ..pb::SearchRequest::default()
        }
    }

    /// The hits of the page, from those of the whole search.
    fn cut(self, mut all: Vec<(Uuid, f64)>) -> Vec<(Uuid, f64)> {
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.into_iter().skip(self.offset).take(self.limit).collect()
    }

    fn matches(self, document: &Document) -> bool {
        self.below.is_none_or(|below| document.number < below)
    }
}

/// Holds the answers of both wires and both collections against each other and against the model, whose `scores` are of
/// all objects.
fn check(answers: [Vec<Hit>; 4], page: Page, scores: Vec<(Uuid, f64)>, tolerance: f64, context: &str) {
    let [first, rest @ ..] = answers;
    for other in &rest {
        assert_eq!(first, *other, "{context}");
    }
    let known: HashMap<Uuid, f64> = scores.iter().copied().collect();
    let wanted = page.cut(scores);
    assert_eq!(first.len(), wanted.len(), "{context}");
    let near = |a: f64, b: f64| (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0);
    for (hit, (_, nth)) in first.iter().zip(&wanted) {
        let own = known.get(&hit.id).unwrap_or_else(|| panic!("{} is no hit, {context}", hit.id));
        assert!(near(f64::from(hit.score), *own), "{hit:?}: {own}, {context}");
        assert!(near(f64::from(hit.score), *nth), "{hit:?}: {nth}, {context}");
    }
}

fn check_keywords(wire: &Wire, rng: &mut ChaCha8Rng, model: &Model) {
    for _ in 0..QUERIES {
        let (keywords, page) = (keywords(rng), page(rng));
        let graphql = format!(
            "bm25: {{query: {:?}, properties: {:?}, searchOperator: {}}}, {}",
            keywords.query,
            keywords.boosted(),
            keywords.operator_graphql(),
            page.graphql()
        );
        let bm25 = pb::Bm25 {
            query: keywords.query.clone(),
            properties: keywords.boosted(),
            search_operator: Some(keywords.operator_grpc()),
        };
        let [one, eight] = COLLECTIONS.map(|(name, _)| {
            let grpc = pb::SearchRequest { bm25_search: Some(Box::new(bm25.clone())), ..page.grpc(name) };
            (wire.graphql(name, &graphql), wire.grpc(grpc))
        });
        let scores = keywords.scores(model).into_iter().filter(|(id, _)| page.matches(&model[id])).collect();
        check([one.0, one.1, eight.0, eight.1], page, scores, 1e-6, &graphql);
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
}

/// Scores of a hybrid search: each part's first hits, normalised.
fn fused(parts: [(f64, Vec<(Uuid, f64)>); 2], ranked: bool, reach: usize) -> Vec<(Uuid, f64)> {
    let mut sums: HashMap<Uuid, f64> = HashMap::new();
    for (weight, hits) in parts {
        let hits = Page { offset: 0, limit: reach.max(CANDIDATES), below: None }.cut(hits);
        let (most, least) = (hits.first().map_or(0.0, |hit| hit.1), hits.last().map_or(0.0, |hit| hit.1));
        for (rank, (id, score)) in hits.into_iter().enumerate() {
            let share = match ranked {
                true => 1.0 / (rank as f64 + 60.0),
                false if most > least => (score - least) / (most - least),
                false => 1.0,
            };
            *sums.entry(id).or_default() += weight * share;
        }
    }
    sums.into_iter().collect()
}

fn check_hybrid(wire: &Wire, rng: &mut ChaCha8Rng, model: &Model) {
    for _ in 0..QUERIES {
        let (keywords, page, ranked) = (keywords(rng), page(rng), rng.random_bool(0.3));
        let (alpha, vector) = ([0.0, 0.25, 0.5, 0.75, 1.0][rng.random_range(0..5)], vector(rng));
        let fusion = if ranked { "rankedFusion" } else { "relativeScoreFusion" };
        let graphql = format!(
            "hybrid: {{query: {:?}, properties: {:?}, bm25SearchOperator: {}, vector: {vector:?}, alpha: {alpha}, fusionType: \
             {fusion}}}, {}",
            keywords.query,
            keywords.boosted(),
            keywords.operator_graphql(),
            page.graphql()
        );
        let hybrid = pb::Hybrid {
            query: keywords.query.clone(),
            properties: keywords.boosted(),
            bm25_search_operator: Some(keywords.operator_grpc()),
            alpha_param: Some(alpha as f32),
            use_alpha_param: true,
            fusion_type: if ranked { 1 } else { 2 },
            vectors: vec![pb::Vectors {
                vector_bytes: vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
                r#type: pb::vectors::VectorType::SingleFp32.into(),
                ..pb::Vectors::default()
            }],
            ..pb::Hybrid::default()
        };
        let [one, eight] = COLLECTIONS.map(|(name, _)| {
            let grpc = pb::SearchRequest { hybrid_search: Some(Box::new(hybrid.clone())), ..page.grpc(name) };
            (wire.graphql(name, &graphql), wire.grpc(grpc))
        });
        let matching = || model.iter().filter(|(_, document)| page.matches(document));
        let near = matching().filter_map(|(id, of)| Some((*id, cosine(&vector, of.vector.as_ref()?))));
        let near = if alpha > 0.0 { near.collect() } else { Vec::new() };
        let scores = keywords.scores(model).into_iter().filter(|(id, _)| page.matches(&model[id]));
        let keyword = if alpha < 1.0 { scores.collect() } else { Vec::new() };
        let scores = fused([(alpha, near), (1.0 - alpha, keyword)], ranked, page.offset + page.limit);
        check([one.0, one.1, eight.0, eight.1], page, scores, 1e-4, &graphql);
    }
}

#[test]
fn keyword_and_hybrid_searches_agree_with_a_model_on_every_wire_and_over_all_shards() {
    let seed = rand::random();
    notice(&format!("seed {seed}"));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut server = Server::builder().variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true").start();
    let wire = Wire::new(&server);
    create(&wire);
    let mut model = Model::new();
    (0..OBJECTS).for_each(|number| write(&wire, &mut rng, &mut model, number));
    check_keywords(&wire, &mut rng, &model);
    check_hybrid(&wire, &mut rng, &model);
    for number in (0..OBJECTS).step_by(3) {
        if rng.random_bool(0.5) {
            delete(&wire, &mut model, number);
        } else {
            write(&wire, &mut rng, &mut model, number);
        }
    }
    check_keywords(&wire, &mut rng, &model);
    server.kill();
    server.start_again();
    let wire = Wire::new(&server);
    check_keywords(&wire, &mut rng, &model);
    check_hybrid(&wire, &mut rng, &model);
}

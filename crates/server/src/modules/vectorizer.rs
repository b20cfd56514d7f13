//! Vectorizers: texts in, vectors out.
//!
//! | module | request | settings |
//! | --- | --- | --- |
//! | `text2vec-openai` | `POST {baseURL}/v1/embeddings`, as any server with OpenAI's interface answers it | `model`, `dimensions`, `baseURL` |
//! | `text2vec-ollama` | `POST {apiEndpoint}/api/embed` | `model`, `apiEndpoint` |
//! | `text2vec-transformers` | `POST {url}/vectors`, one text at a time | `poolingStrategy`, `passageInferenceUrl`, `queryInferenceUrl`, `inferenceUrl` |

use azimuth_engine::object::Properties;
use azimuth_engine::schema::{Collection, VectorConfig};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use serde_json::{Map, Value, json};

use super::client::{self, Call};
use super::corpus::Corpus;
use super::credentials::{self, Credentials};
use super::registry::Kind;
use super::{ModuleError, ModuleSettings, Modules};

/// Name of a vector whose values come from the client.
const NONE: &str = "none";
/// Settings that are not given.
const OPENAI_MODEL: &str = "text-embedding-3-small";
const OPENAI_URL: &str = "https://api.openai.com";
const OLLAMA_MODEL: &str = "nomic-embed-text";
const OLLAMA_URL: &str = "http://localhost:11434";
const POOLING: &str = "masked_mean";
/// Texts and bytes of text of one request to a service.
const BATCH_TEXTS_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 512 << 10;
/// Requests that vectorise one batch of objects at the same time.
const REQUESTS_MAX: usize = 8;

/// The vector of a text, or why there is none.
pub(crate) type Made = Result<Vec<f32>, ModuleError>;

/// The purpose of a vector, which some services distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// To be found.
    Passage,
    /// To search with.
    Query,
}

/// The settings that a vectorizer has unless they are given; `None` if there is no vectorizer of that name.
pub(crate) fn defaults(name: &str) -> Option<Map<String, Value>> {
    let settings: &[(&str, &str)] = match name {
        "text2vec-openai" => &[("model", OPENAI_MODEL), ("baseURL", OPENAI_URL)],
        "text2vec-ollama" => &[("model", OLLAMA_MODEL), ("apiEndpoint", OLLAMA_URL)],
        "text2vec-transformers" => &[("poolingStrategy", POOLING)],
        _ => return None,
    };
    let texts = settings.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    Some(texts.chain([("vectorizeClassName".to_owned(), json!(true))]).collect())
}

/// The vectorizer of a vector of a collection.
#[derive(Debug, Clone)]
pub(crate) struct Vectorizer {
    /// Name of the module.
    name: String,
    settings: Value,
    corpus: Corpus,
}

impl Vectorizer {
    /// The vectorizer of a vector; `None` if the vectors come from the client.
    pub(crate) fn of(collection: &Collection, vector: &VectorConfig) -> Option<Self> {
        let name = vector.vectorizer.as_str();
        if name.is_empty() || name == NONE {
            return None;
        }
        let parse = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
        // A class with one vector has the settings of its vectorizer among those of all modules.
        let of_class = || parse(&collection.module_config)?.get_mut(name).map(Value::take);
        let settings = parse(&vector.vectorizer_config).or_else(of_class).unwrap_or_else(|| json!({}));
        let corpus = Corpus::new(collection, name, &settings);
        Some(Self { name: name.to_owned(), settings, corpus })
    }

    /// Whether objects of the collection get vectors from a module.
    pub(crate) fn is_needed(collection: &Collection) -> bool {
        collection.vectors.iter().any(|(_, vector)| !vector.vectorizer.is_empty() && vector.vectorizer != NONE)
    }

    /// The text of an object of the class.
    pub(crate) fn text(&self, class: &str, properties: &Properties) -> String {
        self.corpus.text(class, properties)
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

impl Modules {
    /// The vector of each text, in order. A call that fails is the error of its texts alone.
    pub(crate) async fn vectorize(&self, vectorizer: &Vectorizer, texts: &[String], used_for: Use) -> Vec<Made> {
        if !self.settings.is_enabled(&vectorizer.name, Kind::Vectorizer) {
            return vec![Err(ModuleError::NotEnabled(vectorizer.name.clone())); texts.len()];
        }
        let credentials = credentials::current();
        let texts_max = if vectorizer.name == "text2vec-transformers" { 1 } else { BATCH_TEXTS_MAX };
        let mut requests: Vec<BoxFuture<'_, Vec<Made>>> = Vec::new();
        for batch in batches(texts, texts_max) {
            let credentials = &credentials;
            requests.push(Box::pin(async move {
                match self.vectorize_batch(vectorizer, batch, used_for, credentials).await {
                    Ok(vectors) => vectors.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error); batch.len()],
                }
            }));
        }
        let vectors: Vec<Vec<_>> = stream::iter(requests).buffered(REQUESTS_MAX).collect().await;
        vectors.into_iter().flatten().collect()
    }

    async fn vectorize_batch(
        &self,
        vectorizer: &Vectorizer,
        texts: &[String],
        used_for: Use,
        credentials: &Credentials,
    ) -> Result<Vec<Vec<f32>>, ModuleError> {
        let Request { call, body, field } = request(&self.settings, vectorizer, texts, used_for, credentials)?;
        let answer = self.post(&call, &body).await?;
        vectors(call.service, &answer, field, texts.len())
    }
}

/// A request to a service.
struct Request<'a> {
    call: Call<'a>,
    body: Value,
    /// Where the answer has the vectors.
    field: Field,
}

/// Where an answer has the vectors.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// `data[].embedding`, each with its `index`.
    Data,
    /// `embeddings[]`
    Embeddings,
    /// `vector`, of a single text.
    Vector,
}

fn request<'a>(
    settings: &'a ModuleSettings,
    vectorizer: &'a Vectorizer,
    texts: &[String],
    used_for: Use,
    credentials: &'a Credentials,
) -> Result<Request<'a>, ModuleError> {
    let setting = |name: &str| vectorizer.setting(name);
    match vectorizer.name.as_str() {
        "text2vec-openai" => {
            let mut body = json!({"input": texts, "model": setting("model").unwrap_or(OPENAI_MODEL)});
            if let (Some(dimensions), Some(body)) = (vectorizer.settings.get("dimensions"), body.as_object_mut()) {
                body.insert("dimensions".to_owned(), dimensions.clone());
            }
            let call = openai(settings, setting("baseURL"), "v1/embeddings", credentials)?;
            Ok(Request { call, body, field: Field::Data })
        }
        "text2vec-ollama" => {
            let body = json!({"model": setting("model").unwrap_or(OLLAMA_MODEL), "input": texts});
            let call = ollama(setting("apiEndpoint"), "api/embed", credentials)?;
            Ok(Request { call, body, field: Field::Embeddings })
        }
        _ => {
            let (own, common) = match used_for {
                Use::Passage => (setting("passageInferenceUrl"), settings.passage_url.as_deref()),
                Use::Query => (setting("queryInferenceUrl"), settings.query_url.as_deref()),
            };
            let base = own.or_else(|| setting("inferenceUrl")).or(common).unwrap_or_default();
            let pooling = setting("poolingStrategy").unwrap_or(POOLING);
            let task = if used_for == Use::Query { "query" } else { "passage" };
            let config = json!({"pooling_strategy": pooling, "task_type": task});
            let text = texts.first().map_or("", String::as_str);
            let url = client::url(base, "vectors")?;
            let call = Call { service: "the transformers inference container", url, key: None, headers: Vec::new() };
            Ok(Request { call, body: json!({"text": text, "config": config}), field: Field::Vector })
        }
    }
}

/// A call of a service with OpenAI's interface; the request's headers go before the settings of the class.
pub(super) fn openai<'a>(
    settings: &'a ModuleSettings,
    base: Option<&str>,
    path: &str,
    credentials: &'a Credentials,
) -> Result<Call<'a>, ModuleError> {
    let base = credentials.get("x-openai-baseurl").or(base).unwrap_or(OPENAI_URL);
    let key = credentials.get("x-openai-api-key").or(settings.openai_key.as_deref());
    let key = key.ok_or(ModuleError::NoKey { header: "X-Openai-Api-Key", variable: "OPENAI_APIKEY" })?;
    let organization = credentials.get("x-openai-organization").or(settings.openai_organization.as_deref());
    let headers = organization.map(|organization| ("openai-organization", organization)).into_iter().collect();
    Ok(Call { service: "OpenAI API", url: client::url(base, path)?, key: Some(key), headers })
}

/// A call of an Ollama server.
pub(super) fn ollama<'a>(
    base: Option<&str>,
    path: &str,
    credentials: &'a Credentials,
) -> Result<Call<'a>, ModuleError> {
    let base = credentials.get("x-ollama-baseurl").or(base).unwrap_or(OLLAMA_URL);
    Ok(Call { service: "Ollama API", url: client::url(base, path)?, key: None, headers: Vec::new() })
}

/// `texts` in parts that one request carries.
fn batches(texts: &[String], texts_max: usize) -> Vec<&[String]> {
    let (mut batches, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (at, text) in texts.iter().enumerate() {
        if at > first && (at - first == texts_max || bytes + text.len() > BATCH_BYTES_MAX) {
            batches.push(&texts[first..at]);
            (first, bytes) = (at, 0);
        }
        bytes += text.len();
    }
    if first < texts.len() {
        batches.push(&texts[first..]);
    }
    batches
}

/// The vectors of an answer, which must be `count`, none of them empty.
fn vectors(service: &'static str, answer: &Value, field: Field, count: usize) -> Result<Vec<Vec<f32>>, ModuleError> {
    let refuse = |why: String| ModuleError::Answer { service, why };
    let list = |name: &str| answer.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let found: Vec<&Value> = match field {
        Field::Vector => answer.get("vector").into_iter().collect(),
        Field::Embeddings => list("embeddings").iter().collect(),
        Field::Data => {
            let mut data: Vec<&Value> = list("data").iter().collect();
            data.sort_by_key(|entry| entry.get("index").and_then(Value::as_u64).unwrap_or(0));
            data.into_iter().filter_map(|entry| entry.get("embedding")).collect()
        }
    };
    if found.len() != count {
        return Err(refuse(format!("{} vectors for {count} texts", found.len())));
    }
    let vector = |value: &Value| {
        let number = |number: &Value| number.as_f64().map(|number| number as f32).filter(|number| number.is_finite());
        let numbers: Option<Vec<f32>> = value.as_array()?.iter().map(number).collect();
        numbers.filter(|numbers| !numbers.is_empty())
    };
    let vectors = found.into_iter().map(vector).collect::<Option<Vec<_>>>();
    vectors.ok_or_else(|| refuse("a vector is no list of numbers".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_divided_by_number_and_bytes() {
        let texts: Vec<String> = (0..600).map(|n| n.to_string()).collect();
        let lengths: Vec<usize> = batches(&texts, BATCH_TEXTS_MAX).iter().map(|batch| batch.len()).collect();
        assert_eq!(lengths, [256, 256, 88]);
        let long = vec!["x".repeat(BATCH_BYTES_MAX / 2 + 1), "y".repeat(BATCH_BYTES_MAX / 2 + 1), "z".to_owned()];
        let lengths: Vec<usize> = batches(&long, BATCH_TEXTS_MAX).iter().map(|batch| batch.len()).collect();
        assert_eq!(lengths, [1, 2]);
        assert!(batches(&[], 1).is_empty());
    }

    #[test]
    fn answers_are_read_in_order_and_checked() {
        let data = json!({"data": [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2.5]}]});
        assert_eq!(vectors("s", &data, Field::Data, 2), Ok(vec![vec![1.0, 2.5], vec![3.0, 4.0]]));
        assert_eq!(vectors("s", &json!({"embeddings": [[1]]}), Field::Embeddings, 1), Ok(vec![vec![1.0]]));
        assert_eq!(vectors("s", &json!({"vector": [1]}), Field::Vector, 1), Ok(vec![vec![1.0]]));
        for wrong in [json!({}), json!({"vector": []}), json!({"vector": ["a"]}), json!({"vector": [1e300]})] {
            assert!(matches!(vectors("s", &wrong, Field::Vector, 1), Err(ModuleError::Answer { .. })), "{wrong}");
        }
        assert!(vectors("s", &data, Field::Data, 3).is_err_and(|error| error.to_string().contains("2 vectors for 3")));
    }
}

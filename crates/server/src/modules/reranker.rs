//! Rerankers: a query and documents in, scores out.
//!
//! `reranker-transformers` sends `POST {RERANKER_INFERENCE_API}/rerank`; the class may name another `inferenceUrl`.

use azimuth_engine::schema::Collection;
use serde_json::{Value, json};

use super::client::{self, Call};
use super::registry::Kind;
use super::{ModuleError, ModuleSettings, Modules};

const SERVICE: &str = "the reranker inference container";
/// Documents of one request.
const DOCUMENTS_MAX: usize = 512;

/// A reranker with its settings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reranker {
    name: &'static str,
    url: Option<String>,
}

impl Reranker {
    /// The reranker of a class: one that it has settings for, or the first that is enabled.
    pub(crate) fn of(collection: &Collection, modules: &ModuleSettings) -> Option<Self> {
        let config = collection.module_config.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let settings = |name: &str| config.as_ref()?.get(name);
        let mut enabled = modules.of_kind(Kind::Reranker);
        let name = enabled.next()?;
        let url = settings(name).and_then(|settings| settings.get("inferenceUrl")).and_then(Value::as_str);
        Some(Self { name, url: url.map(str::to_owned) })
    }
}

impl Modules {
    /// How well each document answers the query, in order.
    ///
    /// # Errors
    /// [`ModuleError`]
    pub(crate) async fn rerank(
        &self,
        reranker: &Reranker,
        query: &str,
        documents: &[String],
    ) -> Result<Vec<f64>, ModuleError> {
        if !self.settings.is_enabled(reranker.name, Kind::Reranker) {
            return Err(ModuleError::NotEnabled(reranker.name.to_owned()));
        }
        let base = reranker.url.as_deref().or(self.settings.reranker_url.as_deref()).unwrap_or_default();
        let url = client::url(base, "rerank")?;
        let call = Call { service: SERVICE, url, key: None, headers: Vec::new() };
        let mut scores = Vec::with_capacity(documents.len());
        for documents in documents.chunks(DOCUMENTS_MAX) {
            let answer = self.post(&call, &json!({"query": query, "documents": documents})).await?;
            scores.extend(read(&answer, documents.len())?);
        }
        Ok(scores)
    }
}

/// The scores of an answer, one for each document in its order.
fn read(answer: &Value, count: usize) -> Result<Vec<f64>, ModuleError> {
    let entries = answer.get("scores").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let scores: Option<Vec<f64>> = entries.iter().map(|entry| entry.get("score")?.as_f64()).collect();
    let scores = scores.filter(|scores| scores.len() == count);
    let why = || format!("{} scores for {count} documents, or one is no number", entries.len());
    scores.ok_or_else(|| ModuleError::Answer { service: SERVICE, why: why() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_has_a_score() {
        let answer = json!({"scores": [{"document": "a", "score": 0.5}, {"document": "b", "score": -1}]});
        assert_eq!(read(&answer, 2), Ok(vec![0.5, -1.0]));
        assert!(read(&answer, 3).is_err());
        assert!(read(&json!({"scores": [{"document": "a"}]}), 1).is_err());
    }
}

//! `_additional.generate` and `_additional.rerank`: additions of modules to the hits.

use azimuth_engine::schema::Collection;
use serde_json::Value;

use super::FieldError;
use super::document::Field;
use super::shape::Shape;
use crate::app::search::Ranking;
use crate::modules::ModuleSettings;
use crate::modules::generator::Generator;
use crate::modules::reranker::Reranker;
use crate::weaviate::enrich::{Enrich, Grouped, Rerank};
use crate::weaviate::texts;

/// The additions that the selection of a class asks for.
pub(super) fn wanted(
    modules: &ModuleSettings,
    collection: &Collection,
    shape: &Shape,
    class: &Field,
    ranking: &Ranking,
) -> Result<Enrich, FieldError> {
    let mut wanted = Enrich::default();
    let refuse = |why: &str| FieldError(format!("{}: extend: {why}", texts::search_path(ranking)));
    if let Some(field) = shape.asked("generate") {
        let generator = Generator::of(collection, modules);
        let generator = generator.ok_or_else(|| refuse("extend generate: client not found, empty provider"))?;
        let argument = |name: &str, inner: &str| field.argument(name).and_then(|given| given.get(inner));
        let text = |name: &str, inner: &str| argument(name, inner).and_then(Value::as_str).map(str::to_owned);
        wanted.single = text("singleResult", "prompt").map(|prompt| (generator.clone(), prompt));
        wanted.grouped = text("groupedResult", "task").map(|task| {
            let listed = argument("groupedResult", "properties").and_then(Value::as_array);
            let names = listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            Grouped { generator, task, properties: names.collect() }
        });
    }
    if let Some(field) = shape.asked("rerank") {
        let reranker = Reranker::of(collection, modules).ok_or_else(|| refuse("unknown capability: rerank"))?;
        let text = |name: &str| field.argument(name).and_then(Value::as_str).map(str::to_owned);
        let property = text("property").unwrap_or_default();
        if collection.property(&property).is_none() {
            return Err(refuse(&format!("extend rerank: property {property:?} does not exist")));
        }
        let query = text("query").unwrap_or_else(|| query_of(class));
        wanted.rerank = Some(Rerank { reranker, property, query });
    }
    Ok(wanted)
}

/// The query of the search, by which hits are reranked unless the request names another one.
fn query_of(class: &Field) -> String {
    let query = |name: &str| class.argument(name)?.get("query")?.as_str().map(str::to_owned);
    query("bm25").or_else(|| query("hybrid")).unwrap_or_default()
}

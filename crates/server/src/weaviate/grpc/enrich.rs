//! `rerank` and `generative`: additions of modules to the hits.

use azimuth_engine::schema::Collection;
use serde_json::{Map, Value, json};
use tonic::Status;

use crate::app::search::Ranking;
use crate::modules::ModuleSettings;
use crate::modules::generator::Generator;
use crate::modules::reranker::Reranker;
use crate::pb::weaviate::generative_provider::Kind;
use crate::pb::weaviate::{GenerativeProvider, GenerativeReply, GenerativeResult, SearchReply, SearchRequest};
use crate::weaviate::enrich::{Enrich, Enriched, Grouped, Rerank, Written};
use crate::weaviate::texts;

/// The additions that the request asks for; none if there is no module, as in Weaviate.
#[expect(deprecated, reason = "old clients still send the old fields")]
pub(super) fn wanted(
    modules: &ModuleSettings,
    collection: &Collection,
    request: &SearchRequest,
    ranking: &Ranking,
) -> Result<Enrich, Status> {
    let mut wanted = Enrich::default();
    if !modules.are_there() || (request.rerank.is_none() && request.generative.is_none()) {
        return Ok(wanted);
    }
    let refuse = |why: &str| Status::unknown(format!("{}: extend: {why}", texts::search_path(ranking)));
    if request.group_by.is_some() {
        return Err(refuse("rerank and generative are not supported yet together with group_by"));
    }
    if let Some(rerank) = &request.rerank {
        let reranker = Reranker::of(collection, modules).ok_or_else(|| refuse("unknown capability: rerank"))?;
        if collection.property(&rerank.property).is_none() {
            return Err(refuse(&format!("extend rerank: property {:?} does not exist", rerank.property)));
        }
        let query = rerank.query.clone().unwrap_or_else(|| query_of(request));
        wanted.rerank = Some(Rerank { reranker, property: rerank.property.clone(), query });
    }
    if let Some(generative) = &request.generative {
        let no_client = || refuse("extend generate: client not found, empty provider");
        let generator = |queries: &[GenerativeProvider]| match queries.first() {
            Some(query) => named(collection, query).ok_or_else(no_client),
            None => Generator::of(collection, modules).ok_or_else(no_client),
        };
        let (single, grouped) = (generative.single.as_ref(), generative.grouped.as_ref());
        let prompt = single.map_or(&generative.single_response_prompt, |single| &single.prompt);
        if !prompt.is_empty() {
            let queries = single.map_or(&[][..], |single| &single.queries);
            wanted.single = Some((generator(queries)?, prompt.clone()));
        }
        let task = grouped.map_or(&generative.grouped_response_task, |grouped| &grouped.task);
        if !task.is_empty() {
            let queries = grouped.map_or(&[][..], |grouped| &grouped.queries);
            let listed = grouped.and_then(|grouped| grouped.properties.as_ref()).map(|names| names.values.clone());
            let properties = listed.unwrap_or_else(|| generative.grouped_properties.clone());
            wanted.grouped = Some(Grouped { generator: generator(queries)?, task: task.clone(), properties });
        }
        if wanted.single.is_none() && wanted.grouped.is_none() {
            generator(&[])?;
        }
    }
    Ok(wanted)
}

/// The query of the search, by which hits are reranked unless the request names another one.
fn query_of(request: &SearchRequest) -> String {
    let bm25 = request.bm25_search.as_ref().map(|search| search.query.clone());
    let hybrid = || request.hybrid_search.as_ref().map(|search| search.query.clone());
    let near = || request.near_text.as_ref().map(|search| search.query.join(" "));
    bm25.or_else(hybrid).or_else(near).unwrap_or_default()
}

/// The generator that a request names, with its settings.
fn named(collection: &Collection, query: &GenerativeProvider) -> Option<Generator> {
    let mut settings = Map::new();
    let mut put = |name: &str, value: Option<Value>| settings.extend(value.map(|value| (name.to_owned(), value)));
    let name = match query.kind.as_ref()? {
        Kind::Openai(given) => {
            put("model", given.model.as_ref().map(|model| json!(model)));
            put("baseURL", given.base_url.as_ref().map(|url| json!(url)));
            put("temperature", given.temperature.map(|number| json!(number)));
            put("maxTokens", given.max_tokens.map(|number| json!(number)));
            put("topP", given.top_p.map(|number| json!(number)));
            put("frequencyPenalty", given.frequency_penalty.map(|number| json!(number)));
            put("presencePenalty", given.presence_penalty.map(|number| json!(number)));
            "generative-openai"
        }
        Kind::Ollama(given) => {
            put("model", given.model.as_ref().map(|model| json!(model)));
            put("apiEndpoint", given.api_endpoint.as_ref().map(|url| json!(url)));
            put("temperature", given.temperature.map(|number| json!(number)));
            "generative-ollama"
        }
        _ => return None,
    };
    Some(Generator::named(collection, name, settings))
}

/// Puts scores and texts into the reply.
///
/// # Errors
/// A text was not written.
#[expect(deprecated, reason = "old clients read the old fields")]
pub(super) fn add(reply: &mut SearchReply, enriched: Enriched) -> Result<(), Status> {
    let Enriched { scores, single, grouped } = enriched;
    for (result, score) in reply.results.iter_mut().zip(scores) {
        let metadata = result.metadata.get_or_insert_default();
        (metadata.rerank_score, metadata.rerank_score_present) = (score, true);
    }
    for (result, text) in reply.results.iter_mut().zip(single) {
        let text = written(text)?;
        let metadata = result.metadata.get_or_insert_default();
        (metadata.generative, metadata.generative_present) = (text.clone(), true);
        result.generative = Some(shown(text));
    }
    if let Some(text) = grouped {
        let text = written(text)?;
        reply.generative_grouped_result = Some(text.clone());
        reply.generative_grouped_results = Some(shown(text));
    }
    Ok(())
}

fn written(text: Written) -> Result<String, Status> {
    text.map_err(|error| Status::unknown(format!("extend: extend generate: {error}")))
}

fn shown(text: String) -> GenerativeResult {
    GenerativeResult { values: vec![GenerativeReply { result: text, ..GenerativeReply::default() }] }
}

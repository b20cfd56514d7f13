//! Additions of modules to the hits of a search: an order by a reranker, and texts by a generator.

use azimuth_engine::object::Properties;
use azimuth_engine::query::Projection;
use azimuth_engine::schema::{Collection, DataType, Primitive};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};

use crate::app::App;
use crate::app::shards::HitTree;
use crate::modules::ModuleError;
use crate::modules::corpus::shown;
use crate::modules::generator::{self, Generator};
use crate::modules::reranker::Reranker;

/// Prompts of one request that are answered at the same time.
const PROMPTS_MAX: usize = 8;

/// The additions that a request asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Enrich {
    pub(crate) rerank: Option<Rerank>,
    /// A prompt about each hit.
    pub(crate) single: Option<(Generator, String)>,
    /// A task about all hits.
    pub(crate) grouped: Option<Grouped>,
}

/// Hits are ordered by how well the text of a property answers a query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rerank {
    pub(crate) reranker: Reranker,
    pub(crate) property: String,
    pub(crate) query: String,
}

/// A task about all hits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grouped {
    pub(crate) generator: Generator,
    pub(crate) task: String,
    /// The properties whose texts are part of the prompt; all texts if there are none.
    pub(crate) properties: Vec<String>,
}

/// A text, or why there is none.
pub(crate) type Written = Result<String, ModuleError>;

/// The additions of modules to the hits.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Enriched {
    /// One for each hit, in the new order; empty without a reranker.
    pub(crate) scores: Vec<f64>,
    /// One for each hit; empty without a prompt.
    pub(crate) single: Vec<Written>,
    /// About all hits.
    pub(crate) grouped: Option<Written>,
}

impl Enrich {
    /// Whether nothing is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the properties that must be read.
    pub(crate) fn add_to(&self, collection: &Collection, projection: &mut Projection) {
        self.rerank.iter().for_each(|rerank| projection.add(&rerank.property));
        if let Some((_, prompt)) = &self.single {
            let named = |name: &&str| prompt.contains(*name);
            let names = collection.properties().iter().map(|property| property.name.as_str());
            names.filter(named).for_each(|name| projection.add(name));
        }
        if let Some(grouped) = &self.grouped {
            names_of(grouped, collection).iter().for_each(|name| projection.add(name));
        }
    }

    /// Asks the modules; the hits are put into their new order.
    ///
    /// # Errors
    /// The reranker did not answer. Texts that were not written are errors of their own.
    pub(crate) async fn run(
        &self,
        app: &App,
        collection: &Collection,
        hits: &mut Vec<HitTree>,
    ) -> Result<Enriched, ModuleError> {
        let mut enriched = Enriched::default();
        if hits.is_empty() {
            return Ok(enriched);
        }
        if let Some(Rerank { reranker, property, query }) = &self.rerank {
            let document =
                |tree: &HitTree| tree.hit.object.properties.get(property).and_then(shown).unwrap_or_default();
            let documents: Vec<String> = hits.iter().map(document).collect();
            let scores = app.modules.rerank(reranker, query, &documents).await?;
            let mut ranked: Vec<(f64, HitTree)> = scores.into_iter().zip(std::mem::take(hits)).collect();
            ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            (enriched.scores, *hits) = ranked.into_iter().unzip();
        }
        if let Some((generator, prompt)) = &self.single {
            let mut prompts: Vec<BoxFuture<'_, Written>> = Vec::with_capacity(hits.len());
            for tree in hits.iter() {
                let prompt = generator::prompt_of_one(prompt, &texts(&tree.hit.object.properties, None));
                prompts.push(Box::pin(async move { app.modules.generate(generator, &prompt?).await }));
            }
            enriched.single = stream::iter(prompts).buffered(PROMPTS_MAX).collect().await;
        }
        if let Some(grouped) = &self.grouped {
            let names = names_of(grouped, collection);
            let objects: Vec<_> = hits.iter().map(|tree| texts(&tree.hit.object.properties, Some(&names))).collect();
            let prompt = generator::prompt_of_all(&grouped.task, &objects);
            enriched.grouped = Some(app.modules.generate(&grouped.generator, &prompt).await);
        }
        Ok(enriched)
    }
}

/// The properties whose texts are part of a task.
fn names_of(grouped: &Grouped, collection: &Collection) -> Vec<String> {
    if !grouped.properties.is_empty() {
        return grouped.properties.clone();
    }
    let is_text = |of: &DataType| matches!(of, DataType::Primitive { of: Primitive::Text, .. });
    let texts = collection.properties().iter().filter(|property| is_text(&property.data_type));
    texts.map(|property| property.name.clone()).collect()
}

/// The texts of the properties of an object, of these or of all.
fn texts(properties: &Properties, names: Option<&[String]>) -> Vec<(String, String)> {
    let wanted = |name: &String| names.is_none_or(|names| names.contains(name));
    let text = |(name, value)| Some((Clone::clone(name), shown(value)?));
    properties.iter().filter(|(name, _)| wanted(name)).filter_map(text).collect()
}

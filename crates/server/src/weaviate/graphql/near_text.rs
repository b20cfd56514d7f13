//! `nearText`, and hybrid searches without a vector: the module's vectors are put in, and a search by vectors is left.

use std::borrow::Cow;
use std::sync::Arc;

use azimuth_engine::schema::{Collection, ShardTable};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::document::Field;
use super::near::{names, resolve};
use super::{FieldError, arguments, hybrid};
use crate::app::App;
use crate::app::search::hybrid::ALPHA_DEFAULT;
use crate::app::search::near_text::{Move, NearText, NearTextError};
use crate::app::shards::ShardTarget;
use crate::auth::Permit;
use crate::modules::vectorizer::Vectorizer;
use crate::weaviate::objects::beacon;
use crate::weaviate::texts;

/// Where the vectors of a search are made.
pub(super) struct Place<'a> {
    pub(super) app: &'a App,
    pub(super) permit: &'a Permit,
    pub(super) collection: &'a Arc<Collection>,
    pub(super) shards: &'a ShardTable,
    pub(super) tenant: &'a str,
}

impl Place<'_> {
    /// The class with the vectors of its texts among its arguments.
    pub(super) async fn resolve<'f>(&self, class: &'f Field) -> Result<Cow<'f, Field>, FieldError> {
        if !Vectorizer::is_needed(self.collection) {
            return Ok(Cow::Borrowed(class));
        }
        let near_text = arguments::object(class, "nearText");
        for other in ["nearVector", "nearObject"] {
            if near_text.is_some() && class.argument(other).is_some() {
                return Err(FieldError(format!(
                    "explorer: get class: vectorize params: found both 'nearText' and '{other}' parameters which are \
                     conflicting, choose one instead"
                )));
            }
        }
        let mut class = class.clone();
        if let Some(near) = near_text {
            let words = "explorer: get class: vectorize params: vectorize keywords: remote client vectorize";
            let mut by_vector = self.by_vector(&near, &typed(&near)?, words).await?.unwrap_or_default();
            for name in ["certainty", "distance"] {
                by_vector.extend(near.get(name).map(|value| (name.to_owned(), value.clone())));
            }
            class.arguments.retain(|(name, _)| name != "nearText");
            class.arguments.push(("nearVector".to_owned(), Value::Object(by_vector)));
        } else if let Some((_, given)) = class.arguments.iter_mut().find(|(name, _)| name == "hybrid") {
            self.fill_hybrid(given).await?;
        }
        Ok(Cow::Owned(class))
    }

    /// Adds a vector to a hybrid search that has none and needs one.
    async fn fill_hybrid(&self, given: &mut Value) -> Result<(), FieldError> {
        let alpha = given.get("alpha").and_then(Value::as_f64).unwrap_or(ALPHA_DEFAULT);
        let has_vector =
            given.get("vector").is_some_and(|vector| vector.as_array().is_none_or(|list| !list.is_empty()));
        if alpha <= 0.0 || has_vector || hybrid::sub_search(given, "nearVector").is_some() {
            return Ok(());
        }
        let query = given.get("query").and_then(Value::as_str).unwrap_or_default();
        let near = match hybrid::sub_search(given, "nearText") {
            Some(near) => typed(near)?,
            None if query.is_empty() => return Ok(()),
            None => NearText::of(query),
        };
        let words = "vectorize keywords: remote client vectorize";
        let Some(by_vector) = self.by_vector(given, &near, words).await? else { return Ok(()) };
        let by_query = near == NearText::of(query);
        if let Some(hybrid) = given.as_object_mut() {
            hybrid.remove("searches");
            match by_vector.get("vector") {
                Some(vector) if by_query => hybrid.insert("vector".to_owned(), vector.clone()),
                _ => hybrid.insert("searches".to_owned(), json!([{"nearVector": by_vector}])),
            };
        }
        Ok(())
    }

    /// The arguments of the search by vectors that a search by text is; `None` without a vectorizer.
    async fn by_vector(
        &self,
        given: &Value,
        near: &NearText,
        words: &str,
    ) -> Result<Option<Map<String, Value>>, FieldError> {
        // A tenant that cannot be used is refused where the search is put together.
        let Ok(shards) = ShardTarget::new(self.collection.clone(), self.shards, self.tenant) else { return Ok(None) };
        let names = names(given);
        let chosen = resolve(self.collection, self.shards, &names)?;
        let mut vectors = Map::new();
        for target in &chosen {
            match self.app.near_text(self.permit, &shards, target, near).await {
                Ok(vector) => vectors.insert(target.name.to_owned(), json!(vector)),
                Err(NearTextError::NoVectorizer) => return Ok(None),
                Err(error) => return Err(refused(error, words)),
            };
        }
        let mut by_vector = Map::new();
        match (chosen.as_slice(), names.is_empty()) {
            ([only], true) => {
                let vector = vectors.remove(only.name).unwrap_or_default();
                by_vector.insert("vector".to_owned(), vector);
            }
            _ => {
                // The unnamed vector is known as `default` among targets.
                let named = vectors.into_iter().map(|(name, vector)| match name.as_str() {
                    "" => ("default".to_owned(), vector),
                    _ => (name, vector),
                });
                by_vector.insert("vectorPerTarget".to_owned(), Value::Object(named.collect()));
                for name in ["targets", "targetVectors"] {
                    by_vector.extend(given.get(name).map(|value| (name.to_owned(), value.clone())));
                }
            }
        }
        Ok(Some(by_vector))
    }
}

fn refused(error: NearTextError, words: &str) -> FieldError {
    FieldError(match error {
        NearTextError::App(error) => texts::app(&error),
        NearTextError::Module(error) => format!("{words}: {error}"),
        NearTextError::Invalid(text) => text,
        NearTextError::NoVectorizer => texts::VECTOR_SEARCH.to_owned(),
    })
}

fn typed(near: &Value) -> Result<NearText, FieldError> {
    let texts = |value: Option<&Value>| -> Vec<String> {
        match value {
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(text)) => vec![text.clone()],
            _ => Vec::new(),
        }
    };
    let moved = |given: &Value| {
        let given_objects = given.get("objects").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let objects = given_objects.iter().map(object_id).collect::<Result<_, _>>()?;
        let force = given.get("force").and_then(Value::as_f64).unwrap_or_default() as f32;
        Ok::<_, FieldError>(Move { force, concepts: texts(given.get("concepts")), objects })
    };
    Ok(NearText {
        concepts: texts(near.get("concepts")),
        to: near.get("moveTo").map(moved).transpose()?,
        away: near.get("moveAwayFrom").map(moved).transpose()?,
    })
}

/// An object that is named by its id or beacon.
fn object_id(given: &Value) -> Result<Uuid, FieldError> {
    let text = |name: &str| given.get(name).and_then(Value::as_str);
    let id = text("id").and_then(|id| Uuid::parse_str(id).ok());
    let id = id.or_else(|| beacon::parse(text("beacon")?).ok().map(|beacon| beacon.id));
    id.ok_or_else(|| FieldError("nearText: an object is named by a valid id or beacon".to_owned()))
}

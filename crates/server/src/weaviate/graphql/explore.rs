//! `Explore`: the nearest objects of all classes, for which only a vector is needed.

use std::sync::Arc;

use azimuth_engine::query::{Include, Projection};
use azimuth_engine::schema::Collection;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use super::arguments::{int, object};
use super::document::Field;
use super::{FieldError, TOGETHER_MAX, near};
use crate::app::search::find::Find;
use crate::app::search::reranking::Reranking;
use crate::app::search::{Search, target};
use crate::app::shards::{HitTree, ShardTarget};
use crate::app::{App, AppError};
use crate::auth::{Access, Caller, Resource};
use crate::weaviate::objects::beacon;
use crate::weaviate::tree::Tree;
use crate::weaviate::{page, texts};

/// Objects that are answered unless the request says otherwise.
const LIMIT: i64 = 20;

/// A hit: the class, the id and the distance.
type Found = (Arc<Collection>, Uuid, f32);

/// Answers the root.
pub(super) async fn answer(app: &Arc<App>, caller: &Caller, root: &Field) -> Result<Tree, FieldError> {
    let refuse = |error: AppError| FieldError(texts::app(&error));
    let (by_vector, by_object) = (object(root, "nearVector"), object(root, "nearObject"));
    if by_vector.is_some() && by_object.is_some() {
        return Err(FieldError(
            "vectorize params: found both 'nearVector' and 'nearObject' parameters which are conflicting, choose one \
             instead"
                .to_owned(),
        ));
    }
    if by_vector.is_none() && by_object.is_none() {
        return Err(FieldError(
            "invalid params: received no search params, one of [nearVector, nearObject] or module search params is \
             required for an exploration"
                .to_owned(),
        ));
    }
    let (offset, limit) = (int(root, "offset").unwrap_or(0), int(root, "limit").unwrap_or(LIMIT));
    let page = page::check(offset, limit, app.settings.query_maximum_results);
    let (offset, limit) = page.map_err(FieldError)?;
    let catalog = app.names(caller).map_err(refuse)?;
    // Objects of tenants are found only within their tenant, which no argument names.
    let classes: Vec<Arc<Collection>> =
        catalog.collections().iter().filter(|class| !class.multi_tenancy.enabled).cloned().collect();
    let near = match (by_vector, by_object) {
        (Some(near), _) => near,
        (None, Some(near)) => vector_of(app, caller, &classes, &near).await?,
        (None, None) => Value::Null,
    };
    let mut searches: Vec<BoxFuture<'_, Result<Vec<Found>, FieldError>>> = Vec::with_capacity(classes.len());
    for class in &classes {
        searches.push(Box::pin(search(app, caller, class, &near, offset + limit)));
    }
    let found: Vec<Vec<Found>> = stream::iter(searches).buffered(TOGETHER_MAX).try_collect().await?;
    let mut found: Vec<Found> = found.into_iter().flatten().collect();
    found.sort_by(|(_, a, near), (_, b, far)| near.total_cmp(far).then(a.cmp(b)));
    let page = found.iter().skip(offset).take(limit);
    Ok(Tree::from(page.map(|found| shown(root, found)).collect::<Value>()))
}

/// The nearest objects of a class; a class without a vector to compare has none.
async fn search(
    app: &Arc<App>,
    caller: &Caller,
    class: &Arc<Collection>,
    near: &Value,
    limit: usize,
) -> Result<Vec<Found>, FieldError> {
    let refuse = |error: AppError| FieldError(texts::app(&error));
    let permit = app.permit(caller, Access::Read, Resource::objects(&class.name, None)).map_err(refuse)?;
    let catalog = app.names(caller).map_err(refuse)?;
    let shards = catalog.shards(class.id);
    if near::names(near).is_empty() && target::resolve(class, &[]).is_err() {
        return Ok(Vec::new());
    }
    let (ranking, _) = near::near_vector(class, shards, near)?;
    let Ok(shard_target) = ShardTarget::new(class.clone(), shards, "") else { return Ok(Vec::new()) };
    let include = Include { properties: Projection::None, ..Include::default() };
    let search = Search {
        shard_target,
        ranking,
        filter: None,
        offset: 0,
        limit,
        sort: Vec::new(),
        autocut: 0,
        reranking: Reranking::default(),
        include,
    };
    let hits = app.find(Find { is_one_of_several: true, ..Find::new(permit, search) }, Ok).await.map_err(refuse)?;
    let found = |HitTree { hit, .. }: HitTree| Some((class.clone(), hit.object.id, hit.distance?));
    Ok(hits.into_iter().filter_map(found).collect())
}

/// The search by the vector of an object, which any class may have.
async fn vector_of(
    app: &Arc<App>,
    caller: &Caller,
    classes: &[Arc<Collection>],
    near: &Value,
) -> Result<Value, FieldError> {
    let refuse = |error: AppError| FieldError(texts::app(&error));
    let text = |name: &str| near.get(name).and_then(Value::as_str);
    let by_beacon = text("beacon").and_then(|text| beacon::parse(text).ok());
    let id = text("id").and_then(|id| Uuid::parse_str(id).ok()).or(by_beacon.as_ref().map(|beacon| beacon.id));
    let class_of = by_beacon.and_then(|beacon| beacon.collection);
    let unknown = || FieldError("vectorize params: nearObject params: vector not found".to_owned());
    let id = id.ok_or_else(unknown)?;
    for class in classes.iter().filter(|class| class_of.as_ref().is_none_or(|name| *name == class.name)) {
        let permit = app.permit(caller, Access::Read, Resource::objects(&class.name, None)).map_err(refuse)?;
        let catalog = app.names(caller).map_err(refuse)?;
        let (Ok(chosen), Ok(shard_target)) =
            (target::resolve(class, &[]), ShardTarget::new(class.clone(), catalog.shards(class.id), ""))
        else {
            continue;
        };
        let Some(vector) = app.vector_of(&permit, &shard_target, &chosen, id).await.map_err(refuse)? else { continue };
        let mut by_vector = json!({"vector": vector});
        for name in ["certainty", "distance"] {
            if let (Some(given), Some(by_vector)) = (near.get(name), by_vector.as_object_mut()) {
                by_vector.insert(name.to_owned(), given.clone());
            }
        }
        return Ok(by_vector);
    }
    Err(unknown())
}

/// A hit with the fields that are asked for.
fn shown(root: &Field, (class, id, distance): &Found) -> Value {
    let value = |field: &Field| match field.name.as_str() {
        "className" => json!(class.name),
        "beacon" => json!(beacon::text(Some(&class.name), *id)),
        "distance" => json!(distance),
        "certainty" => json!(f64::from(target::certainty(*distance))),
        "__typename" => json!("ExploreObj"),
        _ => Value::Null,
    };
    root.fields.iter().map(|field| (field.key.clone(), value(field))).collect()
}

//! GET `/objects`: pages of objects, of one collection or of all.

use std::sync::Arc;

use azimuth_engine::query::{Hit, Query, Rank, Sort};
use azimuth_engine::schema::Collection;
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Words, refuse};
use super::single::{all_shown, collection, include};
use crate::app::App;
use crate::app::objects::{shard, uuid_text};
use crate::auth::{Access, Permit, Resource};
use crate::weaviate::page;
use crate::weaviate::rest::message::{Reply, RestRequest};
use crate::weaviate::texts;
use crate::weaviate::tree::{Members, Tree};

struct Page {
    offset: usize,
    limit: usize,
}

/// GET `/objects`.
pub(super) async fn list(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    super::single::check_include(req)?;
    let page = page(app, req)?;
    let class = req.query.get("class").filter(|class| !class.is_empty());
    let caller = req.caller()?;
    let name = class.map(|class| app.resolve(caller, class));
    let resource = Resource::Objects { collection: name.as_deref().map(Into::into), tenant: None, id: None };
    let permit = app.permit(caller, Access::Read, resource)?;
    let objects = match &name {
        Some(name) => of_collection(app, req, &permit, &collection(app, req, name)?, &page).await?,
        None => of_all(app, req, &permit, &page).await?,
    };
    let mut body = Members::new();
    body.insert("deprecations".to_owned(), if class.is_some() { json!([]).into() } else { Tree::NULL });
    if !objects.is_empty() {
        body.insert("totalResults".to_owned(), json!(objects.len()).into());
    }
    body.insert("objects".to_owned(), Tree::List(objects));
    Ok(Reply::ok(body))
}

fn page(app: &App, req: &RestRequest) -> Result<Page, Reply> {
    let maximum = app.settings.query_maximum_results;
    let offset = number(req, "offset")?.unwrap_or(0);
    let limit = number(req, "limit")?.unwrap_or(app.settings.query_default_limit);
    if offset.saturating_add(limit) > maximum {
        let text = page::too_far(offset, limit, maximum);
        return Err(Reply::error(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("msg:offset or limit code:400 err:{text}"),
        ));
    }
    Ok(Page { offset, limit })
}

/// A query parameter that is a count.
fn number(req: &RestRequest, name: &str) -> Result<Option<usize>, Reply> {
    let Some(text) = req.query.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_| {
        let message = format!("{name} in query must be of type int64: {}", Value::from(text.as_str()));
        Reply::coded(StatusCode::UNPROCESSABLE_ENTITY, 601, &message)
    })?;
    // A negative limit means the default, as everywhere.
    if number < 0 && name == "limit" {
        return Ok(None);
    }
    usize::try_from(number)
        .map(Some)
        .map_err(|_| Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &format!("{name} must not be negative")))
}

async fn of_collection(
    app: &Arc<App>,
    req: &RestRequest,
    permit: &Permit,
    collection: &Arc<Collection>,
    page: &Page,
) -> Result<Vec<Tree>, Reply> {
    let tenant = req.query.get("tenant").map(String::as_str).filter(|tenant| !tenant.is_empty());
    let catalog = shard::activate(app, permit, collection, tenant).await?;
    let prefix = format!("msg:search index {} code:422 err:", collection.name.to_lowercase());
    let words = Words { invalid: "", shard: &prefix, no_tenant: &prefix };
    let target = shard::targets(&catalog, collection, tenant).map_err(|error| refuse(error.into(), &words))?;
    let sort = sort(req);
    let after = after(req, page, &sort)?;
    let query = Query {
        rank: Rank::Listing { after },
        filter: None,
        offset: page.offset,
        limit: page.limit,
        sort,
        include: include(req, collection),
    };
    let collection = collection.clone();
    let shown = app.list(permit, target, query, move |hits| all_shown(&collection, hits)).await;
    shown.map_err(|error| {
        if !error.is_invalid() {
            return error.into();
        }
        let text = format!("msg:sorting code:400 err:{}", texts::app(&error));
        Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text)
    })
}

/// The id to go on after, which goes with a limit only.
fn after(req: &RestRequest, page: &Page, sort: &[Sort]) -> Result<Option<Uuid>, Reply> {
    let Some(text) = req.query.get("after").filter(|after| !after.is_empty()) else { return Ok(None) };
    let refuse = |why: &str| {
        let text = format!("msg:cursor api: invalid 'after' parameter code:400 err:{why}");
        Err(Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &text))
    };
    if page.offset > 0 {
        return refuse("offset cannot be set with after and limit parameters");
    }
    if !sort.is_empty() {
        return refuse("sort cannot be set with after and limit parameters");
    }
    if !req.query.contains_key("limit") {
        return refuse("limit parameter must be set");
    }
    match uuid_text::parse(text) {
        Some(id) => Ok(Some(id)),
        None => refuse(&format!("after parameter '{text}' is not a valid uuid: invalid UUID length: {}", text.len())),
    }
}

fn sort(req: &RestRequest) -> Vec<Sort> {
    let orders: Vec<&str> = req.query.get("order").map_or_else(Vec::new, |orders| orders.split(',').collect());
    let paths = req.query.get("sort").filter(|sort| !sort.is_empty());
    let clause = |(at, property): (usize, &str)| Sort {
        property: property.to_owned(),
        descending: orders.get(at).is_some_and(|order| *order == "desc"),
    };
    paths.map_or_else(Vec::new, |paths| paths.split(',').enumerate().map(clause).collect())
}

/// The objects of all collections without tenants, one collection after the other.
async fn of_all(app: &Arc<App>, req: &RestRequest, permit: &Permit, page: &Page) -> Result<Vec<Tree>, Reply> {
    let mut objects = Vec::new();
    let mut skip = page.offset;
    let catalog = app.names(req.caller()?)?;
    for collection in catalog.collections() {
        if objects.len() >= page.limit {
            break;
        }
        let Ok(target) = shard::targets(&catalog, &collection, None) else { continue };
        let query = Query {
            rank: Rank::Listing { after: None },
            filter: None,
            offset: 0,
            limit: skip + page.limit - objects.len(),
            sort: Vec::new(),
            include: include(req, &collection),
        };
        let first = skip;
        let shown = move |hits: Vec<Hit>| {
            let skipped = first.min(hits.len());
            Ok((skipped, all_shown(&collection, hits.into_iter().skip(skipped))?))
        };
        let (skipped, shown) = app.list(permit, target, query, shown).await?;
        skip -= skipped;
        objects.extend(shown);
    }
    Ok(objects)
}

//! `/schema/{class}/indexes` and `/schema/{class}/properties/{property}/index/{index}`: the inverted indexes of properties.

use std::sync::Arc;

use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{Collection, DataType, Primitive, Property};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::message::{Reply, RestRequest};
use super::schema::{INDEXES, TOKENIZATIONS, permit};
use super::{decode, not_one_of, unsupported};
use crate::app::schema::names;
use crate::app::{App, AppError, Change};
use crate::auth::Access;
use crate::weaviate::schema::{render_property, tokenization_name};

/// An inverted index of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    Filterable,
    Searchable,
    Range,
}

/// Answers a request on the indexes of a class, or on one of a property.
pub(super) async fn handle(app: &Arc<App>, req: &RestRequest) -> Reply {
    let class = names::upper_first(&req.segments[1]);
    let answer = match (&req.method, req.segments.get(6).map(String::as_str)) {
        (&Method::GET, _) => list(app, req, &class),
        (&Method::PUT, None) => create(app, req, &class).await,
        (&Method::POST, Some("rebuild")) => rebuild(app, req, &class),
        (&Method::POST, Some("cancel")) => cancel(app, req, &class),
        _ => Ok(Reply::empty(StatusCode::METHOD_NOT_ALLOWED)),
    };
    answer.unwrap_or_else(|reply| reply)
}

fn list(app: &Arc<App>, req: &RestRequest, class: &str) -> Result<Reply, Reply> {
    let permit = permit(app, req, Access::Read, class)?;
    let Some(collection) = app.collection(&permit, class)? else { return Ok(Reply::empty(StatusCode::NOT_FOUND)) };
    let properties: Vec<Value> = collection.properties().iter().map(shown).collect();
    Ok(Reply::ok(json!({"collection": class, "properties": properties})))
}

/// A property with its indexes.
fn shown(property: &Property) -> Value {
    let tokenization = property.tokenization.map(tokenization_name);
    let mut indexes = Vec::new();
    for index in [Index::Filterable, Index::Searchable, Index::Range].into_iter().filter(|index| index.is_on(property))
    {
        let mut shown = json!({"status": "ready", "type": index.name()});
        if let Some(tokenization) = tokenization.filter(|_| index != Index::Range) {
            shown["tokenization"] = json!(tokenization);
        }
        if index == Index::Searchable {
            shown["algorithm"] = json!("blockmax");
        }
        indexes.push(shown);
    }
    let indexes = if indexes.is_empty() { Value::Null } else { Value::Array(indexes) };
    let data_type = render_property(property)["dataType"][0].take();
    json!({"dataType": data_type, "indexes": indexes, "name": property.name})
}

/// Creates an index, or changes its settings. Indexes that exist as they are wanted are left alone.
async fn create(app: &Arc<App>, req: &RestRequest, class: &str) -> Result<Reply, Reply> {
    let index = Index::of_path(req)?;
    let given = decode(req, "body", "models.IndexUpsertRequest")?;
    let permit = permit(app, req, Access::Update, class)?;
    let catalog = app.names(req.caller()?)?;
    let (collection, property) = found(&catalog, req, class)?;
    check_tenants(collection, req)?;
    match index.wanted(property, &given)? {
        Wanted::Nothing => Ok(Reply::ok(json!({"status": "NO_OP"}))),
        Wanted::Flag => {
            let change = |_: &Catalog, old: Option<&Arc<Collection>>| {
                let Some(old) = old else { return Ok(Change::Nothing) };
                let mut new = Collection::clone(old);
                let named = new.properties.iter_mut().flatten().find(|known| known.name == property.name);
                named.into_iter().for_each(|property| property.range_filterable = true);
                Ok::<_, AppError>(Change::Update(new))
            };
            app.change_collection(&permit, class, change).await?;
            Ok(started())
        }
        Wanted::Build => Ok(unsupported::absent("building an index of stored objects")),
    }
}

fn rebuild(app: &Arc<App>, req: &RestRequest, class: &str) -> Result<Reply, Reply> {
    let index = Index::of_path(req)?;
    let permit = permit(app, req, Access::Update, class)?;
    let catalog = app.names(req.caller()?)?;
    let (collection, property) = found(&catalog, req, class)?;
    let tenants = check_tenants(collection, req)?;
    if !index.is_on(property) {
        let name = &property.name;
        return Err(refused(match index {
            Index::Range => {
                format!("property \"{name}\" does not have a rangeable index to rebuild; use enable to create one")
            }
            _ => format!("property \"{name}\" does not have a {} index", index.name()),
        }));
    }
    app.rebuild_inverted(&permit, collection, tenants.as_deref())?;
    Ok(started())
}

/// A rebuild cannot be cancelled, and creations are complete when they are answered: there is never anything to cancel.
fn cancel(app: &Arc<App>, req: &RestRequest, class: &str) -> Result<Reply, Reply> {
    Index::of_path(req)?;
    permit(app, req, Access::Update, class)?;
    let catalog = app.names(req.caller()?)?;
    found(&catalog, req, class)?;
    Ok(Reply { status: StatusCode::ACCEPTED, body: Some(json!({"status": "NO_OP"}).into()) })
}

fn started() -> Reply {
    let body = json!({"status": "STARTED", "taskId": Uuid::new_v4().to_string()});
    Reply { status: StatusCode::ACCEPTED, body: Some(body.into()) }
}

fn refused(text: impl AsRef<str>) -> Reply {
    Reply::error(StatusCode::BAD_REQUEST, text.as_ref())
}

/// The property of the path.
fn found<'c>(catalog: &'c Catalog, req: &RestRequest, class: &str) -> Result<(&'c Collection, &'c Property), Reply> {
    let not_found = |text: String| Reply::error(StatusCode::NOT_FOUND, &text);
    let collection = catalog.find(class).ok_or_else(|| not_found(format!("collection \"{class}\" not found")))?;
    let name = &req.segments[3];
    let property = collection.property(name);
    let missing = || not_found(format!("property \"{name}\" not found on collection \"{class}\""));
    Ok((collection, property.ok_or_else(missing)?))
}

/// The tenants that the request is limited to.
fn check_tenants(collection: &Collection, req: &RestRequest) -> Result<Option<Vec<String>>, Reply> {
    let Some(given) = req.query.get("tenants").filter(|given| !given.is_empty()) else { return Ok(None) };
    if !collection.multi_tenancy.enabled {
        return Err(refused("tenants parameter is only valid for multi-tenant collections"));
    }
    Ok(Some(given.split(',').map(str::to_owned).collect()))
}

/// What a request to create an index comes to.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// The index is as the request wants it.
    Nothing,
    /// The entries exist; the schema only has to allow their use.
    Flag,
    /// Entries of the stored objects are missing.
    Build,
}

impl Index {
    fn of_path(req: &RestRequest) -> Result<Self, Reply> {
        match req.segments[5].as_str() {
            "filterable" => Ok(Self::Filterable),
            "searchable" => Ok(Self::Searchable),
            "rangeFilters" | "rangeable" => Ok(Self::Range),
            _ => Err(not_one_of("indexName in path", &INDEXES)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Filterable => "filterable",
            Self::Searchable => "searchable",
            Self::Range => "rangeFilters",
        }
    }

    fn is_on(self, property: &Property) -> bool {
        match self {
            Self::Filterable => property.filterable,
            Self::Searchable => property.searchable,
            Self::Range => property.range_filterable,
        }
    }

    fn wanted(self, property: &Property, given: &Value) -> Result<Wanted, Reply> {
        let text = |field: &str| given.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (tokenization, algorithm) = (text("tokenization"), text("algorithm"));
        match self {
            Self::Filterable if algorithm.is_some() => {
                Err(refused("the algorithm field is only valid for a searchable index"))
            }
            Self::Range if algorithm.or(tokenization).is_some() => {
                Err(refused("the rangeFilters index takes no configuration fields; send an empty body {}"))
            }
            _ if algorithm.is_some() && tokenization.is_some() => Err(refused(
                "at most one configuration change per request: set either tokenization or algorithm, not both — issue two \
                 requests",
            )),
            _ if tokenization.is_some_and(|given| !TOKENIZATIONS.contains(&given)) => {
                Err(refused(format!("invalid tokenization \"{}\"", tokenization.unwrap_or_default())))
            }
            Self::Filterable => wanted_filterable(property, tokenization),
            Self::Searchable => wanted_searchable(property, tokenization, algorithm),
            Self::Range => wanted_range(property),
        }
    }
}

fn wanted_filterable(property: &Property, tokenization: Option<&str>) -> Result<Wanted, Reply> {
    let name = &property.name;
    let own = property.tokenization.map_or("", tokenization_name);
    match tokenization {
        Some(_) if !property.data_type.is_text() => Err(refused(format!(
            "property \"{name}\" is not a text type; filterable.tokenization only applies to text / text[]"
        ))),
        Some(given) if given != own && !property.filterable => Err(refused(format!(
            "cannot create a filterable index for property \"{name}\" with tokenization \"{given}\": it must match the \
             property's current tokenization \"{own}\" — retokenize after creation to change it"
        ))),
        Some(given) if given != own => Ok(Wanted::Build),
        _ if !property.filterable => Ok(Wanted::Build),
        _ => match property.data_type {
            DataType::Object { .. } | DataType::Primitive { of: Primitive::GeoCoordinates, .. } => {
                Err(refused(format!("property \"{name}\" already has a filterable index")))
            }
            _ => Ok(Wanted::Nothing),
        },
    }
}

fn wanted_searchable(
    property: &Property,
    tokenization: Option<&str>,
    algorithm: Option<&str>,
) -> Result<Wanted, Reply> {
    let plain = |given: &str| given.to_lowercase().replace(['-', '_', ' '], "");
    if let Some(given) = algorithm {
        match plain(given).as_str() {
            "blockmax" => {}
            "wand" => {
                let text = format!("algorithm \"{given}\" is deprecated; only \"blockmax\" is accepted as a target");
                return Err(refused(text));
            }
            _ => {
                let text =
                    format!("unsupported algorithm \"{given}\"; only \"blockmax\" is accepted (WAND is deprecated)");
                return Err(refused(text));
            }
        }
    }
    if !property.data_type.is_text() {
        return Err(refused(format!("property \"{}\" is not a text type", property.name)));
    }
    let own = property.tokenization.map_or("", tokenization_name);
    match tokenization {
        None if !property.searchable => {
            Err(refused("enable-searchable requires a tokenization to be set on the request body"))
        }
        Some(given) if given != own || !property.searchable => Ok(Wanted::Build),
        _ => Ok(Wanted::Nothing),
    }
}

/// Filters by equality and by range read the same entries.
fn wanted_range(property: &Property) -> Result<Wanted, Reply> {
    use Primitive::{Date, Int, Number};
    if !matches!(property.data_type, DataType::Primitive { of: Int | Number | Date, list: false }) {
        let text = format!("property \"{}\" is not a numeric type (int, number, date)", property.name);
        return Err(refused(text));
    }
    Ok(match (property.range_filterable, property.filterable) {
        (true, _) => Wanted::Nothing,
        (false, true) => Wanted::Flag,
        (false, false) => Wanted::Build,
    })
}

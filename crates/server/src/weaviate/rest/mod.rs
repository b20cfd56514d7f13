//! REST: from a method and a path to a handler, and back to a status and a JSON body.
//!
//! The order of refusals is Weaviate's: a mode that does not take the call (503), unknown path (404), wrong method (405), authentication (401), media type of the
//! body (415), what the client accepts (406), then the handler. [`route`] lists the paths, [`body`] reads bodies.

#[cfg(test)]
mod access_tests;
mod aliases;
mod batch;
mod body;
mod cluster;
#[cfg(test)]
mod fuzz;
mod indexes;
mod json;
pub(crate) mod message;
mod models;
mod objects;
mod openapi;
mod root;
mod route;
mod schema;
mod search;
mod tenants;
mod tokenize;
mod unsupported;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode, Uri};

pub(crate) use body::{BodyError, decode, missing, not_one_of};

use crate::app::App;
use crate::auth::{Caller, Unauthenticated};
use crate::weaviate::texts;
use message::{Reply, RestRequest};
use route::{Endpoint, Found};

/// Prefix of all paths.
const PREFIX: &str = "/v1";

/// A request that is to be answered.
pub(crate) struct Accepted {
    endpoint: Endpoint,
    request: RestRequest,
}

impl Accepted {
    /// Bytes of the body.
    pub(crate) fn body_bytes(&self) -> usize {
        self.request.body.len()
    }
}

/// Finds who answers a request. CORS headers, the redirect of `/` and the missing body of an answer to HEAD are the
/// caller's.
///
/// # Errors
/// The answer to give at once: a refusal, or the server's state.
pub(crate) fn accept(
    app: &Arc<App>,
    caller: Result<Caller, Unauthenticated>,
    method: Method,
    uri: &Uri,
    headers: HeaderMap,
    body: Result<Bytes, BodyError>,
) -> Result<Accepted, Reply> {
    if method == Method::OPTIONS {
        return Err(Reply::empty(StatusCode::OK));
    }
    let segments = segments(uri.path()).ok_or_else(|| not_found(uri.path()))?;
    let of_search = search::owns(&segments);
    let accepted = accept_path(app, caller, method, uri, segments, headers, body);
    accepted.map_err(|reply| if of_search { search::enveloped(reply) } else { reply })
}

fn accept_path(
    app: &Arc<App>,
    caller: Result<Caller, Unauthenticated>,
    method: Method,
    uri: &Uri,
    segments: Vec<String>,
    headers: HeaderMap,
    body: Result<Bytes, BodyError>,
) -> Result<Accepted, Reply> {
    let mode = app.settings.mode;
    if let Some(why) = mode.refusal(mode.rest_call(&method, &segments)) {
        return Err(Reply::error(StatusCode::SERVICE_UNAVAILABLE, why));
    }
    match segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [".well-known", "live"] => return Err(Reply::empty(StatusCode::OK)),
        [".well-known", "ready"] if app.is_ready() => return Err(Reply::empty(StatusCode::OK)),
        [".well-known", "ready"] => return Err(root::not_ready(app)),
        _ => {}
    }
    let endpoint = match route::find(&method, &segments) {
        Found::Endpoint(endpoint) => endpoint,
        Found::Nothing => return Err(not_found(uri.path())),
        Found::Methods(methods) => {
            let message = format!("method {method} is not allowed, but [{}] are", methods.join(","));
            return Err(Reply::coded(StatusCode::METHOD_NOT_ALLOWED, 405, &message));
        }
    };
    let open = endpoint == Endpoint::OpenId || uri.path() == PREFIX;
    let caller = match caller {
        Ok(caller) => Some(caller),
        Err(_) if open => None,
        Err(refusal) => {
            return Err(Reply::coded(StatusCode::UNAUTHORIZED, 401, &texts::unauthenticated(refusal)));
        }
    };
    let query = query(uri.query().unwrap_or_default());
    let request = RestRequest { method, segments, query, headers, body: body?, caller };
    negotiate(&request)?;
    Ok(Accepted { endpoint, request })
}

/// Answers a request; a read can be answered again.
pub(crate) async fn handle(app: &Arc<App>, accepted: &Accepted) -> Reply {
    let req = &accepted.request;
    match accepted.endpoint {
        Endpoint::Links => root::links(),
        Endpoint::OpenId => Reply::empty(StatusCode::NOT_FOUND),
        Endpoint::OpenApi => Reply::ok(openapi::document()),
        Endpoint::Meta => root::meta(app),
        Endpoint::OwnInfo => root::own_info(req),
        Endpoint::Nodes => cluster::nodes(app, req).await,
        Endpoint::Statistics => cluster::statistics(app, req),
        Endpoint::Classes | Endpoint::Class | Endpoint::Properties => schema::handle(app, req).await,
        Endpoint::Shards => cluster::shards(app, req).await,
        Endpoint::Indexes => indexes::handle(app, req).await,
        Endpoint::Tokenize => tokenize::handle(app, req),
        Endpoint::Objects => objects::handle(app, req).await,
        Endpoint::Batch => batch::handle(app, req).await,
        Endpoint::Graphql | Endpoint::GraphqlBatch => crate::weaviate::graphql::handle(app, req).await,
        Endpoint::Tenants => Box::pin(tenants::handle(app, req)).await,
        Endpoint::Aliases => aliases::handle(app, req).await,
        Endpoint::Roles => unsupported::roles(req),
        Endpoint::Replication => Reply::empty(StatusCode::NOT_IMPLEMENTED),
        Endpoint::Export => unsupported::export(req),
        Endpoint::Namespaces => unsupported::namespaces(),
        Endpoint::Mcp => unsupported::mcp(),
        Endpoint::Tasks => Reply::ok(serde_json::json!({})),
        Endpoint::Search => search::handle(app, req),
        Endpoint::Absent(what) => unsupported::absent(what),
    }
}

fn not_found(path: &str) -> Reply {
    Reply::coded(StatusCode::NOT_FOUND, 404, &format!("path {path} was not found"))
}

/// The decoded segments after the prefix; `None` outside of it.
fn segments(path: &str) -> Option<Vec<String>> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty()).map(|segment| unescape(segment, false));
    (segments.next()? == PREFIX[1..]).then(|| segments.collect())
}

/// The parameters of a query; of a repeated one the first.
fn query(text: &str) -> HashMap<String, String> {
    let mut query = HashMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        query.entry(unescape(key, true)).or_insert_with(|| unescape(value, true));
    }
    query
}

/// Takes percent escapes away, and in a query also the `+` that stands for a blank. What is no escape stays.
fn unescape(text: &str, plus_is_blank: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|&byte| char::from(byte).to_digit(16));
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
                continue;
            }
            (b'+', ..) if plus_is_blank => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Refuses bodies that are neither JSON nor YAML, and clients that accept no JSON.
fn negotiate(req: &RestRequest) -> Result<(), Reply> {
    if !req.body.is_empty() {
        let given = if req.headers.contains_key(CONTENT_TYPE) {
            body::media_type(req)
        } else {
            "application/octet-stream".to_owned()
        };
        if given != "application/json" && given != "application/yaml" {
            let message =
                format!("unsupported media type \"{given}\", only [application/json application/yaml] are allowed");
            return Err(Reply::coded(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, &message));
        }
    }
    let mut accepted = req.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if accepted.peek().is_none() || accepted.flat_map(|value| value.split(',')).any(accepts_json) {
        return Ok(());
    }
    let message = "unsupported media type requested, only [application/json] are available";
    Err(Reply::coded(StatusCode::NOT_ACCEPTABLE, 406, message))
}

fn accepts_json(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_lowercase();
    let refused = parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q == 0.0)));
    !refused && matches!(media.as_str(), "*/*" | "application/*" | "application/json")
}

#[cfg(test)]
mod tests {
    use super::{accepts_json, query, segments};

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(segments("/v1//schema/%42ook/"), Some(vec!["schema".to_owned(), "Book".to_owned()]));
        assert_eq!(segments("/v1"), Some(Vec::new()));
        assert_eq!(segments("/v2/schema"), None);
        assert_eq!(segments("/"), None);
    }

    #[test]
    fn the_first_of_a_repeated_parameter_counts() {
        let query = query("class=A+b%21&class=C&flag&broken=%zz");
        assert_eq!(query["class"], "A b!");
        assert_eq!(query["flag"], "");
        assert_eq!(query["broken"], "%zz");
    }

    #[test]
    fn accept_ranges() {
        assert!(accepts_json("application/json;q=0.9"));
        assert!(accepts_json(" */*;q=0.1"));
        assert!(!accepts_json("text/html"));
        assert!(!accepts_json("application/json;q=0"));
    }
}

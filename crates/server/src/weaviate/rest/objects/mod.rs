//! `/objects`: single objects, lists, and the references of an object.
//!
//! Each file is one group of routes; [`answer`] puts Weaviate's words around errors.

mod answer;
mod change;
mod list;
mod references;
mod request;
mod single;

use std::sync::Arc;

use http::Method;

pub(super) use answer::consistency_level;
pub(super) use request::{draft, object_id};

use super::message::{Reply, RestRequest};
use crate::app::App;

/// Answers the routes under `/objects`.
pub(super) async fn handle(app: &Arc<App>, req: &RestRequest) -> Reply {
    let validates = req.segments.get(1).is_some_and(|segment| segment == "validate");
    let result = match consistency_level(req).or_else(|reply| if validates { Ok(()) } else { Err(reply) }) {
        Ok(()) => dispatch(app, req).await,
        Err(reply) => Err(reply),
    };
    result.unwrap_or_else(|reply| reply)
}

async fn dispatch(app: &Arc<App>, req: &RestRequest) -> Result<Reply, Reply> {
    let segments: Vec<&str> = req.segments.iter().skip(1).map(String::as_str).collect();
    match (segments.as_slice(), &req.method) {
        ([], &Method::POST) => change::create(app, req).await,
        ([], _) => list::list(app, req).await,
        (["validate"], _) => change::validate(app, req).await,
        ([id], _) => one_object(app, req, None, id).await,
        ([class, id], _) => one_object(app, req, Some(class), id).await,
        ([id, "references", property], _) => references::handle(app, req, None, id, property).await,
        ([class, id, "references", property], _) => references::handle(app, req, Some(class), id, property).await,
        _ => Ok(Reply::empty(http::StatusCode::NOT_FOUND)),
    }
}

async fn one_object(app: &Arc<App>, req: &RestRequest, class: Option<&str>, id: &str) -> Result<Reply, Reply> {
    match req.method {
        Method::GET => single::get(app, req, class, id).await,
        Method::HEAD => single::head(app, req, class, id).await,
        Method::DELETE => single::delete(app, req, class, id).await,
        Method::PUT => change::replace(app, req, class, id).await,
        _ => change::merge(app, req, class, id).await,
    }
}

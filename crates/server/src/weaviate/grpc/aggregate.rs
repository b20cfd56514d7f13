//! Aggregate: the number of objects. Metrics of properties, groups and searches are refused by name.

use std::sync::Arc;
use std::time::Instant;

use tonic::Status;

use super::search::{filter_of, find_collection};
use super::{status, took};
use crate::app::shards::ShardTarget;
use crate::app::{App, AppError};
use crate::auth::{Access, Caller, Resource};
use crate::pb::weaviate::aggregate_reply::{Result as Answer, Single};
use crate::pb::weaviate::{AggregateReply, AggregateRequest};
use crate::weaviate::texts;

/// Answers a request.
pub(super) async fn aggregate(
    app: &Arc<App>,
    caller: &Caller,
    request: AggregateRequest,
) -> Result<AggregateReply, Status> {
    let start = Instant::now();
    let parse = |error: Status| Status::new(error.code(), format!("parse params: {}", error.message()));
    let catalog = app.names(caller).map_err(status)?;
    let collection = find_collection(&catalog, &request.collection).map_err(parse)?;
    let resource = Resource::objects(&collection.name, None);
    let permit = app.permit(caller, Access::Read, resource).map_err(status).map_err(parse)?;
    refuse_unsupported(&request)?;
    let filter = filter_of(app, &catalog, &collection, request.filters.as_ref())
        .map_err(|error| parse(Status::new(error.code(), format!("extract filters: {}", error.message()))))?;
    let shards = catalog.shards(collection.id);
    let shard_target = ShardTarget::new(collection, shards, &request.tenant)
        .map_err(|error| Status::unknown(format!("aggregate: {}", texts::route(&error))))?;
    let shard = shard_target.first().name.clone();
    let explain = |error: AppError| {
        if !error.is_invalid() {
            return status(error);
        }
        let why = texts::app(&error);
        Status::unknown(format!("aggregate: shard {shard}: retrieve doc IDs from searcher: {why}"))
    };
    let count = if request.objects_count {
        let count = app.count(&permit, shard_target, filter).await;
        count.map_err(explain)?
    } else {
        0
    };
    let single = Single { objects_count: Some(i64::try_from(count).unwrap_or(i64::MAX)), aggregations: None };
    Ok(AggregateReply { took: took(start), result: Some(Answer::SingleResult(single)) })
}

fn refuse_unsupported(request: &AggregateRequest) -> Result<(), Status> {
    let refused = [
        (!request.aggregations.is_empty(), "aggregating properties"),
        (request.group_by.is_some(), "grouped aggregation"),
        (request.search.is_some(), "aggregating the hits of a search"),
    ];
    match refused.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(Status::unknown(format!("aggregate: {what} is not supported yet"))),
        None => Ok(()),
    }
}

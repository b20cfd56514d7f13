//! Several searches in one call.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use tonic::Status;

use super::search::{Answer, Prepared, reply};
use super::{status, took};
use crate::app::App;
use crate::app::search::SearchError;
use crate::app::search::find::Find;
use crate::app::shards::HitTree;
use crate::auth::Caller;
use crate::pb::azimuth::{Failure, Outcome, SearchManyReply, SearchManyRequest, outcome};

/// Searches of one call.
const SEARCHES_MAX: usize = 256;
/// A call is split among the processors into parts of at least so many searches.
const PART_MIN: usize = 8;

/// Answers a request. A search that fails has a failure in its place.
pub(super) async fn search_many(
    app: &Arc<App>,
    caller: &Caller,
    request: &SearchManyRequest,
) -> Result<SearchManyReply, Status> {
    let start = Instant::now();
    let given = request.requests.len();
    if !(1..=SEARCHES_MAX).contains(&given) {
        return Err(Status::invalid_argument(format!("{given} searches were given, 1 to {SEARCHES_MAX} are possible")));
    }
    let (mut outcomes, mut places, mut good) = (Vec::with_capacity(given), Vec::new(), Vec::new());
    for (place, request) in request.requests.iter().enumerate() {
        match Prepared::new(app, caller, request).await {
            Ok(prepared) if !prepared.enrich.is_empty() => {
                let why = "rerank and generative are not possible in SearchMany";
                outcomes.push(failure(&Status::invalid_argument(why)));
            }
            Ok(prepared) => {
                places.push(place);
                good.push(prepared);
                outcomes.push(Outcome::default());
            }
            Err(status) => outcomes.push(failure(&status)),
        }
    }
    // All answers of a call are in memory together.
    let hits = good.iter().map(|prepared| prepared.search.limit).fold(0, usize::saturating_add);
    let hits_max = app.settings.query_maximum_results;
    if hits > hits_max {
        let text =
            format!("the limits of the searches add up to {hits}, {hits_max} are possible (QUERY_MAXIMUM_RESULTS)");
        return Err(Status::invalid_argument(text));
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let part = good.len().div_ceil(processors).max(PART_MIN);
    let mut parts = Vec::new();
    while !good.is_empty() {
        let rest = good.split_off(part.min(good.len()));
        let searches = std::mem::replace(&mut good, rest);
        let find = |prepared: &Prepared| Find {
            follow: prepared.selection.follow(),
            ..Find::new(prepared.permit.clone(), prepared.search.clone())
        };
        let finds = searches.iter().map(find).collect();
        parts.push(app.find_each(finds, move |found| answers(&searches, found)));
    }
    let mut found = Vec::with_capacity(places.len());
    for part in join_all(parts).await {
        found.extend(part.map_err(status)?);
    }
    for (place, found) in places.into_iter().zip(found) {
        outcomes[place] = match found {
            Ok(answer) => Outcome { outcome: Some(outcome::Outcome::Reply(reply(answer, start))) },
            Err(error) => failure(&status(error.into())),
        };
    }
    Ok(SearchManyReply { took: took(start), outcomes })
}

fn answers(searches: &[Prepared], found: Vec<Result<Vec<HitTree>, SearchError>>) -> Vec<Result<Answer, SearchError>> {
    searches.iter().zip(found).map(|(prepared, hits)| Ok(prepared.answer(hits?)?)).collect()
}

fn failure(status: &Status) -> Outcome {
    let failure = Failure { code: status.code().into(), message: status.message().to_owned() };
    Outcome { outcome: Some(outcome::Outcome::Failure(failure)) }
}

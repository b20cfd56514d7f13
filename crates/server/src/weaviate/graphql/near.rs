//! `nearVector` and `nearObject`: the ranking of a class' hits, or with other arguments the search of [`keyword`] and
//! [`hybrid`](super::hybrid).

use azimuth_engine::object::Vector;
use azimuth_engine::schema::{Collection, ShardTable};
use serde_json::Value;
use uuid::Uuid;

use super::arguments::object;
use super::document::Field;
use super::{FieldError, hybrid, keyword};
use crate::app::search::Ranking;
use crate::app::search::target::{self, Chosen, Method, TargetError, Threshold};
use crate::weaviate::aggregate::Bound;
use crate::weaviate::texts::{self, VECTOR_SEARCH};

/// The search of a class.
pub(super) struct RankedSearch<'a> {
    pub(super) ranking: Ranking,
    /// The vectors that it compares.
    pub(super) chosen: Vec<Chosen<'a>>,
}

/// The search of a class, if it asks for one; `explain` if scores come with explanations.
pub(super) fn search<'a>(
    collection: &'a Collection,
    shards: &ShardTable,
    class: &Field,
    explain: bool,
) -> Result<Option<RankedSearch<'a>>, FieldError> {
    let has_near = object(class, "nearVector").is_some() || object(class, "nearObject").is_some();
    let (bm25, hybrid) = (object(class, "bm25"), object(class, "hybrid"));
    match (bm25, hybrid) {
        (Some(_), _) if has_near => {
            let why = "conflict: both near<Media> and keyword-based (bm25) arguments present, choose one";
            Err(FieldError(why.to_owned()))
        }
        (_, Some(_)) if has_near => {
            Err(FieldError("hybrid and a near search cannot be combined, choose one".to_owned()))
        }
        (Some(_), Some(_)) => Err(FieldError("hybrid and bm25 cannot be combined, choose one".to_owned())),
        (Some(bm25), None) => {
            let ranking = Ranking::Keyword(keyword::bm25(collection, shards, &bm25, explain)?);
            Ok(Some(RankedSearch { ranking, chosen: Vec::new() }))
        }
        (None, Some(hybrid)) => {
            let (hybrid, chosen) = hybrid::search(collection, shards, &hybrid, explain)?;
            Ok(Some(RankedSearch { ranking: Ranking::Hybrid(Box::new(hybrid)), chosen }))
        }
        (None, None) => {
            let found = near(collection, shards, class)?;
            Ok(found.map(|(ranking, chosen)| RankedSearch { ranking, chosen }))
        }
    }
}

/// `nearVector` or `nearObject` of an aggregated class, without its bound, which counts in a way of its own there.
pub(super) fn unbounded(
    collection: &Collection,
    shards: &ShardTable,
    class: &Field,
) -> Result<Option<(Ranking, Bound)>, FieldError> {
    let mut class = Field { arguments: class.arguments.clone(), ..Field::default() };
    let mut bound = Bound::default();
    for name in ["nearVector", "nearObject"] {
        let near = class.arguments.iter_mut().find(|(given, _)| given == name).map(|(_, near)| near);
        let Some(near) = near else { continue };
        let given = threshold(near).map_err(|why| FieldError(format!("failed to extract {name} params: {why}")))?;
        bound = Bound { distance: given.distance, certainty: given.certainty, object_limit: None };
        if let Some(near) = near.as_object_mut() {
            near.remove("distance");
            near.remove("certainty");
        }
    }
    Ok(near(collection, shards, &class)?.map(|(ranking, _)| (ranking, bound)))
}

fn near<'a>(
    collection: &'a Collection,
    shards: &ShardTable,
    class: &Field,
) -> Result<Option<(Ranking, Vec<Chosen<'a>>)>, FieldError> {
    match (object(class, "nearVector"), object(class, "nearObject")) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(FieldError(
            "explorer: get class: vectorize params: found both 'nearVector' and 'nearObject' parameters which are \
             conflicting, choose one instead"
                .to_owned(),
        )),
        (Some(near), None) => near_vector(collection, shards, &near).map(Some),
        (None, Some(near)) => near_object(collection, shards, &near).map(Some),
    }
}

/// A search by vectors.
pub(super) fn near_vector<'a>(
    collection: &'a Collection,
    shards: &ShardTable,
    near: &Value,
) -> Result<(Ranking, Vec<Chosen<'a>>), FieldError> {
    let refuse = |why: String| FieldError(format!("failed to extract nearVector params: {why}"));
    let threshold = threshold(near).map_err(refuse)?;
    let (vector, per_target) = (near.get("vector"), near.get("vectorPerTarget").and_then(Value::as_object));
    if vector.is_some() == per_target.is_some() {
        return Err(refuse("vector or vectorPerTarget is required field".to_owned()));
    }
    let names = names(near);
    let method = method(near, &names).map_err(refuse)?;
    let is_multi = |name: &str| {
        let chosen = target::resolve(collection, &[name.to_owned()]);
        chosen.is_ok_and(|chosen| chosen.iter().any(|chosen| chosen.config.multi))
    };
    let given = match per_target {
        Some(per_target) => Some(assign(&names, per_target, is_multi).map_err(refuse)?),
        None => None,
    };
    let names = given.as_ref().map_or(names, |given| given.iter().map(|(name, _)| name.clone()).collect());
    let chosen = resolve(collection, shards, &names)?;
    let of_target = |at: usize| given.as_ref().map_or(vector, |given| given.get(at).map(|(_, value)| *value));
    let queries = chosen.iter().enumerate().map(|(at, chosen)| query(chosen, of_target(at).unwrap_or(&Value::Null)));
    let queries = queries.collect::<Result<Vec<_>, _>>().map_err(refuse)?;
    let max_distance =
        target::max_distance(&chosen, threshold).map_err(|error| FieldError(texts::threshold(&error)))?;
    Ok((Ranking::Vector(target::near(&chosen, queries, &method, max_distance)), chosen))
}

fn near_object<'a>(
    collection: &'a Collection,
    shards: &ShardTable,
    near: &Value,
) -> Result<(Ranking, Vec<Chosen<'a>>), FieldError> {
    let refuse = |why: String| FieldError(format!("failed to extract nearObject params: {why}"));
    let threshold = threshold(near).map_err(refuse)?;
    let names = names(near);
    let method = method(near, &names).map_err(refuse)?;
    let chosen = resolve(collection, shards, &names)?;
    let id = object_id(collection, near)?;
    let max_distance =
        target::max_distance(&chosen, threshold).map_err(|error| FieldError(texts::threshold(&error)))?;
    Ok((Ranking::object(id, &chosen, &method, max_distance), chosen))
}

fn threshold(near: &Value) -> Result<Threshold, String> {
    let number = |name: &str| near.get(name).and_then(Value::as_f64);
    let threshold = Threshold { distance: number("distance"), certainty: number("certainty") };
    if threshold.distance.is_some() && threshold.certainty.is_some() {
        return Err("cannot provide distance and certainty".to_owned());
    }
    Ok(threshold)
}

/// The targets as they are listed, one perhaps several times.
pub(super) fn names(near: &Value) -> Vec<String> {
    match near.pointer("/targets/targetVectors").or_else(|| near.get("targetVectors")) {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    }
}

/// How the distances are combined; a target that is listed several times has a list of weights.
fn method(near: &Value, names: &[String]) -> Result<Method, String> {
    let Some(targets) = near.get("targets") else { return Ok(Method::Minimum) };
    let weights = || -> Result<Vec<f32>, String> {
        let weight = |(at, name): (usize, &String)| {
            let missing = || format!("weight for target {name} is not provided");
            let given = targets.pointer("/weights").and_then(|weights| weights.get(name)).ok_or_else(missing)?;
            let before = names[..at].iter().filter(|other| *other == name).count();
            let number = given.as_array().map_or(Some(given), |list| list.get(before)).and_then(Value::as_f64);
            number.map(|number| number as f32).ok_or_else(missing)
        };
        names.iter().enumerate().map(weight).collect()
    };
    match targets.get("combinationMethod").and_then(Value::as_str) {
        None | Some("minimum") => Ok(Method::Minimum),
        Some("sum") => Ok(Method::Sum),
        Some("average") => Ok(Method::Average),
        Some("manualWeights") => Ok(Method::Manual(weights()?)),
        Some("relativeScore") => Ok(Method::RelativeScore(weights()?)),
        Some(other) => Err(format!("unknown combination method {other:?}")),
    }
}

/// Which vector of `vectorPerTarget` belongs to which of the listed targets. Without a list all that are given are
/// targets. A target with several vectors is listed as often, one after the other.
fn assign<'v>(
    names: &[String],
    per_target: &'v serde_json::Map<String, Value>,
    is_multi: impl Fn(&str) -> bool,
) -> Result<Vec<(String, &'v Value)>, String> {
    let vectors = |name: &str, value: &'v Value| -> Vec<&'v Value> {
        let single = if is_multi(name) { 2 } else { 1 };
        if depth(value) > single { value.as_array().into_iter().flatten().collect() } else { vec![value] }
    };
    if names.is_empty() {
        let of = |(name, value): (&String, &'v Value)| {
            vectors(name, value).into_iter().map(|vector| (name.clone(), vector)).collect::<Vec<_>>()
        };
        return Ok(per_target.iter().flat_map(of).collect());
    }
    let mut assigned = Vec::with_capacity(names.len());
    while let Some(name) = names.get(assigned.len()) {
        let value = per_target.get(name).ok_or_else(|| format!("vectorPerTarget for target {name} is not provided"))?;
        let (listed, vectors) = (&names[assigned.len()..], vectors(name, value));
        if vectors.is_empty() || listed.iter().take_while(|other| *other == name).count() != vectors.len() {
            return Err(format!("target {name} is not in the correct order"));
        }
        assigned.extend(vectors.into_iter().map(|vector| (name.clone(), vector)));
    }
    Ok(assigned)
}

/// How many lists lie in each other: 1 is a vector, 2 a list of vectors.
fn depth(mut value: &Value) -> usize {
    let mut depth = 0;
    while let Value::Array(list) = value {
        depth += 1;
        value = list.first().unwrap_or(&Value::Null);
    }
    depth
}

/// The vector to compare with, in the form that the target has.
fn query(chosen: &Chosen<'_>, given: &Value) -> Result<Vector, String> {
    let query = match (chosen.config.multi, depth(given)) {
        (true, 1) => {
            return Err("provided vector is a regular vector but vector index supports multi vectors".to_owned());
        }
        (true, _) => rows(given),
        (false, _) => floats(given).map(Vector::Single),
    };
    let wanted = if chosen.config.multi { "lists of numbers of one length" } else { "numbers" };
    let query = query.ok_or_else(|| format!("vector must be a list of {wanted}"))?;
    let (Vector::Single(values) | Vector::Multi { rows: values, .. }) = &query;
    if values.is_empty() {
        return Err("vector must not be empty".to_owned());
    }
    Ok(query)
}

fn rows(value: &Value) -> Option<Vector> {
    let given = value.as_array()?;
    let dim = given.first().and_then(Value::as_array).map_or(0, Vec::len);
    let mut rows = Vec::with_capacity(given.len().saturating_mul(dim));
    for row in given {
        let row = floats(row).filter(|row| row.len() == dim)?;
        rows.extend(row);
    }
    Some(Vector::Multi { dim: u32::try_from(dim).ok()?, rows })
}

fn floats(value: &Value) -> Option<Vec<f32>> {
    value.as_array()?.iter().map(|number| number.as_f64().map(|number| number as f32)).collect()
}

/// The object that `nearObject` names, by id or beacon.
fn object_id(collection: &Collection, near: &Value) -> Result<Uuid, FieldError> {
    let refuse =
        |why: String| FieldError(format!("{VECTOR_SEARCH}: vectorize search vector: nearObject params: {why}"));
    let text = |name: &str| near.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("id"), text("beacon")) {
        (Some(id), _) => Uuid::parse_str(id).map_err(|_| {
            let (index, length) = (collection.name.to_lowercase(), id.len());
            refuse(format!("search index {index}: determine shard: parse uuid {id:?}: invalid UUID length: {length}"))
        }),
        (None, Some(beacon)) => {
            let id = beacon.rsplit('/').next().unwrap_or_default();
            Uuid::parse_str(id)
                .map_err(|_| refuse(format!("invalid cref URI: 2nd path segment must be uuid, but got '{id}'")))
        }
        (None, None) => Err(refuse("empty id and beacon".to_owned())),
    }
}

/// The vectors that these names mean.
pub(super) fn resolve<'a>(
    collection: &'a Collection,
    shards: &ShardTable,
    names: &[String],
) -> Result<Vec<Chosen<'a>>, FieldError> {
    target::resolve(collection, names).map_err(|error| {
        FieldError(match error {
            TargetError::Missing => "explorer: get class: validate target vector: multiple vectorizers configuration \
                                     found, please specify target vector name"
                .to_owned(),
            TargetError::Unknown(name) => {
                let why = format!("index for target vector {name:?} not found");
                let shard = shards.first().map_or("", |shard| shard.name.as_str());
                let index = collection.name.to_lowercase();
                texts::vector_search(&collection.name, &format!("shard {index}_{shard}: {why}"))
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `vectorPerTarget` with `many` as a multi-vector, assigned to the listed targets.
    fn check(listed: &[&str], per_target: &Value, want: Result<&[(&str, Value)], &str>) {
        let listed: Vec<String> = listed.iter().map(|name| (*name).to_owned()).collect();
        let per_target = per_target.as_object().expect("a map");
        let got = assign(&listed, per_target, |name| name == "many");
        let got: Result<Vec<_>, _> =
            got.map(|all| all.into_iter().map(|(name, value)| (name, value.clone())).collect());
        let want = want.map(|all| all.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect());
        assert_eq!(got, want.map_err(str::to_owned), "{per_target:?}");
    }

    #[test]
    fn each_vector_goes_to_its_target() {
        let two = json!({"red": [[1, 2], [3, 4]], "blue": [5]});
        check(
            &["red", "red", "blue"],
            &two,
            Ok(&[("red", json!([1, 2])), ("red", json!([3, 4])), ("blue", json!([5]))]),
        );
        check(&["red", "blue"], &two, Err("target red is not in the correct order"));
        check(&["red", "blue", "red"], &two, Err("target red is not in the correct order"));
        check(&["green"], &two, Err("vectorPerTarget for target green is not provided"));
        let rows = json!({"many": [[1, 2], [3, 4]]});
        check(&["many"], &rows, Ok(&[("many", json!([[1, 2], [3, 4]]))]));
        check(&[], &json!({"many": [[[1, 2]], [[3, 4]]]}), Ok(&[("many", json!([[1, 2]])), ("many", json!([[3, 4]]))]));
        check(&["red"], &json!({"red": []}), Ok(&[("red", json!([]))]));
    }
}

//! `near_vector` and `near_object`: what hits are compared with.

use azimuth_engine::object::Vector;
use azimuth_engine::schema::Collection;
use tonic::Status;
use uuid::Uuid;

use super::batch::{floats, rows};
use crate::app::search::Ranking;
use crate::app::search::target::{self, Chosen, Method, TargetError, Threshold};
use crate::pb::weaviate::vectors::VectorType;
use crate::pb::weaviate::{CombinationMethod, NearObject, NearVector, SearchRequest, Targets, Vectors};
use crate::weaviate::texts::{self, VECTOR_SEARCH};

/// How the hits are ranked, and the vectors that are compared; none for a listing.
pub(super) fn ranking<'a>(
    collection: &'a Collection,
    request: &SearchRequest,
) -> Result<(Ranking, Vec<Chosen<'a>>), Status> {
    match (&request.near_vector, &request.near_object) {
        (None, None) => Ok((Ranking::Listing { after: None }, Vec::new())),
        (Some(near), None) => near_vector(collection, near),
        (None, Some(near)) => near_object(collection, near),
        (Some(_), Some(_)) => Err(Status::unknown(
            "explorer: get class: vectorize params: found both 'nearVector' and 'nearObject' parameters which are \
             conflicting, choose one instead",
        )),
    }
}

#[expect(deprecated, reason = "old clients still send the old field")]
pub(super) fn near_vector<'a>(
    collection: &'a Collection,
    near: &NearVector,
) -> Result<(Ranking, Vec<Chosen<'a>>), Status> {
    let threshold = threshold("near_vector", near.distance, near.certainty)?;
    let (listed, method) = targets_of(collection, near.targets.as_ref(), &near.target_vectors)?;
    let (chosen, queries) = queries(near, listed).map_err(|why| Status::unknown(format!("near_vector: {why}")))?;
    let method = method.settle(chosen.len())?;
    let max_distance =
        target::max_distance(&chosen, threshold).map_err(|error| Status::unknown(texts::threshold(&error)))?;
    Ok((Ranking::Vector(target::near(&chosen, queries, &method, max_distance)), chosen))
}

#[expect(deprecated, reason = "old clients still send the old field")]
fn near_object<'a>(collection: &'a Collection, near: &NearObject) -> Result<(Ranking, Vec<Chosen<'a>>), Status> {
    if near.id.is_empty() {
        return Err(Status::unknown("near_object: id is required"));
    }
    let threshold = threshold("near_object", near.distance, near.certainty)?;
    let (chosen, method) = targets_of(collection, near.targets.as_ref(), &near.target_vectors)?;
    let method = method.settle(chosen.len())?;
    let id = Uuid::parse_str(&near.id).map_err(|_| {
        let (index, length) = (collection.name.to_lowercase(), near.id.len());
        Status::unknown(format!(
            "{VECTOR_SEARCH}: vectorize search vector: nearObject params: search index {index}: determine shard: parse \
             uuid {:?}: invalid UUID length: {length}",
            near.id
        ))
    })?;
    let max_distance =
        target::max_distance(&chosen, threshold).map_err(|error| Status::unknown(texts::threshold(&error)))?;
    Ok((Ranking::object(id, &chosen, &method, max_distance), chosen))
}

/// The targets of a search by vectors.
///
/// # Errors
/// Targets that such a search would refuse.
#[expect(deprecated, reason = "old clients still send the old field")]
pub(super) fn targets<'a>(collection: &'a Collection, near: &NearVector) -> Result<Vec<Chosen<'a>>, Status> {
    Ok(targets_of(collection, near.targets.as_ref(), &near.target_vectors)?.0)
}

/// The threshold of a search, which is a distance or a certainty.
pub(super) fn threshold(what: &str, distance: Option<f64>, certainty: Option<f64>) -> Result<Threshold, Status> {
    if distance.is_some() && certainty.is_some() {
        return Err(Status::unknown(format!("{what}: cannot provide distance and certainty")));
    }
    Ok(Threshold { distance, certainty })
}

/// A method whose weights were counted against the listed targets, not yet against the vectors given for them.
pub(super) struct Unsettled(Method);

impl Unsettled {
    /// The method, once it is known how many comparisons there are.
    fn settle(self, count: usize) -> Result<Method, Status> {
        match &self.0 {
            Method::Manual(weights) | Method::RelativeScore(weights) if weights.len() != count => {
                Err(refused(&mismatch(weights.len(), count)))
            }
            _ => Ok(self.0),
        }
    }
}

fn refused(why: &str) -> Status {
    Status::unknown(format!("extract target vectors: {why}"))
}

fn mismatch(weights: usize, targets: usize) -> String {
    format!("number of weights ({weights}) does not match number of targets ({targets})")
}

/// The targets as they are listed, one perhaps several times, and how they are combined.
pub(super) fn targets_of<'a>(
    collection: &'a Collection,
    targets: Option<&Targets>,
    old: &[String],
) -> Result<(Vec<Chosen<'a>>, Unsettled), Status> {
    let names = targets.map_or(old, |targets| &targets.target_vectors);
    let chosen = target::resolve(collection, names).map_err(|error| {
        let class = &collection.name;
        match error {
            TargetError::Missing => {
                refused(&format!("class {class} has multiple vectors, but no target vectors were provided"))
            }
            TargetError::Unknown(name) => {
                let known: Vec<_> = collection.vectors.named.keys().map(String::as_str).collect();
                let known = known.join(" ");
                refused(&format!(
                    "class {class} does not have named vector {name} configured. Available named vectors [{known}]"
                ))
            }
        }
    })?;
    let Some(targets) = targets else { return Ok((chosen, Unsettled(Method::Minimum))) };
    let weights = || {
        let given = &targets.weights_for_targets;
        if given.len() != names.len() {
            return Err(refused(&mismatch(given.len(), names.len())));
        }
        let other = given.iter().zip(names).find(|(given, name)| given.target != **name);
        match other {
            Some((given, _)) => Err(refused(&format!("target vector {} not found in target vectors", given.target))),
            None => Ok(given.iter().map(|given| given.weight).collect()),
        }
    };
    let method = match targets.combination() {
        CombinationMethod::Unspecified | CombinationMethod::TypeMin => Method::Minimum,
        CombinationMethod::TypeSum => Method::Sum,
        CombinationMethod::TypeAverage => Method::Average,
        CombinationMethod::TypeManual => Method::Manual(weights()?),
        CombinationMethod::TypeRelativeScore => Method::RelativeScore(weights()?),
    };
    Ok((chosen, Unsettled(method)))
}

/// Each comparison's target and query. A target that is listed once may be given several vectors.
#[expect(deprecated, reason = "old clients still send the old fields")]
fn queries<'a>(near: &NearVector, listed: Vec<Chosen<'a>>) -> Result<(Vec<Chosen<'a>>, Vec<Vector>), String> {
    let (chosen, queries) = if !near.vector_for_targets.is_empty() {
        for_targets(near, &listed)?
    } else if !near.vector_per_target.is_empty() {
        let query = |chosen: &Chosen<'a>| {
            let bytes = near.vector_per_target.get(chosen.name);
            let bytes = bytes.ok_or_else(|| format!("vector for target {} is required", chosen.name))?;
            plain(chosen, floats(bytes)?)
        };
        let queries = listed.iter().map(query).collect::<Result<_, _>>()?;
        (listed, queries)
    } else if !near.vectors.is_empty() {
        from_list(&near.vectors, listed)?
    } else {
        let values = if near.vector_bytes.is_empty() { near.vector.clone() } else { floats(&near.vector_bytes)? };
        let queries = listed.iter().map(|chosen| plain(chosen, values.clone())).collect::<Result<_, _>>()?;
        (listed, queries)
    };
    let is_empty = |query: &Vector| match query {
        Vector::Single(values) | Vector::Multi { rows: values, .. } => values.is_empty(),
    };
    if queries.iter().any(is_empty) {
        return Err("vector is required".to_owned());
    }
    Ok((chosen, queries))
}

/// Vectors without a name: one for all targets, several for the only one, or one for each.
fn from_list<'a>(given: &[Vectors], listed: Vec<Chosen<'a>>) -> Result<(Vec<Chosen<'a>>, Vec<Vector>), String> {
    let chosen = match (listed.as_slice(), given.len()) {
        ([only], count) => vec![*only; count],
        (_, count) if count == 1 || count == listed.len() => listed,
        _ => return Err(lengths()),
    };
    let vectors = given.iter().cycle();
    let queries = chosen.iter().zip(vectors).map(|(chosen, vectors)| one(chosen, vectors)).collect::<Result<_, _>>()?;
    Ok((chosen, queries))
}

/// Vectors by target, in the order of the listed targets.
#[expect(deprecated, reason = "old clients still send the old fields")]
fn for_targets<'a>(near: &NearVector, listed: &[Chosen<'a>]) -> Result<(Vec<Chosen<'a>>, Vec<Vector>), String> {
    let runs: Vec<&[Chosen<'a>]> = listed.chunk_by(|a, b| a.name == b.name).collect();
    let given: Vec<_> = near.vector_for_targets.chunk_by(|a, b| a.name == b.name).collect();
    if runs.len() != given.len() {
        return Err(lengths());
    }
    let (mut chosen, mut queries) = (Vec::new(), Vec::new());
    for (run, given) in runs.into_iter().zip(given) {
        let Some(target) = run.first() else { continue };
        let unnamed = target.name.is_empty() || listed.len() == 1;
        if given.iter().any(|given| given.name != target.name) && !(unnamed && near.targets.is_none()) {
            return Err(order(near, listed, target.name));
        }
        let before = queries.len();
        for given in given {
            if given.vectors.is_empty() {
                queries.push(plain(target, floats(&given.vector_bytes)?)?);
            }
            for vectors in &given.vectors {
                queries.extend(several(target, vectors)?);
            }
        }
        let count = queries.len() - before;
        if run.len() > 1 && run.len() != count {
            return Err(lengths());
        }
        chosen.extend(std::iter::repeat_n(*target, count));
    }
    Ok((chosen, queries))
}

fn lengths() -> String {
    "vector for target must have the same lengths as target vectors".to_owned()
}

fn order(near: &NearVector, listed: &[Chosen<'_>], name: &str) -> String {
    let all: Vec<_> = listed.iter().map(|chosen| chosen.name).collect();
    let given: Vec<_> = near.vector_for_targets.iter().map(|given| given.name.as_str()).collect();
    let (all, given) = (all.join(" "), given.join(" "));
    format!("vector for target {name} is required. All target vectors: [{all}] all vectors for targets [{given}]")
}

/// The query that `given` is for this target.
fn one(target: &Chosen<'_>, given: &Vectors) -> Result<Vector, String> {
    match (given.r#type() == VectorType::MultiFp32, target.config.multi) {
        (false, _) => plain(target, floats(&given.vector_bytes)?),
        (true, false) => Err("provided vector is a multi vector but vector index supports regular vectors".to_owned()),
        (true, true) => rows(&given.vector_bytes),
    }
}

/// As [`one`], but rows for a target of plain vectors are so many queries.
fn several(target: &Chosen<'_>, given: &Vectors) -> Result<Vec<Vector>, String> {
    if given.r#type() != VectorType::MultiFp32 || target.config.multi {
        return one(target, given).map(|query| vec![query]);
    }
    match rows(&given.vector_bytes)? {
        Vector::Multi { dim, rows } if dim > 0 => {
            Ok(rows.chunks(dim as usize).map(|row| Vector::Single(row.to_vec())).collect())
        }
        other => Ok(vec![other]),
    }
}

fn plain(target: &Chosen<'_>, values: Vec<f32>) -> Result<Vector, String> {
    if target.config.multi && !values.is_empty() {
        return Err("provided vector is a regular vector but vector index supports multi vectors".to_owned());
    }
    Ok(Vector::Single(values))
}

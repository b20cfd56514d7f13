//! GraphQL's deprecated `group` argument: hits whose vectors are close to each other become one.

use std::collections::{BTreeMap, HashSet};

use azimuth_engine::ids::VectorId;
use azimuth_engine::interrupt;
use azimuth_engine::object::{Beacon, Geo, Object, Properties, Value, Vector};
use azimuth_engine::query::Hit;
use uuid::Uuid;

/// What a group of related hits becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Its first hit.
    Closest,
    /// One made-up object with their values taken together.
    Merge,
}

/// How hits are related.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Related {
    /// What a group becomes.
    pub(crate) strategy: Strategy,
    /// Half the cosine distance below which two hits belong together.
    pub(crate) force: f32,
}

/// One hit per group, in the order of their first hits; the unnamed vectors must have been read. A hit belongs to the
/// first group that has a member close enough; one without a vector stays alone. A merged hit has no id and no distance.
///
/// # Errors
/// When the read is interrupted: each hit is compared with those before it.
pub(crate) fn unite(hits: Vec<Hit>, related: Related) -> azimuth_engine::Result<Vec<Hit>> {
    let mut groups: Vec<Vec<Hit>> = Vec::new();
    for hit in hits {
        interrupt::check()?;
        let near = |other: &Hit| is_near(unnamed(&hit.object), unnamed(&other.object), related.force);
        match groups.iter_mut().find(|group| group.iter().any(near)) {
            Some(group) => group.push(hit),
            None => groups.push(vec![hit]),
        }
    }
    let closest = |group: Vec<Hit>| group.into_iter().next();
    Ok(match related.strategy {
        Strategy::Closest => groups.into_iter().filter_map(closest).collect(),
        Strategy::Merge => groups.into_iter().filter_map(|group| merged(&group)).collect(),
    })
}

fn unnamed(object: &Object) -> Option<&[f32]> {
    match object.vectors.get(&VectorId::UNNAMED) {
        Some(Vector::Single(values)) => Some(values),
        _ => None,
    }
}

fn is_near(a: Option<&[f32]>, b: Option<&[f32]>, force: f32) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    if a.len() != b.len() {
        return false;
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    // The cosine of a zero vector is no number, which is near to nothing.
    (1.0 - cosine) / 2.0 < f64::from(force)
}

fn merged(group: &[Hit]) -> Option<Hit> {
    let first = group.first()?;
    let mut values: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (name, value) in group.iter().flat_map(|hit| &hit.object.properties) {
        values.entry(name).or_default().push(value);
    }
    let properties: Properties =
        values.into_iter().filter_map(|(name, values)| Some((name.to_owned(), together(&values)?))).collect();
    let vectors: Vec<&[f32]> = group.iter().filter_map(|hit| unnamed(&hit.object)).collect();
    let mut mean = vec![0.0_f32; vectors.first().map_or(0, |vector| vector.len())];
    for (sum, value) in vectors.iter().flat_map(|vector| (0..).zip(*vector)) {
        mean[sum] += value / vectors.len() as f32;
    }
    let vectors = (!mean.is_empty()).then_some((VectorId::UNNAMED, Vector::Single(mean))).into_iter().collect();
    let object = Object { id: Uuid::nil(), created_ms: 0, updated_ms: 0, properties, vectors };
    Some(Hit { doc_id: first.doc_id, distance: None, score: None, object })
}

/// Values of one property as one: texts as `first (others)`, numbers and places as their mean, booleans by majority,
/// references all of them. Other kinds have no such value.
fn together(values: &[&Value]) -> Option<Value> {
    let count = values.len() as f64;
    match values.first()? {
        Value::Text(_) | Value::Date(_) | Value::Uuid(_) | Value::Blob(_) => {
            let mut seen = HashSet::new();
            let texts = values.iter().filter_map(|value| text(value)).filter(|text| seen.insert(text.clone()));
            let mut texts = texts.collect::<Vec<_>>().into_iter();
            let first = texts.next()?;
            let others = texts.collect::<Vec<_>>().join(", ");
            Some(Value::Text(if others.is_empty() { first } else { format!("{first} ({others})") }))
        }
        Value::Int(_) | Value::Number(_) => {
            let sum: f64 = values.iter().map(|value| number(value)).sum();
            Some(if matches!(values.first()?, Value::Int(_)) {
                Value::Int((sum / count) as i64)
            } else {
                Value::Number(sum / count)
            })
        }
        Value::Bool(_) => {
            let yes = values.iter().filter(|value| matches!(value, Value::Bool(true))).count();
            Some(Value::Bool(2 * yes >= values.len()))
        }
        Value::Geo(_) => {
            let places =
                values.iter().filter_map(|value| if let Value::Geo(place) = value { Some(*place) } else { None });
            let zero = Geo { latitude: 0.0, longitude: 0.0 };
            let sum = places.fold(zero, |sum, place| Geo {
                latitude: sum.latitude + place.latitude,
                longitude: sum.longitude + place.longitude,
            });
            let count = values.len() as f32;
            Some(Value::Geo(Geo { latitude: sum.latitude / count, longitude: sum.longitude / count }))
        }
        Value::References(_) => {
            let mut seen = HashSet::new();
            let all =
                values.iter().flat_map(|value| if let Value::References(all) = value { all.as_slice() } else { &[] });
            Some(Value::References(all.filter(|beacon: &&Beacon| seen.insert(beacon.id)).cloned().collect()))
        }
        Value::Null | Value::Phone(_) | Value::Object(_) | Value::List(_) => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Blob(text) => Some(text.clone()),
        Value::Date(date) => Some(date.to_string()),
        Value::Uuid(id) => Some(id.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Int(value) => *value as f64,
        Value::Number(value) => *value,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use azimuth_engine::ids::DocId;

    use super::*;

    fn hit(id: u128, vector: Option<&[f32]>, name: &str, size: i64) -> Hit {
        let properties =
            [("name".to_owned(), Value::Text(name.to_owned())), ("size".to_owned(), Value::Int(size))].into();
        let vectors = vector.map(|values| (VectorId::UNNAMED, Vector::Single(values.to_vec()))).into_iter().collect();
        let object = Object { id: Uuid::from_u128(id), created_ms: 0, updated_ms: 0, properties, vectors };
        Hit { doc_id: DocId(0), distance: Some(0.0), score: None, object }
    }

    fn hits() -> Vec<Hit> {
        vec![
            hit(1, Some(&[1.0, 0.0]), "a", 1),
            hit(2, Some(&[0.0, 1.0]), "b", 5),
            hit(3, Some(&[1.0, 0.1]), "c", 3),
            hit(4, None, "d", 7),
            hit(5, None, "d", 9),
        ]
    }

    #[test]
    fn the_closest_of_each_group_stays() {
        let united = unite(hits(), Related { strategy: Strategy::Closest, force: 0.05 }).unwrap();
        let ids: Vec<_> = united.iter().map(|hit| hit.object.id.as_u128()).collect();
        assert_eq!(ids, [1, 2, 4, 5]);
        assert_eq!(unite(hits(), Related { strategy: Strategy::Closest, force: 0.0 }).unwrap().len(), 5);
    }

    #[test]
    fn merged_hits_carry_the_values_of_all() {
        let united = unite(hits(), Related { strategy: Strategy::Merge, force: 0.05 }).unwrap();
        assert_eq!(united[0].object.properties["name"], Value::Text("a (c)".to_owned()));
        assert_eq!(united[0].object.properties["size"], Value::Int(2));
        assert_eq!(united[0].object.vectors[&VectorId::UNNAMED], Vector::Single(vec![1.0, 0.05]));
        assert_eq!(united[1].object.properties["name"], Value::Text("b".to_owned()));
    }
}

//! Reads: the server's answers compared with the model.

use azimuth_client::proto::weaviate::v1 as pb;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

use super::filter::{Filter, Refused};
use super::model::{Class, Object, beacons};
use super::play::{Finding, Player, acceptable};
use super::query::{ALL, Query};
use super::step::{Near, NearMany, Origin, Wire};
use super::value::{Kind, instant, same};
use super::wire::{Hit, from_rest, literal};

/// Greatest difference between a distance in f32 and the exact one.
const SLACK: f64 = 1e-4;

impl Player {
    /// Names of collections and settings of properties.
    pub(super) fn check_schema(&self) -> Result<(), Finding> {
        let (_, answer) = self.wires.rest("GET", "/v1/schema", None)?;
        let mut names = BTreeSet::new();
        for class in answer["classes"].as_array().into_iter().flatten() {
            let name = class["class"].as_str().unwrap_or_default();
            names.insert(name);
            let Some(known) = self.world.classes.get(name) else { continue };
            let mut properties = BTreeMap::new();
            for property in class["properties"].as_array().into_iter().flatten() {
                properties.insert(property["name"].as_str().unwrap_or_default(), property);
            }
            let wanted: Vec<&str> = known.schema.properties.keys().map(String::as_str).collect();
            let given: Vec<&str> = properties.keys().copied().collect();
            if wanted != given {
                return Err(format!("schema of {name}: properties {given:?} instead of {wanted:?}"));
            }
            for (property, known) in &known.schema.properties {
                let given = properties[property.as_str()];
                let flag = |name: &str| given[name].as_bool().unwrap_or(false);
                let flags = (flag("indexFilterable"), flag("indexSearchable"), flag("indexRangeFilters"));
                let plain = !matches!(known.kind, Kind::Reference(_));
                if given["dataType"] != json!(known.kind.data_type())
                    || (plain && flags != (known.filterable, known.searchable, known.range))
                {
                    return Err(format!("schema of {name}: property {given} instead of {known:?}"));
                }
            }
        }
        let wanted: BTreeSet<&str> = self.world.classes.keys().map(String::as_str).collect();
        if names != wanted {
            return Err(format!("schema: collections {names:?} instead of {wanted:?}"));
        }
        Ok(())
    }

    /// One object by REST, or that there is none.
    pub(super) fn check_object(&self, collection: &str, id: Uuid) -> Result<(), Finding> {
        let path = format!("/v1/objects/{collection}/{id}?include=vector");
        let (status, answer) = self.wires.rest("GET", &path, None)?;
        match (self.world.object(collection, id), status) {
            (Some(object), 200) => equal(object, &from_rest(&answer), &format!("GET {path}")),
            (None, 400..500) => Ok(()),
            (object, status) => Err(format!("GET {path}: {status} {answer}, the model has {object:?}")),
        }
    }

    /// Everything over every wire.
    pub(super) fn check_all(&self) -> Result<(), Finding> {
        self.check_schema()?;
        for (name, class) in &self.world.classes {
            self.check_list(name, ALL, 0)?;
            for wire in [Wire::Graphql, Wire::Grpc] {
                self.check_find(wire, name, None)?;
                self.check_count(wire, name, None)?;
                for (target, space) in &class.schema.vectors {
                    let origin = Origin::Vector((0..space.dimensions).map(|at| at as f32 - 1.0).collect());
                    let near = Near {
                        target: target.clone(),
                        origin,
                        limit: Some(ALL),
                        offset: 0,
                        distance: None,
                        filter: None,
                    };
                    self.check_near(wire, name, &near)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_list(&self, collection: &str, limit: usize, offset: usize) -> Result<(), Finding> {
        let path = format!("/v1/objects?class={collection}&include=vector&limit={limit}&offset={offset}");
        let (status, answer) = self.wires.rest("GET", &path, None)?;
        let Some(class) = self.world.classes.get(collection) else {
            return if status >= 400 { Ok(()) } else { Err(format!("GET {path}: {status} without such a collection")) };
        };
        let objects = answer["objects"].as_array().cloned().unwrap_or_default();
        let wanted: Vec<(&Uuid, &Object)> = class.objects.iter().skip(offset).take(limit).collect();
        let ids: Vec<Option<&str>> = objects.iter().map(|object| object["id"].as_str()).collect();
        let wanted_ids: Vec<String> = wanted.iter().map(|(id, _)| id.to_string()).collect();
        if status != 200 || !ids.iter().copied().eq(wanted_ids.iter().map(|id| Some(id.as_str()))) {
            return Err(format!("GET {path}: {status}, ids {ids:?} instead of {wanted_ids:?}"));
        }
        for ((id, object), answer) in wanted.iter().zip(&objects) {
            equal(object, &from_rest(answer), &format!("GET {path}: {id}"))?;
        }
        Ok(())
    }

    pub(super) fn check_walk(&self, wire: Wire, collection: &str, page: usize) -> Result<(), Finding> {
        let Some(class) = self.world.classes.get(collection) else { return Ok(()) };
        let what = format!("pages of {page} over {wire:?} in {collection}");
        let mut ids: Vec<Uuid> = Vec::new();
        loop {
            let after = ids.last().copied();
            let more: Vec<Uuid> = if wire == Wire::Rest {
                let after = after.map(|id| format!("&after={id}")).unwrap_or_default();
                let path = format!("/v1/objects?class={collection}&limit={page}{after}");
                let (status, answer) = self.wires.rest("GET", &path, None)?;
                if status != 200 {
                    return Err(format!("{what}: {status} {answer}"));
                }
                let objects = answer["objects"].as_array().cloned().unwrap_or_default();
                objects.iter().filter_map(|object| object["id"].as_str()?.parse().ok()).collect()
            } else {
                let query = Query { after: Some(after.unwrap_or_default()), limit: Some(page), ..Query::default() };
                let hits = self.query(wire, class, &query)?.map_err(|why| format!("{what}: {why}"))?;
                hits.iter().map(|hit| hit.id).collect()
            };
            if more.is_empty() {
                break;
            }
            if ids.len() > ALL {
                return Err(format!("{what}: no end"));
            }
            ids.extend(more);
        }
        if ids.iter().eq(class.objects.keys()) { Ok(()) } else { Err(format!("{what}: {ids:?}")) }
    }

    pub(super) fn check_find(&self, wire: Wire, collection: &str, filter: Option<&Filter>) -> Result<(), Finding> {
        let Some(class) = self.world.classes.get(collection) else { return Ok(()) };
        let what = format!("find over {wire:?} in {collection}: {filter:?}");
        let found = self.world.find(collection, filter);
        let query = Query { filter, limit: Some(ALL), ..Query::default() };
        let hits = match (found, self.query(wire, class, &query)?) {
            (Ok(ids), Ok(hits)) => {
                let mut given: Vec<Uuid> = hits.iter().map(|hit| hit.id).collect();
                // Without a filter the order of a listing is that of the ids.
                if filter.is_some() {
                    given.sort_unstable();
                }
                if given != ids {
                    return Err(format!("{what}: {given:?} instead of {ids:?}"));
                }
                hits
            }
            (Err(Refused), Err(_)) => return Ok(()),
            (found, hits) => return Err(format!("{what}: the model finds {found:?}, the server answers {hits:?}")),
        };
        hits.iter().try_for_each(|hit| check_hit(wire, class, hit, &what))
    }

    pub(super) fn check_count(&self, wire: Wire, collection: &str, filter: Option<&Filter>) -> Result<(), Finding> {
        let what = format!("count over {wire:?} in {collection}: {filter:?}");
        let found = self.world.find(collection, filter).map(|ids| ids.len() as i64);
        let given = if wire == Wire::Grpc {
            let request = pb::AggregateRequest {
                collection: collection.to_owned(),
                objects_count: true,
                filters: filter.map(Filter::proto),
                ..Default::default()
            };
            match self.wires.aggregate(request) {
                Ok(reply) => match reply.result {
                    Some(pb::aggregate_reply::Result::SingleResult(single)) => Ok(single.objects_count.unwrap_or(-1)),
                    other => return Err(format!("{what}: {other:?}")),
                },
                Err(status) => Err(acceptable(&status).ok_or_else(|| format!("{what}: {status:?}"))?),
            }
        } else {
            let clause = filter.map(|filter| format!("(where: {})", literal(&filter.json(false)))).unwrap_or_default();
            let query = format!("{{ Aggregate {{ {collection}{clause} {{ meta {{ count }} }} }} }}");
            let data = self.wires.graphql(&query)?;
            data.map(|data| data["Aggregate"][collection][0]["meta"]["count"].as_i64().unwrap_or(-1))
        };
        match (found, given) {
            (Ok(found), Ok(given)) if found == given => Ok(()),
            (Err(Refused), Err(_)) => Ok(()),
            (found, given) => Err(format!("{what}: {given:?} instead of {found:?}")),
        }
    }

    pub(super) fn check_near(&self, wire: Wire, collection: &str, near: &Near) -> Result<(), Finding> {
        let Some(class) = self.world.classes.get(collection) else { return Ok(()) };
        let Some(space) = class.schema.vectors.get(&near.target) else { return Ok(()) };
        let origin = match &near.origin {
            Origin::Vector(vector) => Some(vector),
            Origin::Object(id) => class.objects.get(id).and_then(|object| object.vectors.get(&near.target)),
        };
        // Shrinking may have removed the object.
        let Some(origin) = origin.filter(|origin| origin.len() == space.dimensions) else { return Ok(()) };
        let what = format!("near over {wire:?} in {collection}: {near:?}");
        let query = Query {
            filter: near.filter.as_ref(),
            near: Some(near),
            limit: near.limit,
            offset: near.offset,
            ..Query::default()
        };
        let (ids, hits) = match (self.world.find(collection, near.filter.as_ref()), self.query(wire, class, &query)?) {
            (Ok(ids), Ok(hits)) => (ids, hits),
            (Err(Refused), Err(_)) => return Ok(()),
            (found, hits) => return Err(format!("{what}: the model finds {found:?}, the server answers {hits:?}")),
        };
        let distance = |object: &Object| Some(space.distance(origin, object.vectors.get(&near.target)?));
        let bound = near.distance.unwrap_or(f64::INFINITY);
        let page = (near.limit.unwrap_or(ALL), near.offset);
        check_nearest(&what, class, &ids, &hits, page, bound, &distance)?;
        hits.iter().try_for_each(|hit| check_hit(wire, class, hit, &what))
    }

    /// A search for several vectors at once.
    pub(super) fn check_near_many(&self, wire: Wire, collection: &str, many: &NearMany) -> Result<(), Finding> {
        let Some(class) = self.world.classes.get(collection) else { return Ok(()) };
        let space = |name: &String| class.schema.vectors.get(name);
        let fits = |(name, vector): (&String, &Vec<f32>)| space(name).is_some_and(|it| it.dimensions == vector.len());
        if !many.vectors.iter().all(fits) {
            return Ok(());
        }
        let what = format!("near many over {wire:?} in {collection}: {many:?}");
        let query = Query {
            filter: many.filter.as_ref(),
            many: Some((&many.vectors, &many.method)),
            limit: Some(many.limit),
            offset: many.offset,
            ..Query::default()
        };
        let (ids, hits) = match (self.world.find(collection, many.filter.as_ref()), self.query(wire, class, &query)?) {
            (Ok(ids), Ok(hits)) => (ids, hits),
            (Err(Refused), Err(_)) => return Ok(()),
            (found, hits) => return Err(format!("{what}: the model finds {found:?}, the server answers {hits:?}")),
        };
        let distance = |object: &Object| {
            let each = many.vectors.iter().map(|(name, origin)| {
                let vector = object.vectors.get(name)?;
                Some(space(name)?.distance(origin, vector))
            });
            let each: Vec<Option<f64>> = each.collect();
            // The least distance is that of the vectors that the object has; a sum needs all of them.
            match many.method.as_str() {
                "sum" => each.iter().copied().sum(),
                "average" => each.iter().copied().sum::<Option<f64>>().map(|sum| sum / each.len() as f64),
                _ => each.into_iter().flatten().min_by(f64::total_cmp),
            }
        };
        check_nearest(&what, class, &ids, &hits, (many.limit, many.offset), f64::INFINITY, &distance)?;
        hits.iter().try_for_each(|hit| check_hit(wire, class, hit, &what))
    }

    pub(super) fn check_sorted(
        &self,
        wire: Wire,
        collection: &str,
        filter: Option<&Filter>,
        by: &[(String, bool)],
        (limit, offset): (usize, usize),
    ) -> Result<(), Finding> {
        let Some(class) = self.world.classes.get(collection) else { return Ok(()) };
        let kind = |name: &String| class.schema.properties.get(name).map(|property| &property.kind);
        if by.iter().any(|(name, _)| kind(name).is_none_or(|kind| !kind.is_sortable())) {
            return Ok(());
        }
        let what = format!("sort over {wire:?} in {collection} by {by:?}, {limit} from {offset}: {filter:?}");
        let found = self.world.find(collection, filter);
        let given = if wire == Wire::Rest {
            let names: Vec<&str> = by.iter().map(|(name, _)| name.as_str()).collect();
            let orders: Vec<&str> = by.iter().map(|(_, descending)| if *descending { "desc" } else { "asc" }).collect();
            let (names, orders) = (names.join(","), orders.join(","));
            let path =
                format!("/v1/objects?class={collection}&sort={names}&order={orders}&limit={limit}&offset={offset}");
            match self.wires.rest("GET", &path, None)? {
                (200, answer) => Ok(answer["objects"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|object| object["id"].as_str()?.parse().ok())
                    .collect()),
                (status, answer) => Err(format!("{status} {answer}")),
            }
        } else {
            let query = Query { filter, sort: by, limit: Some(limit), offset, ..Query::default() };
            self.query(wire, class, &query)?.map(|hits| hits.iter().map(|hit| hit.id).collect::<Vec<Uuid>>())
        };
        let (mut ids, given) = match (found, given) {
            (Ok(ids), Ok(given)) => (ids, given),
            (Err(Refused), Err(_)) => return Ok(()),
            (found, given) => return Err(format!("{what}: the model finds {found:?}, the server answers {given:?}")),
        };
        let known = ids.clone();
        ids.sort_by(|left, right| compare(class, by, *left, *right));
        let wanted: Vec<Uuid> = ids.into_iter().skip(offset).take(limit).collect();
        let distinct: BTreeSet<&Uuid> = given.iter().collect();
        let equal = |(left, right): (&Uuid, &Uuid)| compare(class, by, *left, *right).is_eq();
        if wanted.len() != given.len()
            || distinct.len() != given.len()
            || !given.iter().all(|id| known.contains(id))
            || !wanted.iter().zip(&given).all(equal)
        {
            return Err(format!("{what}: {given:?} instead of {wanted:?}"));
        }
        Ok(())
    }

    /// All objects that have a vector, grouped: every group is whole, up to its limit.
    pub(super) fn check_grouped(
        &self,
        collection: &str,
        name: &str,
        groups: usize,
        members: usize,
    ) -> Result<(), Finding> {
        let Some(class) = self.world.classes.get(collection) else { return Ok(()) };
        let Some(property) = class.schema.properties.get(name) else { return Ok(()) };
        let Some((target, space)) = class.schema.vectors.iter().next() else { return Ok(()) };
        let what = format!("group by {name} in {collection}: {groups} groups of {members}");
        let origin = Origin::Vector(vec![1.0; space.dimensions]);
        let near = Near { target: target.clone(), origin, limit: None, offset: 0, distance: None, filter: None };
        let request = pb::SearchRequest {
            group_by: Some(Box::new(pb::GroupBy {
                path: vec![name.to_owned()],
                number_of_groups: groups as i32,
                objects_per_group: members as i32,
            })),
            ..self.request(class, &Query { near: Some(&near), limit: Some(ALL), ..Query::default() })
        };
        let reply = self.wires.search(request).map_err(|status| format!("{what}: {status:?}"))?;
        let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
        let with_vector = class.objects.values().filter(|object| object.vectors.contains_key(target));
        for object in with_vector {
            let values: BTreeSet<String> = group_values(object.properties.get(name));
            values.into_iter().for_each(|value| *wanted.entry(value).or_default() += 1);
        }
        if reply.group_by_results.len() != wanted.len().min(groups) {
            let given: Vec<&str> = reply.group_by_results.iter().map(|group| group.name.as_str()).collect();
            return Err(format!("{what}: groups {given:?} of {wanted:?}"));
        }
        // The same number may be written in several ways.
        if !matches!(property.kind.member(), Kind::Text(_) | Kind::Uuid | Kind::Bool) {
            return Ok(());
        }
        for group in &reply.group_by_results {
            let size = wanted.get(&group.name).copied().unwrap_or(0).min(members);
            let distinct: BTreeSet<Option<String>> =
                group.objects.iter().map(|object| object.metadata.as_ref().map(|data| data.id.clone())).collect();
            if group.objects.len() != size || distinct.len() != size {
                let count = group.objects.len();
                return Err(format!("{what}: {count} objects in group {:?} instead of {size}: {wanted:?}", group.name));
            }
        }
        Ok(())
    }
}

/// Whether these hits are a page (limit, offset) of the nearest objects up to a distance; ties come in any order.
fn check_nearest(
    what: &str,
    class: &Class,
    ids: &[Uuid],
    hits: &[Hit],
    (limit, offset): (usize, usize),
    bound: f64,
    distance: &dyn Fn(&Object) -> Option<f64>,
) -> Result<(), Finding> {
    let own = |id: &Uuid| class.objects.get(id).and_then(distance);
    let mut wanted: Vec<f64> = ids.iter().filter_map(own).filter(|distance| *distance <= bound).collect();
    wanted.sort_unstable_by(f64::total_cmp);
    let wanted: Vec<f64> = wanted.into_iter().skip(offset).take(limit).collect();
    let given: Vec<f64> = hits.iter().map(|hit| hit.distance.unwrap_or(f64::NAN)).collect();
    let close = |left: f64, right: f64| (left - right).abs() <= SLACK * right.abs().max(1.0);
    if wanted.len() != given.len() || !wanted.iter().zip(&given).all(|(left, right)| close(*left, *right)) {
        return Err(format!("{what}: distances {given:?} instead of {wanted:?}"));
    }
    let distinct: BTreeSet<Uuid> = hits.iter().map(|hit| hit.id).collect();
    let right = |hit: &Hit| {
        ids.contains(&hit.id) && own(&hit.id).is_some_and(|own| close(own, hit.distance.unwrap_or(f64::NAN)))
    };
    if distinct.len() != hits.len() || !hits.iter().all(right) {
        return Err(format!("{what}: wrong hits {hits:?}"));
    }
    Ok(())
}

/// Whether two objects are the same, over REST.
fn equal(wanted: &Object, given: &Object, what: &str) -> Result<(), Finding> {
    let norm = |object: &Object| {
        let mut object = object.clone();
        // The order of references is not promised, and an object without references may have an empty list or none.
        for value in object.properties.values_mut() {
            if let Value::Array(values) = value
                && values.first().is_some_and(|value| value.get("beacon").is_some())
            {
                values.sort_by_key(Value::to_string);
            }
        }
        object
    };
    let (wanted, given) = (norm(wanted), norm(given));
    let none = Value::Null;
    let names: BTreeSet<&String> = wanted.properties.keys().chain(given.properties.keys()).collect();
    for name in names {
        let (left, right) = (wanted.properties.get(name), given.properties.get(name));
        let empty = |value: Option<&Value>| value.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
        if empty(left) && empty(right) && beacons(left).is_empty() {
            continue;
        }
        if !same(left.unwrap_or(&none), right.unwrap_or(&none)) {
            return Err(format!("{what}: property {name} is {right:?} instead of {left:?}"));
        }
    }
    if wanted.vectors != given.vectors {
        return Err(format!("{what}: vectors {:?} instead of {:?}", given.vectors, wanted.vectors));
    }
    Ok(())
}

/// A hit of GraphQL or gRPC against the model: both leave references out, GraphQL large integers too.
fn check_hit(wire: Wire, class: &Class, hit: &Hit, what: &str) -> Result<(), Finding> {
    let Some(object) = class.objects.get(&hit.id) else { return Err(format!("{what}: {} does not exist", hit.id)) };
    let mut object = object.clone();
    object.properties.retain(|name, _| {
        class.schema.properties.get(name).is_none_or(|property| !matches!(property.kind, Kind::Reference(_)))
    });
    let mut given = hit.object.clone();
    if wire == Wire::Grpc {
        // Blobs are returned only when they are requested by name.
        let blob =
            |name: &String| class.schema.properties.get(name).is_some_and(|property| property.kind == Kind::Blob);
        object.properties.retain(|name, _| !blob(name));
    }
    if wire == Wire::Graphql {
        let large = |value: &Value| value.as_i64().is_some_and(|value| i32::try_from(value).is_err());
        for (name, value) in object.properties.clone() {
            let in_list = value.as_array().is_some_and(|values| values.iter().any(large));
            let in_object = value.get("n").is_some_and(large);
            let int = class.schema.properties.get(&name).is_some_and(|property| *property.kind.member() == Kind::Int);
            if in_object || (int && (large(&value) || in_list)) {
                object.properties.remove(&name);
                given.properties.remove(&name);
            }
        }
    }
    equal(&object, &given, &format!("{what}: {}", hit.id))
}

/// The order of two objects by the clauses: missing values first, descending last.
fn compare(class: &Class, by: &[(String, bool)], left: Uuid, right: Uuid) -> Ordering {
    let value = |id: Uuid, name: &str| class.objects.get(&id).and_then(|object| object.properties.get(name));
    for (name, descending) in by {
        let kind = &class.schema.properties[name].kind;
        let order = match (value(left, name), value(right, name)) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(left), Some(right)) => compare_values(kind, left, right),
        };
        let order = if *descending { order.reverse() } else { order };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn compare_values(kind: &Kind, left: &Value, right: &Value) -> Ordering {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match kind {
        Kind::Int => left.as_i64().cmp(&right.as_i64()),
        Kind::Number => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
        Kind::Bool => left.as_bool().cmp(&right.as_bool()),
        Kind::Date => instant(&text(left)).cmp(&instant(&text(right))),
        _ => text(left).to_lowercase().cmp(&text(right).to_lowercase()),
    }
}

/// The groups that an object belongs to.
fn group_values(value: Option<&Value>) -> BTreeSet<String> {
    let one = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    match value {
        None => BTreeSet::from([String::new()]),
        Some(Value::Array(values)) if values.is_empty() => BTreeSet::from([String::new()]),
        Some(Value::Array(values)) => values.iter().map(one).collect(),
        Some(value) => BTreeSet::from([one(value)]),
    }
}

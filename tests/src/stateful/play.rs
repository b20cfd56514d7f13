//! Carries steps out against a server and the model, and compares the two.

use azimuth_client::proto::weaviate::v1 as pb;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

use super::filter::Filter;
use super::model::{Fate, World, Write, beacons};
use super::noise::Noise;
use super::schema::UNNAMED;
use super::step::{Item, Step, Wire};
use super::value::Kind;
use super::wire::{Answer, Wires, batch_object};
use crate::server::Server;

/// A server and the model of it.
pub struct Player {
    /// The collections and objects that the server must hold.
    pub world: World,
    /// How often each kind of step was carried out.
    pub counts: BTreeMap<&'static str, u64>,
    pub(super) server: Server,
    pub(super) wires: Wires,
    pub(super) noise: Option<Noise>,
}

/// A difference between server and model, in words.
pub type Finding = String;

impl Player {
    /// A new server with no data.
    ///
    /// # Panics
    /// When it does not start.
    pub fn new(auto_schema: bool) -> Self {
        let server = Server::builder()
            .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
            // Collections with a `dynamic` index require this setting.
            .variable("ASYNC_INDEXING", "true")
            .variable("AUTOSCHEMA_ENABLED", if auto_schema { "true" } else { "false" })
            .start();
        let wires = Wires::new(&server);
        let world = World { auto_schema, ..World::default() };
        Self { world, counts: BTreeMap::new(), server, wires, noise: None }
    }

    /// The running server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Carries out a step.
    ///
    /// # Errors
    /// The difference between the server and the model.
    pub fn play(&mut self, step: &Step) -> Result<(), Finding> {
        let outcome = self.carry_out(step);
        let log = |server: &Server| {
            let log = server.log();
            log.lines().rev().take(5).map(str::to_owned).collect::<Vec<_>>().join("\n")
        };
        if !self.server.is_running() {
            return Err(format!("the server ended after {step:?}: {outcome:?}\n{}", log(&self.server)));
        }
        outcome.and(self.noise_finding().map_or(Ok(()), Err))
    }

    /// Whether the step is about properties that no schema has any more, as happens when steps are left out: the kind
    /// that auto-schema would give them and the texts of refused filters are not in the model.
    fn is_beyond(&self, step: &Step) -> bool {
        let unknown = |(collection, _, object): &Item| {
            let class = self.world.classes.get(collection);
            let known = |name: &String| class.is_some_and(|class| class.schema.properties.contains_key(name));
            let vector = |name: &String| match class {
                Some(class) => class.schema.vectors.contains_key(name),
                None => name == UNNAMED,
            };
            object.properties.keys().any(|name| !name.starts_with('q') && !known(name))
                || !object.vectors.keys().all(vector)
        };
        let unfit = |collection: &String, filter: &Filter| {
            self.world.classes.get(collection).is_none_or(|class| !filter.fits(&self.world, &class.schema))
        };
        match step {
            Step::DeleteBy(_, collection, filter, _)
            | Step::Find(_, collection, Some(filter))
            | Step::Count(_, collection, Some(filter))
            | Step::Sorted(_, collection, Some(filter), ..) => unfit(collection, filter),
            Step::Near(_, collection, near) => near.filter.as_ref().is_some_and(|filter| unfit(collection, filter)),
            Step::NearMany(_, collection, many) => many.filter.as_ref().is_some_and(|filter| unfit(collection, filter)),
            Step::Write(_, item) => unknown(item),
            Step::Batch(_, items) => items.iter().any(unknown),
            _ => false,
        }
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), Finding> {
        if self.is_beyond(step) {
            return Ok(());
        }
        *self.counts.entry(kind(step)).or_default() += 1;
        match step {
            Step::Create(schema) => {
                let fate = self.world.create(schema);
                let answer = self.wires.rest("POST", "/v1/schema", Some(&schema.json()))?;
                self.expect("create", fate, &answer)?;
                self.check_schema()
            }
            Step::Drop(collection) => {
                self.world.classes.remove(collection);
                let answer = self.wires.rest("DELETE", &format!("/v1/schema/{collection}"), None)?;
                self.expect("drop", Fate::Taken, &answer)?;
                self.check_schema()
            }
            Step::AddProperty(collection, name, property) => {
                let fate = self.world.add_property(collection, name, property);
                let path = format!("/v1/schema/{collection}/properties");
                let answer = self.wires.rest("POST", &path, Some(&property.json(name)))?;
                self.expect("add a property", fate, &answer)?;
                self.check_schema()
            }
            Step::DropIndex(collection, name, index) => self.drop_index(collection, name, index),
            Step::Tune(collection, ef, quantizer) => self.tune(collection, *ef, quantizer),
            Step::Write(how, item) => self.write(*how, item),
            Step::Delete(collection, id) => self.delete(collection, *id),
            Step::Batch(wire, items) => self.batch(*wire, items),
            Step::Refer(method, collection, id, name, targets) => self.refer(method, collection, *id, name, targets),
            Step::BatchRefer(collection, id, name, targets) => self.batch_refer(collection, *id, name, targets),
            Step::DeleteBy(wire, collection, filter, dry) => self.delete_by(*wire, collection, filter, *dry),
            Step::Get(collection, id) => self.check_object(collection, *id),
            Step::List(collection, limit, offset) => self.check_list(collection, *limit, *offset),
            Step::Walk(wire, collection, page) => self.check_walk(*wire, collection, *page),
            Step::Find(wire, collection, filter) => self.check_find(*wire, collection, filter.as_ref()),
            Step::Count(wire, collection, filter) => self.check_count(*wire, collection, filter.as_ref()),
            Step::Near(wire, collection, near) => self.check_near(*wire, collection, near),
            Step::NearMany(wire, collection, many) => self.check_near_many(*wire, collection, many),
            Step::Sorted(wire, collection, filter, by, limit, offset) => {
                self.check_sorted(*wire, collection, filter.as_ref(), by, (*limit, *offset))
            }
            Step::Grouped(collection, name, groups, members) => self.check_grouped(collection, name, *groups, *members),
            Step::Restart(kill) => self.restart(*kill),
            Step::CheckAll => self.check_all(),
        }
    }

    fn expect(&self, what: &str, fate: Fate, (status, body): &Answer) -> Result<(), Finding> {
        let taken = (200..300).contains(status);
        match fate {
            Fate::Taken if !taken => Err(format!("{what}: refused with {status} {body}")),
            Fate::Refused if taken => Err(format!("{what}: must be refused, was answered {status} {body}")),
            _ => Ok(()),
        }
    }

    fn drop_index(&mut self, collection: &str, name: &str, index: &str) -> Result<(), Finding> {
        let class = self.world.classes.get_mut(collection);
        let property = class.and_then(|class| class.schema.properties.get_mut(name));
        let there = property.is_some();
        if let Some(property) = property {
            match index {
                "filterable" => property.filterable = false,
                "searchable" => property.searchable = false,
                _ => property.range = false,
            }
        }
        let path = format!("/v1/schema/{collection}/properties/{name}/index/{index}");
        let answer = self.wires.rest("DELETE", &path, None)?;
        self.expect("drop an index", if there { Fate::Taken } else { Fate::Refused }, &answer)?;
        self.check_schema()
    }

    fn tune(&mut self, collection: &str, ef: i64, quantizer: &str) -> Result<(), Finding> {
        let Some(class) = self.world.classes.get(collection) else { return Ok(()) };
        let path = format!("/v1/schema/{collection}");
        let (status, mut schema) = self.wires.rest("GET", &path, None)?;
        if status != 200 {
            return Err(format!("GET {path}: {status}"));
        }
        for (name, space) in &class.schema.vectors {
            if space.index != "hnsw" {
                continue;
            }
            let part = if name == UNNAMED { &mut schema } else { &mut schema["vectorConfig"][name] };
            let config = &mut part["vectorIndexConfig"];
            config["ef"] = ef.into();
            let quantized = ["rq", "bq", "sq"].iter().any(|name| config[name]["enabled"] == Value::Bool(true));
            if quantizer != "none" && !quantized && matches!(space.metric.as_str(), "cosine" | "dot" | "l2-squared") {
                config[quantizer]["enabled"] = true.into();
            }
        }
        let answer = self.wires.rest("PUT", &path, Some(&schema))?;
        self.expect("tune", Fate::Taken, &answer)?;
        self.check_schema()
    }

    fn write(&mut self, how: Write, item: &Item) -> Result<(), Finding> {
        let (collection, id, object) = item;
        let before = self.world.clone();
        let fate = self.world.write(&before, how, collection, *id, object);
        let body = object.json(collection, *id);
        let one = format!("/v1/objects/{collection}/{id}");
        let (method, path) = match how {
            Write::Put => ("PUT", one.as_str()),
            Write::Patch => ("PATCH", one.as_str()),
            Write::Post | Write::Upsert => ("POST", "/v1/objects"),
        };
        let answer = self.wires.rest(method, path, Some(&body))?;
        self.expect(&format!("{method} {path} {body}"), fate, &answer)?;
        self.check_object(collection, *id)?;
        if fate == Fate::Refused || object.properties.keys().any(|name| name.starts_with('q')) {
            self.check_schema()?;
        }
        Ok(())
    }

    fn delete(&mut self, collection: &str, id: Uuid) -> Result<(), Finding> {
        let there = self.world.classes.get_mut(collection).map(|class| class.objects.remove(&id));
        let answer = self.wires.rest("DELETE", &format!("/v1/objects/{collection}/{id}"), None)?;
        self.expect("delete", if there.is_some() { Fate::Taken } else { Fate::Refused }, &answer)?;
        self.check_object(collection, id)
    }

    fn batch(&mut self, wire: Wire, items: &[Item]) -> Result<(), Finding> {
        let before = self.world.clone();
        let fates: Vec<Fate> = items
            .iter()
            .map(|(collection, id, object)| self.world.write(&before, Write::Upsert, collection, *id, object))
            .collect();
        let refused: Vec<Option<String>> = match wire {
            Wire::Grpc => self.grpc_batch(&before, items)?,
            Wire::Rest | Wire::Graphql => self.rest_batch(items)?,
        };
        for (at, (fate, refused)) in fates.iter().zip(&refused).enumerate() {
            match (fate, refused) {
                (Fate::Taken, Some(why)) => return Err(format!("batch: item {at} refused: {why}: {:?}", items[at])),
                (Fate::Refused, None) => return Err(format!("batch: item {at} must be refused: {:?}", items[at])),
                _ => {}
            }
        }
        for (collection, id, _) in items.iter().rev().take(3) {
            self.check_object(collection, *id)?;
        }
        self.check_schema()
    }

    /// For each object why it was refused.
    fn rest_batch(&self, items: &[Item]) -> Result<Vec<Option<String>>, Finding> {
        let objects: Vec<Value> = items.iter().map(|(collection, id, object)| object.json(collection, *id)).collect();
        let (status, answer) = self.wires.rest("POST", "/v1/batch/objects", Some(&json!({ "objects": objects })))?;
        let Some(answers) = answer.as_array().filter(|answers| status == 200 && answers.len() == items.len()) else {
            return Err(format!("batch of {}: {status} {answer}", items.len()));
        };
        let refused = |answer: &Value| {
            let result = &answer["result"];
            (result["status"] != "SUCCESS").then(|| result["errors"].to_string())
        };
        Ok(answers.iter().map(refused).collect())
    }

    fn grpc_batch(&self, before: &World, items: &[Item]) -> Result<Vec<Option<String>>, Finding> {
        let schema = |collection: &String| before.classes.get(collection).map(|class| &class.schema);
        let objects = items.iter().map(|item| batch_object(schema(&item.0), item)).collect();
        let request = pb::BatchObjectsRequest { objects, ..Default::default() };
        let reply = self.wires.batch_objects(request).map_err(|status| format!("batch over gRPC: {status:?}"))?;
        let mut refused = vec![None; items.len()];
        for error in reply.errors {
            match usize::try_from(error.index).ok().and_then(|index| refused.get_mut(index)) {
                Some(slot) => *slot = Some(error.error),
                None => return Err(format!("batch over gRPC: an error for item {}", error.index)),
            }
        }
        Ok(refused)
    }

    fn refer(
        &mut self,
        method: &str,
        collection: &str,
        id: Uuid,
        name: &str,
        targets: &[Value],
    ) -> Result<(), Finding> {
        let exists = |(collection, id): &(String, Uuid)| self.world.object(collection, *id).is_some();
        // References that are removed may lead to objects that do not exist.
        let targets_exist = method == "DELETE" || beacons(Some(&targets.into())).iter().all(exists);
        let property = self.world.classes.get(collection).and_then(|class| class.schema.properties.get(name));
        let reference = property.is_some_and(|property| matches!(property.kind, Kind::Reference(_)));
        let object = self.world.classes.get_mut(collection).and_then(|class| class.objects.get_mut(&id));
        let fate = match object {
            Some(object) if targets_exist && reference => {
                let list = object.properties.entry(name.to_owned()).or_insert_with(|| json!([]));
                let list = list.as_array_mut().ok_or("a reference is a list")?;
                match method {
                    "POST" => list.extend(targets.iter().cloned()),
                    "PUT" => *list = targets.to_vec(),
                    // Every occurrence.
                    _ => list.retain(|target| Some(target) != targets.first()),
                }
                Fate::Taken
            }
            _ => Fate::Refused,
        };
        let path = format!("/v1/objects/{collection}/{id}/references/{name}");
        let body = if method == "PUT" { Value::from(targets) } else { targets.first().cloned().unwrap_or_default() };
        let answer = self.wires.rest(method, &path, Some(&body))?;
        self.expect(&format!("{method} {path} {body}"), fate, &answer)?;
        self.check_object(collection, id)
    }

    fn batch_refer(&mut self, collection: &str, id: Uuid, name: &str, targets: &[Value]) -> Result<(), Finding> {
        if targets.is_empty() {
            return Ok(());
        }
        let property = self.world.classes.get(collection).and_then(|class| class.schema.properties.get(name));
        let reference = property.is_some_and(|property| matches!(property.kind, Kind::Reference(_)));
        // The targets need not exist, but their collections must.
        let class_exists = |target: &Value| {
            let beacons = beacons(Some(&json!([target])));
            !beacons.is_empty() && beacons.iter().all(|(collection, _)| self.world.classes.contains_key(collection))
        };
        let mut fates: Vec<bool> = targets.iter().map(class_exists).collect();
        let object = self.world.classes.get_mut(collection).and_then(|class| class.objects.get_mut(&id));
        match object {
            Some(object) if reference => {
                let taken = targets.iter().zip(&fates).filter(|(_, taken)| **taken).map(|(target, _)| target.clone());
                let list = object.properties.entry(name.to_owned()).or_insert_with(|| json!([]));
                list.as_array_mut().ok_or("a reference is a list")?.extend(taken);
            }
            _ => fates.fill(false),
        }
        let from = format!("weaviate://localhost/{collection}/{id}/{name}");
        let body: Vec<Value> = targets.iter().map(|to| json!({ "from": from, "to": to["beacon"] })).collect();
        let (status, answer) = self.wires.rest("POST", "/v1/batch/references", Some(&body.into()))?;
        let results: Vec<bool> = answer
            .as_array()
            .map(|answers| answers.iter().map(|answer| answer["result"]["status"] == "SUCCESS").collect())
            .unwrap_or_default();
        // A request that is refused as a whole writes no reference.
        let as_expected = if results.is_empty() { !fates.contains(&true) } else { results == fates };
        if !as_expected {
            return Err(format!("batch of references from {from}, {fates:?}: {status} {answer}"));
        }
        self.check_object(collection, id)
    }

    fn delete_by(&mut self, wire: Wire, collection: &str, filter: &Filter, dry: bool) -> Result<(), Finding> {
        let found = self.world.find(collection, Some(filter));
        let what = format!("delete by filter over {wire:?} in {collection}: {filter:?}");
        let outcome = match wire {
            Wire::Grpc => {
                let request = pb::BatchDeleteRequest {
                    collection: collection.to_owned(),
                    filters: Some(filter.proto()),
                    dry_run: dry,
                    ..Default::default()
                };
                match self.wires.batch_delete(request) {
                    Ok(reply) => Ok((reply.matches, reply.failed)),
                    Err(status) => Err(acceptable(&status).ok_or_else(|| format!("{what}: {status:?}"))?),
                }
            }
            Wire::Rest | Wire::Graphql => {
                let body = json!({ "match": { "class": collection, "where": filter.json(true) }, "dryRun": dry });
                match self.wires.rest("DELETE", "/v1/batch/objects", Some(&body))? {
                    (200, answer) => {
                        let number = |name: &str| answer["results"][name].as_i64().unwrap_or(-1);
                        Ok((number("matches"), number("failed")))
                    }
                    (status, answer) => Err(format!("{status} {answer}")),
                }
            }
        };
        match (found, outcome) {
            (Ok(ids), Ok((matches, failed))) if (matches, failed) == (ids.len() as i64, 0) => {
                if !dry && let Some(class) = self.world.classes.get_mut(collection) {
                    ids.iter().for_each(|id| drop(class.objects.remove(id)));
                }
                self.check_count(Wire::Grpc, collection, None)
            }
            (Err(_), Err(_)) => Ok(()),
            (found, outcome) => Err(format!("{what}: the model finds {found:?}, the server answers {outcome:?}")),
        }
    }

    fn restart(&mut self, kill: bool) -> Result<(), Finding> {
        self.noise_here(false);
        if kill {
            self.server.kill();
        } else {
            let status = self.server.terminate();
            if !status.success() {
                return Err(format!("an orderly end: {status}"));
            }
        }
        self.server.try_start_again()?;
        self.noise_here(true);
        self.wires = Wires::new(&self.server);
        self.check_all()
    }
}

/// The text of a refusal; `None` for codes that mean a fault of the server.
pub(super) fn acceptable(status: &tonic::Status) -> Option<String> {
    let fault = matches!(
        status.code(),
        tonic::Code::Internal | tonic::Code::Unavailable | tonic::Code::DataLoss | tonic::Code::Cancelled
    );
    (!fault).then(|| status.message().to_owned())
}

fn kind(step: &Step) -> &'static str {
    match step {
        Step::Create(_) | Step::Drop(_) => "collections",
        Step::AddProperty(..) | Step::DropIndex(..) | Step::Tune(..) => "schema changes",
        Step::Write(..) | Step::Delete(..) => "single writes",
        Step::Batch(..) => "batches",
        Step::Refer(..) | Step::BatchRefer(..) => "references",
        Step::DeleteBy(..) => "deletions by filter",
        Step::Get(..) | Step::List(..) | Step::Walk(..) => "reads and lists",
        Step::Find(..) | Step::Count(..) => "filters",
        Step::Near(..) | Step::NearMany(..) | Step::Grouped(..) => "vector searches",
        Step::Sorted(..) => "sorts",
        Step::Restart(_) => "restarts",
        Step::CheckAll => "full comparisons",
    }
}

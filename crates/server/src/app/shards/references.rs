//! Objects that references lead to, read level by level: one request to each shard for all objects of a level.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use azimuth_engine::object::{Beacon, Object, Value};
use azimuth_engine::query::{Hit, Include};
use azimuth_engine::schema::{Collection, ShardTable};
use azimuth_engine::{Error, interrupt};
use uuid::Uuid;

use super::{RouteError, ShardTarget, Shards};
use crate::request_memory;

/// A reference property whose targets are read with the objects that have it.
#[derive(Debug, Clone)]
pub(crate) struct Follow {
    /// The property.
    pub(crate) property: String,
    /// The collections that are followed into, in the order in which a beacon without a collection is looked for.
    pub(crate) targets: Vec<FollowTarget>,
}

/// A collection that a reference is followed into.
#[derive(Debug, Clone)]
pub(crate) struct FollowTarget {
    /// The collection.
    pub(crate) collection: Arc<Collection>,
    /// Its shards.
    pub(crate) shards: ShardTable,
    /// Tenant of the object that refers; empty for none.
    pub(crate) tenant: String,
    /// The parts of the targets that are read.
    pub(crate) include: Include,
    /// References of the targets that are followed.
    pub(crate) follow: Vec<Follow>,
}

/// A hit with the objects that its references lead to.
#[derive(Debug)]
pub(crate) struct HitTree {
    /// The hit.
    pub(crate) hit: Hit,
    /// One list for each [`Follow`], in order.
    pub(crate) references: Vec<Vec<Followed>>,
}

/// An object with the objects that its references lead to.
#[derive(Debug)]
pub(crate) struct ObjectTree {
    /// The object.
    pub(crate) object: Object,
    /// One list for each [`Follow`], in order.
    pub(crate) references: Vec<Vec<Followed>>,
}

/// The object at the end of a reference; references to missing objects have none.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    /// Position of its collection among the [targets](Follow::targets).
    pub(crate) target: usize,
    /// The object, which other references may share.
    pub(crate) tree: Arc<ObjectTree>,
}

/// Why the objects behind references could not be read.
#[derive(Debug)]
pub(crate) enum FollowError {
    /// The collection that they are in has tenants, and the tenant of the object that refers cannot be used there.
    Tenant(RouteError),
    /// A read failed.
    Read(Error),
}

impl From<Error> for FollowError {
    fn from(error: Error) -> Self {
        Self::Read(error)
    }
}

/// Targets that were read, by position of their collection and id.
type Found = HashMap<(usize, Uuid), Arc<ObjectTree>>;

impl Shards<'_> {
    /// The hits with the objects that these references lead to.
    ///
    /// # Errors
    /// [`FollowError`]
    pub(crate) fn with_references(self, hits: Vec<Hit>, follow: &[Follow]) -> Result<Vec<HitTree>, FollowError> {
        let objects: Vec<&Object> = hits.iter().map(|hit| &hit.object).collect();
        let references = self.references(&objects, follow)?;
        Ok(hits.into_iter().zip(references).map(|(hit, references)| HitTree { hit, references }).collect())
    }

    /// For each object one list for each reference.
    fn references(self, objects: &[&Object], follow: &[Follow]) -> Result<Vec<Vec<Vec<Followed>>>, FollowError> {
        let mut lists: Vec<Vec<Vec<Followed>>> = objects.iter().map(|_| Vec::with_capacity(follow.len())).collect();
        for reference in follow {
            let beacons: Vec<&[Beacon]> =
                objects.iter().map(|object| beacons_of(object, &reference.property)).collect();
            let found = self.targets(&beacons, &reference.targets)?;
            for (list, beacons) in lists.iter_mut().zip(beacons) {
                interrupt::check()?;
                request_memory::charge(beacons.len() * size_of::<Followed>()).map_err(Error::from)?;
                list.push(beacons.iter().filter_map(|beacon| lookup(&found, beacon, &reference.targets)).collect());
            }
        }
        Ok(lists)
    }

    /// The objects that the beacons lead to, each read once.
    fn targets(self, beacons: &[&[Beacon]], targets: &[FollowTarget]) -> Result<Found, FollowError> {
        let mut found = Found::new();
        for (position, target) in targets.iter().enumerate() {
            let mut wanted = BTreeSet::new();
            for beacon in beacons.iter().copied().flatten().filter(|beacon| leads_to(beacon, target)) {
                if lookup(&found, beacon, &targets[..position]).is_none() {
                    wanted.insert(beacon.id);
                }
            }
            if wanted.is_empty() {
                continue;
            }
            let shards = ShardTarget::behind(target.collection.clone(), &target.shards, &target.tenant)
                .map_err(FollowError::Tenant)?;
            let wanted: Vec<_> = wanted.into_iter().map(|id| (shards.of(id), id)).collect();
            let objects: Vec<Object> = self.get_each(&wanted, &target.include)?.into_iter().flatten().collect();
            let references = self.references(&objects.iter().collect::<Vec<_>>(), &target.follow)?;
            for (object, references) in objects.into_iter().zip(references) {
                found.insert((position, object.id), Arc::new(ObjectTree { object, references }));
            }
        }
        Ok(found)
    }
}

fn beacons_of<'o>(object: &'o Object, property: &str) -> &'o [Beacon] {
    match object.properties.get(property) {
        Some(Value::References(beacons)) => beacons,
        _ => &[],
    }
}

/// Whether a beacon can lead to an object of the collection.
fn leads_to(beacon: &Beacon, target: &FollowTarget) -> bool {
    beacon.collection.as_ref().is_none_or(|name| *name == target.collection.name)
}

/// The object of the first collection that has it.
fn lookup(found: &Found, beacon: &Beacon, targets: &[FollowTarget]) -> Option<Followed> {
    let able = targets.iter().enumerate().filter(|(_, target)| leads_to(beacon, target));
    let mut trees = able.filter_map(|(target, _)| Some((target, found.get(&(target, beacon.id))?)));
    trees.next().map(|(target, tree)| Followed { target, tree: tree.clone() })
}

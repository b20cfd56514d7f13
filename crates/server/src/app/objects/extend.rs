//! The schema follows the objects: collections, properties and tenants that drafts name come into being, if the drafts
//! are accepted.
//!
//! A [`Plan`] takes drafts one after another, each against the schema as the accepted ones before it need it.
//! Conditions that do not follow from the schema alone (whether targets of references exist, whether an id is taken,
//! which dimension vectors have) are looked up, and the drafts that fail are left out of the plan that is carried out.
//! That plan is made anew from the state that it replaces, under the lock of the collection.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use azimuth_engine::ids::{CollectionId, ShardKey, VectorId};
use azimuth_engine::meta::Catalog;
use azimuth_engine::object::Properties;
use azimuth_engine::schema::{Collection, ShardTable};
use azimuth_engine::weight;
use uuid::Uuid;

use super::auto_schema::{self, Extension};
use super::error::ExtensionError;
use super::existence::{self, Target};
use super::prepare::{Purpose, check, dangling};
use super::shard::Opening;
use super::{Draft, ObjectError, shard, vectors};
use crate::app::shards::Shards;
use crate::app::tenants::new_shard;
use crate::app::{App, AppError, AppResult, Change, Permitted};

/// How often a plan is made anew without the drafts that a lookup refused.
const ROUNDS_MAX: usize = 4;

/// Why drafts are refused, by their position; `None` for those that are not.
pub(super) type Refused = Vec<Option<ObjectError>>;

/// Extends the schema by the properties and tenants that the accepted ones of `drafts` need. The answer has for each
/// draft the reason why it is refused, as far as the draft was checked.
///
/// # Errors
/// The errors of a change of the schema; a draft's own error is part of the answer.
pub(super) async fn extend(app: &App, drafts: &[Permitted<Draft>], purpose: Purpose) -> AppResult<Refused> {
    let mut refused: Refused =
        drafts.iter().map(|draft| draft.unreadable.clone().map(ObjectError::Unreadable)).collect();
    let catalog = app.catalog()?;
    let mut by_collection: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate().filter(|(index, _)| refused[*index].is_none()) {
        by_collection.entry(&draft.collection).or_default().push(index);
    }
    for (name, indexes) in by_collection {
        let there = catalog.find(name);
        let lacking = |&index: &usize| lacks(app, &catalog, there, &drafts[index], purpose);
        if indexes.iter().any(lacking) {
            let request = Request { app, name, drafts, indexes, purpose };
            request.extend(&mut refused).await?;
        }
    }
    Ok(refused)
}

/// Whether the schema does not fit a draft as it is.
fn lacks(app: &App, catalog: &Catalog, there: Option<&Arc<Collection>>, draft: &Draft, purpose: Purpose) -> bool {
    match there {
        None => purpose.creates() && app.settings.autoschema_enabled && !draft.collection.is_empty(),
        Some(there) => {
            let (tenant, shards) = (draft.tenant.as_deref(), catalog.shards(there.id));
            (app.settings.autoschema_enabled && !auto_schema::knows_all(there, &draft.properties))
                || tenant.is_some_and(|tenant| shard::opening(there, shards, tenant, purpose.creates()).is_some())
        }
    }
}

/// The drafts of one collection.
struct Request<'a> {
    app: &'a App,
    name: &'a str,
    drafts: &'a [Permitted<Draft>],
    indexes: Vec<usize>,
    purpose: Purpose,
}

/// The collection as the accepted drafts need it.
struct Plan {
    collection: Collection,
    /// Whether it is new.
    created: bool,
    /// Whether the collection is new or differs from the existing one.
    changed: bool,
    /// Tenants that are created or activated.
    opened: BTreeMap<String, Opening>,
    accepted: Vec<Accepted>,
}

/// A draft that fits the schema of the plan.
struct Accepted {
    index: usize,
    /// The shard of the draft; `None` when the shard does not exist yet, or is inactive.
    at: Option<ShardKey>,
    tenant: Option<String>,
    references: Vec<(String, Target)>,
    dimensions: BTreeMap<VectorId, usize>,
    /// Its properties, if they may exceed the limits of indexing.
    heavy: Option<Properties>,
}

impl Request<'_> {
    async fn extend(&self, refused: &mut Refused) -> AppResult<()> {
        for _ in 0..ROUNDS_MAX {
            let catalog = self.app.catalog()?;
            let there = catalog.find(self.name);
            if let Some(there) = there {
                // Stored data can be looked up only after the data group knows the collection.
                self.app.published(there, None).await?;
            }
            let Some(plan) = self.plan(&catalog, there, refused) else { return Ok(()) };
            if !plan.changed && plan.opened.is_empty() {
                return Ok(());
            }
            if !self.look_up(plan, refused).await? {
                break;
            }
        }
        let brings_vectors = |&index: &usize| refused[index].is_none() && self.drafts[index].vectors.are_given();
        if self.indexes.iter().any(brings_vectors) {
            self.app.check_index_memory()?;
        }
        let mut opened = BTreeMap::new();
        let change = |catalog: &Catalog, there: Option<&Arc<Collection>>| {
            let plan = self.plan(catalog, there, refused);
            opened = plan.as_ref().map(|plan| plan.opened.clone()).unwrap_or_default();
            Ok::<_, AppError>(match plan {
                Some(plan) if plan.created => Change::Create(plan.collection),
                Some(plan) if plan.changed => Change::Update(plan.collection),
                _ => Change::Nothing,
            })
        };
        match self.app.alter(self.name, change).await {
            Err(AppError::Limit(why)) => {
                // A limit of collections: drafts that need no change of the schema are written all the same.
                let catalog = self.app.catalog()?;
                let there = catalog.find(self.name);
                let lacks = |index: usize| lacks(self.app, &catalog, there, &self.drafts[index], self.purpose);
                for &index in self.indexes.iter().filter(|&&index| lacks(index)) {
                    refused[index].get_or_insert(ObjectError::Invalid(why.clone()));
                }
                Ok(())
            }
            Err(limit @ AppError::UsageLimit { .. }) => {
                for &index in &self.indexes {
                    refused[index].get_or_insert(ObjectError::UsageLimit(limit.clone()));
                }
                Ok(())
            }
            Err(error) => Err(error),
            Ok(None) => Ok(()),
            Ok(Some(collection)) => self.open(collection.id, opened, refused).await,
        }
    }

    /// Creates and activates tenants. Drafts whose tenant exceeds a limit are refused.
    async fn open(
        &self,
        collection: CollectionId,
        opened: BTreeMap<String, Opening>,
        refused: &mut Refused,
    ) -> AppResult<()> {
        let of = |opening| opened.iter().filter(move |(_, of)| **of == opening).map(|(tenant, _)| tenant);
        let activated: Vec<_> = of(Opening::Activate).map(|tenant| shard::activation(tenant)).collect();
        if !activated.is_empty() {
            self.app.update_shards(collection, activated).await?;
        }
        let created: Vec<_> = of(Opening::Create).cloned().map(new_shard).collect();
        if created.is_empty() {
            return Ok(());
        }
        match self.app.create_shards(collection, created).await {
            Err(AppError::Limit(why)) => {
                let catalog = self.app.catalog()?;
                let lacks = |tenant: &String| catalog.shards(collection).get(tenant).is_none();
                for &index in &self.indexes {
                    if self.drafts[index].tenant.as_ref().is_some_and(lacks) {
                        refused[index].get_or_insert(ObjectError::Invalid(why.clone()));
                    }
                }
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Plans for all drafts that are not refused yet; `None` when there is nothing to plan for.
    fn plan(&self, catalog: &Catalog, there: Option<&Arc<Collection>>, refused: &mut Refused) -> Option<Plan> {
        let indexes = || self.indexes.iter().copied();
        if indexes().all(|index| refused[index].is_some()) {
            return None;
        }
        let collection = match there {
            Some(there) => Collection::clone(there),
            None if !self.purpose.creates() || !self.app.settings.autoschema_enabled => return None,
            None => match auto_schema::new_collection(&self.app.settings, self.app.conventions, catalog, self.name) {
                Ok(collection) => collection,
                Err(error) => {
                    indexes().for_each(|index| {
                        refused[index].get_or_insert(ExtensionError::from(error.clone()).into());
                    });
                    return None;
                }
            },
        };
        let created = there.is_none();
        let accepted = Vec::with_capacity(self.indexes.len());
        let mut plan = Plan { collection, created, changed: created, opened: BTreeMap::new(), accepted };
        for index in indexes() {
            if refused[index].is_none() {
                refused[index] = self.accept(catalog, &mut plan, index).err();
            }
        }
        // A collection that no draft is written to is not needed.
        (!plan.accepted.is_empty()).then_some(plan)
    }

    /// Takes one more draft into the plan, with the schema that it needs; a refused draft changes nothing.
    fn accept(&self, catalog: &Catalog, plan: &mut Plan, index: usize) -> Result<(), ObjectError> {
        let (draft, collection) = (&self.drafts[index], &mut plan.collection);
        let extension = if self.app.settings.autoschema_enabled {
            Extension::of(&self.app.settings, self.app.conventions, collection, &draft.properties)?
        } else {
            Extension::default()
        };
        extension.check_limits(collection)?;
        let mut converted = check(catalog, collection, &extension, draft.properties.clone())?;
        let dimensions = vectors::dimensions(collection, &draft.vectors)?;
        let tenant = draft.tenant.as_deref();
        let shards = catalog.shards(collection.id);
        let opened = tenant
            .and_then(|tenant| Some((tenant, shard::opening(collection, shards, tenant, self.purpose.creates())?)));
        let at = match opened {
            Some(_) => None,
            None if plan.created => shard::named_tenant(collection, tenant).map(|_| None)?,
            None => Some(shard::route_to_write(catalog, collection, tenant, draft.id.unwrap_or_default())?),
        };
        plan.changed |= !extension.is_empty();
        extension.apply(collection);
        plan.opened.extend(opened.map(|(tenant, opening)| (tenant.to_owned(), opening)));
        let target = |beacon| Target { beacon, tenant: draft.tenant.clone() };
        let references = converted.references.into_iter().map(|(property, beacon)| (property, target(beacon)));
        let references = references.collect();
        let heavy = Some(std::mem::take(&mut converted.properties)).filter(|properties| !weight::is_light(properties));
        let tenant = draft.tenant.clone();
        plan.accepted.push(Accepted { index, at, tenant, references, dimensions, heavy });
        Ok(())
    }

    /// Refuses drafts of a plan that conflict with stored data or are too heavy. Returns whether there are any.
    async fn look_up(&self, plan: Plan, refused: &mut Refused) -> AppResult<bool> {
        let Plan { accepted, collection, .. } = plan;
        let mut wrong: Vec<(usize, ObjectError)> = Vec::new();
        let references = || accepted.iter().flat_map(|draft| draft.references.iter().map(|named| (draft.index, named)));
        let targets: Vec<Target> = references().map(|(_, (_, target))| target.clone()).collect();
        let there = existence::exist(self.app, &targets).await?;
        for ((index, (property, target)), _) in references().zip(there).filter(|(_, there)| !there) {
            wrong.push((index, dangling(self.name, property, target.beacon.id)));
        }
        let (insert, ids) = (self.purpose == Purpose::Insert, self.ids(&accepted));
        let table = self.app.catalog()?.shards(collection.id).clone();
        let stored = self.app.read(move |shards| {
            let mut wrong = Vec::new();
            let known = known_dimensions(shards, &collection, &table, &accepted)?;
            let there = if insert { stored_already(shards, &accepted, &ids)? } else { HashSet::new() };
            let mut seen: HashMap<(&str, VectorId), usize> = HashMap::new();
            for (draft, id) in accepted.iter().zip(ids) {
                let heavy = draft.heavy.as_ref().map_or(Ok(()), |properties| weight::check(&collection, properties));
                if let Err(why) = heavy {
                    wrong.push((draft.index, ObjectError::Invalid(why)));
                    continue;
                }
                if let Some(id) = id.filter(|_| there.contains(&draft.index)) {
                    wrong.push((draft.index, ObjectError::Exists(id)));
                    continue;
                }
                for (&vector, &given) in &draft.dimensions {
                    let tenant = draft.tenant.as_deref().unwrap_or_default();
                    let known = known.get(&(tenant, vector)).map(|known| *known as usize);
                    let expected = *seen.entry((tenant, vector)).or_insert(known.unwrap_or(given));
                    if expected != given {
                        let id = id.unwrap_or_default();
                        wrong.push((draft.index, ObjectError::WrongDimension { id, given, expected }));
                        break;
                    }
                }
            }
            Ok(wrong)
        });
        wrong.extend(stored.await?);
        let any = !wrong.is_empty();
        for (index, error) in wrong {
            refused[index].get_or_insert(error);
        }
        Ok(any)
    }

    fn ids(&self, accepted: &[Accepted]) -> Vec<Option<Uuid>> {
        accepted.iter().map(|draft| self.drafts[draft.index].id).collect()
    }
}

/// Positions of the drafts whose object exists.
fn stored_already(
    shards: Shards<'_>,
    accepted: &[Accepted],
    ids: &[Option<Uuid>],
) -> azimuth_engine::Result<HashSet<usize>> {
    let placed = accepted.iter().zip(ids).filter_map(|(draft, id)| Some((draft.index, (draft.at?, (*id)?))));
    let (positions, wanted): (Vec<_>, Vec<_>) = placed.unzip();
    let there = shards.exist(&wanted)?;
    Ok(positions.into_iter().zip(there).filter(|(_, there)| *there).map(|(position, _)| position).collect())
}

/// Lengths of the drafts' vectors, by tenant, as far as stored objects fixed them. All shards of a collection without tenants
/// have the same.
fn known_dimensions<'a>(
    shards: Shards<'_>,
    collection: &Collection,
    table: &ShardTable,
    accepted: &'a [Accepted],
) -> azimuth_engine::Result<HashMap<(&'a str, VectorId), u32>> {
    let mut vectors: BTreeMap<&str, (BTreeSet<ShardKey>, BTreeSet<VectorId>)> = BTreeMap::new();
    for draft in accepted.iter().filter(|draft| !draft.dimensions.is_empty()) {
        let Some(at) = draft.at else { continue };
        let (of, wanted) = vectors.entry(draft.tenant.as_deref().unwrap_or_default()).or_default();
        of.insert(at);
        wanted.extend(draft.dimensions.keys());
    }
    let mut known = HashMap::new();
    for (tenant, (mut of, vectors)) in vectors {
        if !collection.multi_tenancy.enabled {
            of.extend(table.iter_by_id().map(|shard| ShardKey { collection: collection.id, shard: shard.id }));
        }
        let (of, vectors): (Vec<_>, Vec<_>) = (of.into_iter().collect(), vectors.into_iter().collect());
        let dimensions = shards.dimensions(&of, &vectors)?;
        known.extend(dimensions.into_iter().map(|(vector, dimension)| ((tenant, vector), dimension)));
    }
    Ok(known)
}

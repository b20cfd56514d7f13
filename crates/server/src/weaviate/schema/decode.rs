//! A class of the wire as a collection.

use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{Collection, DataType, MultiTenancy, Property, Replication, Sharding};
use serde_json::{Map, Value};

use super::property::{self, Surroundings};
use super::{defaults, invalid, inverted, modules, refused_name, ttl, vectors};
use crate::app::AppResult;
use crate::app::schema::{check_count, names};
use crate::settings::Settings;

/// Most shards that a collection can have.
const SHARDS_MAX: i64 = 1024;

/// Makes a collection of a class that `models.Class` was checked against.
///
/// # Errors
/// [`crate::app::AppError::Invalid`], with the texts of Weaviate.
pub(crate) fn decode_class(settings: &Settings, catalog: &Catalog, class: &Value) -> AppResult<Collection> {
    let name = names::upper_first(class.get("class").and_then(Value::as_str).unwrap_or_default());
    names::check_new_class(&name).map_err(refused_name)?;
    check_count(catalog, settings.collections_max)?;
    names::check_unused(catalog, &name).map_err(refused_name)?;
    let mut collection = defaults::new_collection(settings, &name);
    collection.description = description(class);
    collection.module_config = class.get("moduleConfig").filter(|config| !config.is_null()).map(Value::to_string);
    collection.multi_tenancy = multi_tenancy(class.get("multiTenancyConfig"))?;
    place(&mut collection, class)?;
    collection.replication = replication(class.get("replicationConfig"), true);
    let mut inverted = inverted::decode(class.get("invertedIndexConfig"))?;
    collection.vectors = vectors::decode(settings, class)?;
    let around = Surroundings { class_exists: &|_| true, presets: inverted.stopword_presets.as_ref() };
    collection.properties = properties(&name, class, &around)?;
    check_targets(&collection, |target| target == name || catalog.find(target).is_some())?;
    collection.object_ttl = ttl::decode(settings, class.get("objectTtlConfig"), collection.properties())?;
    inverted.index_timestamps |=
        collection.object_ttl.as_ref().is_some_and(|ttl| ttl.enabled && ttl::on_timestamp(ttl));
    collection.inverted = inverted;
    modules::complete(&mut collection);
    if collection.replication.factor > 1 {
        return Err(invalid(format!(
            "init sharding state: could not find enough weaviate nodes for replication: 1 available, {} requested",
            collection.replication.factor
        )));
    }
    Ok(collection)
}

/// Reads a property that is to be added to a collection.
///
/// # Errors
/// [`crate::app::AppError::Invalid`]
pub(crate) fn decode_new_property(catalog: &Catalog, collection: &Collection, value: &Value) -> AppResult<Property> {
    let given = names::lower_first(value.get("name").and_then(Value::as_str).unwrap_or_default());
    if given.is_empty() {
        return Err(invalid("property must contain name"));
    }
    if value.get("dataType").is_none() {
        return Err(invalid("property must contain dataType"));
    }
    names::check_property(&given).map_err(refused_name)?;
    names::check_count(collection.properties().len() + 1).map_err(refused_name)?;
    check_unique(&collection.name, &given, collection.properties())?;
    let exists = |target: &str| catalog.find(target).is_some();
    let presets = collection.inverted.stopword_presets.as_ref();
    let mut property = property::decode(value, &Surroundings { class_exists: &exists, presets })?;
    modules::complete_property(collection, &mut property);
    Ok(property)
}

/// The description; an empty one is none.
pub(super) fn description(class: &Value) -> Option<String> {
    class.get("description").and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn check_unique(class: &str, name: &str, others: &[Property]) -> AppResult<()> {
    if others.iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
        return Err(invalid(format!(
            "class \"{class}\": conflict for property \"{name}\": already in use or provided multiple times"
        )));
    }
    Ok(())
}

fn properties(class_name: &str, class: &Value, around: &Surroundings<'_>) -> AppResult<Option<Vec<Property>>> {
    let Some(list) = class.get("properties").and_then(Value::as_array) else { return Ok(None) };
    names::check_count(list.len()).map_err(refused_name)?;
    let mut properties = Vec::with_capacity(list.len());
    for (at, value) in list.iter().enumerate() {
        if value.is_null() {
            return Err(invalid(format!("properties.{at}: a property must not be null")));
        }
        let name = names::lower_first(value.get("name").and_then(Value::as_str).unwrap_or_default());
        names::check_property(&name).map_err(refused_name)?;
        check_unique(class_name, &name, &properties)?;
        properties.push(property::decode(value, around)?);
    }
    Ok(Some(properties))
}

/// Refuses references to collections that are not there, after everything else was found right.
fn check_targets(collection: &Collection, exists: impl Fn(&str) -> bool) -> AppResult<()> {
    for property in collection.properties() {
        match &property.data_type {
            DataType::Reference(targets) if !targets.iter().all(|target| exists(target)) => {
                return Err(invalid("bad request: reference property to nonexistent class"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads `multiTenancyConfig`.
pub(super) fn multi_tenancy(given: Option<&Value>) -> AppResult<MultiTenancy> {
    let flag = |name: &str| given.and_then(|given| given.get(name)).and_then(Value::as_bool).unwrap_or_default();
    let config = MultiTenancy {
        enabled: flag("enabled"),
        auto_creation: flag("autoTenantCreation"),
        auto_activation: flag("autoTenantActivation"),
        left_out: false,
    };
    for (on, name) in [(config.auto_creation, "autoTenantCreation"), (config.auto_activation, "autoTenantActivation")] {
        if on && !config.enabled {
            return Err(invalid(format!("can't enable {name} on a non-multi-tenant class")));
        }
    }
    Ok(config)
}

/// Reads how many shards a new collection gets.
fn place(collection: &mut Collection, class: &Value) -> AppResult<()> {
    let given = class.get("shardingConfig").filter(|given| !given.is_null());
    if collection.multi_tenancy.enabled {
        if given.is_some() {
            return Err(invalid("cannot have both shardingConfig and multiTenancyConfig"));
        }
        collection.sharding = Sharding::default();
        return Ok(());
    }
    collection.sharding = sharding(given)?;
    let count = collection.sharding.desired_count;
    if !(1..=SHARDS_MAX).contains(&count) {
        return Err(invalid(format!(
            "parse sharding config: sharding config: desiredCount must be between 1 and {SHARDS_MAX}, got: {count}"
        )));
    }
    Ok(())
}

/// Reads `shardingConfig`; the number of shards is checked by the caller.
pub(super) fn sharding(given: Option<&Value>) -> AppResult<Sharding> {
    let empty = Map::new();
    let refuse = |text: String| Err(invalid(format!("parse sharding config: {text}")));
    let map = match given {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(map)) => map,
        Some(Value::Array(_)) => return refuse("input []interface {}-false must be a non-nil".to_owned()),
        Some(Value::String(_)) => return refuse("input string-false must be a non-nil".to_owned()),
        Some(Value::Bool(_)) => return refuse("input bool-false must be a non-nil".to_owned()),
        Some(Value::Number(_)) => return refuse("input json.Number-false must be a non-nil".to_owned()),
    };
    let number = |name: &str, default: i64| map.get(name).and_then(Value::as_i64).unwrap_or(default);
    let mut sharding = defaults::new_sharding(number("desiredCount", 1));
    if sharding.desired_count < 0 {
        return refuse(format!("sharding config: desiredCount must not be negative, got: {}", sharding.desired_count));
    }
    sharding.virtual_per_physical = number("virtualPerPhysical", defaults::VIRTUAL_PER_PHYSICAL);
    sharding.desired_virtual_count = sharding.virtual_per_physical.saturating_mul(sharding.desired_count);
    sharding.actual_virtual_count = sharding.desired_virtual_count;
    for (name, wanted, kind) in
        [("key", "_id", "on key"), ("strategy", "hash", "with strategy"), ("function", "murmur3", "with function")]
    {
        match map.get(name).and_then(Value::as_str) {
            Some(other) if other != wanted => {
                return refuse(format!("sharding only supported {kind} '{wanted}' for now, got: {other}"));
            }
            _ => {}
        }
    }
    Ok(sharding)
}

/// Reads `replicationConfig`. A new collection has a deletion strategy also when none is given.
pub(super) fn replication(given: Option<&Value>, new: bool) -> Replication {
    let field = |name: &str| given.and_then(|given| given.get(name));
    let strategy = field("deletionStrategy").and_then(Value::as_str).filter(|text| !text.is_empty());
    Replication {
        factor: field("factor").and_then(Value::as_i64).unwrap_or(1).max(1),
        deletion_strategy: strategy.or(new.then_some("TimeBasedResolution")).map(str::to_owned),
        async_config: field("asyncConfig").filter(|config| !config.is_null()).map(Value::to_string),
    }
}

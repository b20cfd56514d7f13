//! `objectTtlConfig` as the wire gives it.

use azimuth_engine::schema::{DataType, ObjectTtl, Primitive, Property};
use serde_json::Value;

use super::{invalid, property};
use crate::app::{AppError, AppResult};
use crate::settings::Settings;

/// Shortest time to live after a time stamp.
const TTL_S_MIN: i64 = 60;

/// Reads the block and checks it against the properties.
pub(super) fn decode(
    settings: &Settings,
    given: Option<&Value>,
    properties: &[Property],
) -> AppResult<Option<ObjectTtl>> {
    let Some(given) = given.filter(|given| given.is_object()) else { return Ok(None) };
    let flag = |name: &str| given.get(name).and_then(Value::as_bool).unwrap_or_default();
    let ttl = ObjectTtl {
        enabled: flag("enabled"),
        default_ttl_s: given.get("defaultTtl").and_then(Value::as_i64).unwrap_or_default(),
        delete_on: given.get("deleteOn").and_then(Value::as_str).unwrap_or_default().trim().to_owned(),
        filter_expired: flag("filterExpiredObjects"),
    };
    if ttl.enabled {
        check(settings, &ttl, properties)?;
    }
    Ok(Some(ttl))
}

/// Whether expiry counts from a time stamp of the object.
pub(super) fn on_timestamp(ttl: &ObjectTtl) -> bool {
    matches!(ttl.delete_on.as_str(), "_creationTimeUnix" | "_lastUpdateTimeUnix")
}

fn refuse(text: &str) -> AppError {
    invalid(format!("ObjectTTLConfig: {text}"))
}

/// Refuses expiry by time stamps that are not indexed.
pub(super) fn check_timestamps(ttl: Option<&ObjectTtl>, index_timestamps: bool) -> AppResult<()> {
    match ttl {
        Some(ttl) if ttl.enabled && on_timestamp(ttl) && !index_timestamps => Err(refuse(&format!(
            "\"deleteOn\"=\"{}\" requires indexed timestamps. Enable \"invertedIndexConfig.indexTimestamps\"",
            ttl.delete_on
        ))),
        _ => Ok(()),
    }
}

fn check(settings: &Settings, ttl: &ObjectTtl, properties: &[Property]) -> AppResult<()> {
    let name = &ttl.delete_on;
    if !settings.object_ttl_enabled {
        return Err(refuse(
            "enabling objectTTL requires a running background scheduler. Set OBJECTS_TTL_DELETE_SCHEDULE to activate it",
        ));
    }
    if name.is_empty() {
        return Err(refuse(
            "missing value for \"deleteOn\". Set \"_creationTimeUnix\", \"_lastUpdateTimeUnix\" or custom property of \
             \"date\" type",
        ));
    }
    if on_timestamp(ttl) {
        return if ttl.default_ttl_s < TTL_S_MIN {
            Err(refuse(&format!(
                "defaultTtl value too small for \"deleteOn\"=\"{name}\". Required minimum \"{TTL_S_MIN}\" seconds, \
                 given \"{}\" seconds",
                ttl.default_ttl_s
            )))
        } else {
            Ok(())
        };
    }
    let Some(on) = properties.iter().find(|property| property.name == *name) else {
        return Err(refuse(&format!("property \"{name}\" set as \"deleteOn\" not found among collection properties")));
    };
    if on.data_type != DataType::one(Primitive::Date) {
        return Err(refuse(&format!(
            "property \"{name}\" set as \"deleteOn\" should have \"date\" data type, \"{}\" given",
            property::type_names(&on.data_type).join(" ")
        )));
    }
    if !on.filterable && !on.range_filterable {
        return Err(refuse(&format!(
            "property \"{name}\" set as \"deleteOn\" should have filterable or rangeable index enabled"
        )));
    }
    Ok(())
}

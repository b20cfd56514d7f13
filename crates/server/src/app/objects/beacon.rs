//! Beacons: `weaviate://localhost/Class/uuid`, the class optional.

use azimuth_engine::object::Beacon;
use uuid::Uuid;

use super::uuid_text;
use crate::app::schema::names::upper_first;

/// The target that a beacon names.
///
/// # Errors
/// Why it names none, in the wire's words.
pub(crate) fn parse(text: &str) -> Result<Beacon, String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(if text.is_empty() {
            "invalid cref URI: the beacon is empty".to_owned()
        } else {
            format!("invalid cref URI: '{text}' is no URI")
        });
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if scheme.is_empty() || host.is_empty() {
        return Err("unrecognized cross-ref ref format".to_owned());
    }
    let segments: Vec<&str> = path.split('/').collect();
    let id = |position: &str, text: &str| {
        uuid_text::parse(text)
            .ok_or_else(|| format!("invalid cref URI: {position} path segment must be uuid, but got '{text}'"))
    };
    match segments.as_slice() {
        [one] => Ok(Beacon { collection: None, id: id("1nd", one)? }),
        [class, two] => Ok(Beacon { collection: Some(upper_first(class)), id: id("2nd", two)? }),
        _ => Err(format!("invalid cref URI: path must be of format '<class>/<uuid>', but got '/{path}'")),
    }
}

/// Whether the beacon's host is this server's.
pub(crate) fn is_local(text: &str) -> bool {
    let host = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    host.is_none_or(|host| host == "localhost")
}

/// A beacon's text.
pub(crate) fn text(collection: Option<&str>, id: Uuid) -> String {
    match collection {
        Some(collection) => format!("weaviate://localhost/{collection}/{id}"),
        None => format!("weaviate://localhost/{id}"),
    }
}

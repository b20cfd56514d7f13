//! Beacons: `weaviate://localhost/Class/uuid`, the class optional.

use azimuth_engine::object::Beacon;
use uuid::Uuid;

use crate::app::objects::uuid_text;
use crate::app::schema::names::upper_first;

/// Why a text is no beacon, in the words of the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BeaconError {
    /// It is empty.
    #[error("invalid cref URI: the beacon is empty")]
    Empty,
    /// It is no URI.
    #[error("invalid cref URI: '{0}' is no URI")]
    NoUri(String),
    /// The scheme or the host is missing.
    #[error("unrecognized cross-ref ref format")]
    NoHost,
    /// A segment of the path should be a UUID.
    #[error("invalid cref URI: {position} path segment must be uuid, but got '{segment}'")]
    NoUuid {
        /// Position of the segment, with the ending of ordinal numbers.
        position: &'static str,
        /// The segment.
        segment: String,
    },
    /// The path has too many segments.
    #[error("invalid cref URI: path must be of format '<class>/<uuid>', but got '/{0}'")]
    LongPath(String),
}

/// The target that a beacon names.
///
/// # Errors
/// Why it names none.
pub(crate) fn parse(text: &str) -> Result<Beacon, BeaconError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(if text.is_empty() { BeaconError::Empty } else { BeaconError::NoUri(text.to_owned()) });
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if scheme.is_empty() || host.is_empty() {
        return Err(BeaconError::NoHost);
    }
    let segments: Vec<&str> = path.split('/').collect();
    let id = |position: &'static str, text: &str| {
        uuid_text::parse(text).ok_or_else(|| BeaconError::NoUuid { position, segment: text.to_owned() })
    };
    match segments.as_slice() {
        [one] => Ok(Beacon { collection: None, id: id("1nd", one)? }),
        [class, two] => Ok(Beacon { collection: Some(upper_first(class)), id: id("2nd", two)? }),
        _ => Err(BeaconError::LongPath(path.to_owned())),
    }
}

/// The beacon's host when it is not this server.
pub(crate) fn other_host(text: &str) -> Option<&str> {
    let host = text.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    host.filter(|host| *host != "localhost")
}

/// A beacon's text.
pub(crate) fn text(collection: Option<&str>, id: Uuid) -> String {
    match collection {
        Some(collection) => format!("weaviate://localhost/{collection}/{id}"),
        None => format!("weaviate://localhost/{id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-4000-8000-0000000000ab";

    #[test]
    fn a_beacon_is_read_and_written() {
        let check = |given: &str, collection: Option<&str>| {
            let beacon = parse(given).expect(given);
            assert_eq!((beacon.collection.as_deref(), beacon.id.to_string().as_str()), (collection, ID), "{given}");
        };
        check(&format!("weaviate://localhost/{ID}"), None);
        check(&format!("weaviate://localhost/Book/{ID}"), Some("Book"));
        check(&format!("weaviate://localhost/book/{}", ID.to_uppercase()), Some("Book"));
        check(&format!("http://localhost/Book/{ID}"), Some("Book"));
        let id = Uuid::parse_str(ID).expect("an id");
        assert_eq!(text(Some("Book"), id), format!("weaviate://localhost/Book/{ID}"));
        assert_eq!(text(None, id), format!("weaviate://localhost/{ID}"));
    }

    #[test]
    fn what_is_no_beacon_is_refused_in_its_words() {
        let check = |given: &str, want: &str| assert_eq!(parse(given).expect_err(given).to_string(), want);
        check("", "invalid cref URI: the beacon is empty");
        check("word", "invalid cref URI: 'word' is no URI");
        check("weaviate:///Book/x", "unrecognized cross-ref ref format");
        check("weaviate://localhost/x", "invalid cref URI: 1nd path segment must be uuid, but got 'x'");
        check("weaviate://localhost/Book/x", "invalid cref URI: 2nd path segment must be uuid, but got 'x'");
        let long = "invalid cref URI: path must be of format '<class>/<uuid>', but got '/a/b/c'";
        check("weaviate://localhost/a/b/c", long);
    }

    #[test]
    fn other_hosts_are_told_apart() {
        assert_eq!(other_host("weaviate://there/Book/x"), Some("there"));
        assert_eq!(other_host("weaviate://localhost/Book/x"), None);
        assert_eq!(other_host("no beacon"), None);
    }
}

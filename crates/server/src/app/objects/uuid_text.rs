//! Reads UUIDs as the wire does: hyphenated, bare, in braces, or as a URN.

use uuid::Uuid;

/// The UUID that `text` writes.
pub(crate) fn parse(text: &str) -> Option<Uuid> {
    match text.len() {
        32 | 36 | 38 => {}
        45 if text.get(..9).is_some_and(|head| head.eq_ignore_ascii_case("urn:uuid:")) => {}
        _ => return None,
    }
    Uuid::try_parse(text.get(..9).filter(|head| head.eq_ignore_ascii_case("urn:uuid:")).map_or(text, |_| &text[9..]))
        .ok()
}

//! Versioned records of the `meta` family: one version byte and a body in postcard. A change of a record's type is a new
//! version.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Version byte of a record.
const RECORD_VERSION: u8 = 1;

/// Encodes a record.
pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>> {
    postcard::to_extend(record, vec![RECORD_VERSION])
        .map_err(|error| Error::Storage(format!("encode a record: {error}")))
}

/// Decodes a record; `what` names it in an error.
pub(crate) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    let body = match bytes.split_first() {
        Some((&RECORD_VERSION, body)) => body,
        Some((found, _)) => return Err(Error::Damaged(format!("{what}: unknown version {found}"))),
        None => return Err(Error::Damaged(format!("{what}: empty"))),
    };
    match postcard::take_from_bytes(body) {
        Ok((record, [])) => Ok(record),
        Ok(_) => Err(Error::Damaged(format!("{what}: bytes left over"))),
        Err(error) => Err(Error::Damaged(format!("{what}: {error}"))),
    }
}

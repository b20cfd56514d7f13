//! Who takes part in a group, and how that is stored.
//!
//! Stored form: version (one byte, 1), then [`Stored`] in postcard. It stands in membership entries of the log, in the
//! state of a group and in manifests of snapshots.

use std::collections::{BTreeMap, BTreeSet};

use openraft::{Membership, StoredMembership};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::types::{self, StorageError};
use azimuth_engine::replica::LogPosition;

const VERSION: u8 = 1;

/// A member of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Its data directory: a node that comes back with another one has lost what it promised, and is not this member.
    pub(crate) store: Uuid,
    /// Where other nodes reach it; empty while it is alone.
    pub(crate) address: String,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// One set of voters, or two while members change.
    voters: Vec<BTreeSet<u64>>,
    /// Voters and learners.
    peers: BTreeMap<u64, Peer>,
}

/// The stored form.
pub(crate) fn encode(membership: &Membership<u64, Peer>) -> Result<Vec<u8>, StorageError> {
    let stored = Stored {
        voters: membership.get_joint_config().clone(),
        peers: membership.nodes().map(|(id, peer)| (*id, peer.clone())).collect(),
    };
    postcard::to_extend(&stored, vec![VERSION]).map_err(|error| types::state_failed(&error))
}

/// Reads the stored form.
pub(crate) fn decode(bytes: &[u8]) -> Result<Membership<u64, Peer>, StorageError> {
    let damaged = |what: String| types::state_failed(&format!("membership: {what}"));
    let (version, rest) = bytes.split_first().ok_or_else(|| damaged("empty".into()))?;
    if *version != VERSION {
        return Err(damaged(format!("format version {version}")));
    }
    let stored: Stored = postcard::from_bytes(rest).map_err(|error| damaged(error.to_string()))?;
    Ok(Membership::new(stored.voters, stored.peers))
}

/// The membership that a state machine knows.
pub(crate) fn stored(membership: Option<&(LogPosition, Vec<u8>)>) -> Result<StoredMembership<u64, Peer>, StorageError> {
    match membership {
        Some((position, bytes)) => Ok(StoredMembership::new(Some(types::log_id(*position)), decode(bytes)?)),
        None => Ok(StoredMembership::default()),
    }
}

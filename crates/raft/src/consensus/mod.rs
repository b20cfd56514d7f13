//! Raft itself: everything that sees openraft is in this module, so that its next version is a change in one place.
//!
//! To the rest of the crate a replica of a group is a [`Core`]: it takes proposals in order, answers how far reads may
//! go, and says when it died. Read next: [`types`] (what openraft is told about us), [`log_store`] and
//! [`state_machine`] (openraft's interface to storage), [`snapshot`] and [`installation`] (how one replaces a state), [`core`].

mod core;
mod hashes;
mod installation;
mod log_store;
mod manifest;
mod membership;
mod network;
mod proposal;
mod receiver;
mod snapshot;
mod state_machine;
mod types;

pub(crate) use self::core::{Core, CoreOptions, ReadRefused, SubmitRefused};
#[cfg(test)]
pub(crate) use installation::{Installation, Step};
#[cfg(test)]
pub(crate) use log_store::LogStore;
#[cfg(test)]
pub(crate) use manifest::{FileEntry, Manifest};
#[cfg(test)]
pub(crate) use membership::{Peer, decode as decode_membership, encode as encode_membership};
pub(crate) use network::NoPeers;
pub(crate) use proposal::{EncodedCommand, Proposal};
pub use receiver::{ReceivedSnapshot, SnapshotReader, SnapshotReceiver};
pub(crate) use snapshot::{Owner, SnapshotStore};

#[cfg(test)]
pub(crate) mod double;
#[cfg(test)]
pub(crate) mod fake_network;
#[cfg(test)]
mod suite_tests;

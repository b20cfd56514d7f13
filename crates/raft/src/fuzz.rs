//! Fuzz targets of the log and of the files beside it: damage is found, and never ends the process.

use std::collections::{BTreeMap, BTreeSet};

use azimuth_engine::command::Command;
use azimuth_engine::ids::{CollectionId, GroupId};
use azimuth_engine::replica::LogPosition;
use azimuth_fuzz::check;
use bytes::Bytes;
use openraft::Membership;
use uuid::Uuid;

use crate::consensus::{self, EncodedCommand, FileEntry, Manifest, Peer, Proposal};
use crate::identity::{self, Identity};
use crate::raftlog::{self, Kind, Record, Vote};
use crate::seal;

const GROUP: GroupId = GroupId(3);

#[test]
fn entries_of_the_log() {
    let record = |kind, payload: &'static [u8]| Record {
        position: LogPosition { term: 2, node: 5, index: 9 },
        kind,
        payload: Bytes::from_static(payload),
    };
    let examples = [record(Kind::Blank, b""), record(Kind::Membership, b"members"), record(Kind::Batch, b"commands")]
        .map(|record| record.encode(GROUP).expect("a record"));
    check("log-record", &examples, |bytes| {
        // A changed byte must be detected; only bytes that `encode` wrote can be read.
        if let Ok(record) = Record::decode(GROUP, 9, bytes) {
            assert_eq!(record.encode(GROUP).expect("what was read can be written"), bytes);
        }
    });
}

#[test]
fn sealed_values() {
    let vote = Vote { term: 1, node: 2, committed: true }.encode();
    let position = raftlog::encode_position(LogPosition { term: 1, node: 2, index: 3 });
    check("sealed", &[vote, position, seal::seal(b"")], |bytes| {
        if let Some(value) = seal::unseal(bytes) {
            assert_eq!(seal::seal(value), bytes);
        }
        if let Ok(vote) = Vote::decode(bytes) {
            assert_eq!(vote.encode(), bytes);
        }
        if let Ok(position) = raftlog::decode_position(bytes, "a position") {
            assert_eq!(raftlog::encode_position(position), bytes);
        }
        // A random input rarely has a valid seal, so the decoders behind the seal are also tried on sealed input.
        let sealed = seal::seal(bytes);
        let _ = (Vote::decode(&sealed), raftlog::decode_position(&sealed, "a position"));
    });
}

#[test]
fn proposals() {
    let command = EncodedCommand::new(&Command::DropCollection(CollectionId(4))).expect("a command");
    let proposal = Proposal::new(1, 2, &[command]).expect("a proposal");
    check("proposal", &[proposal.payload().to_vec()], |bytes| {
        let _ = Proposal::of_payload(Bytes::copy_from_slice(bytes)).decode();
    });
}

#[test]
fn manifests_of_snapshots() {
    let file = |name: &str, hash| FileEntry { name: name.into(), bytes: 5, hash };
    let manifest = Manifest {
        cluster: Uuid::nil(),
        store: Uuid::nil(),
        group: GROUP,
        position: Some(LogPosition { term: 2, node: 5, index: 9 }),
        membership: Some((LogPosition { term: 1, node: 5, index: 1 }, vec![1, 2])),
        files: vec![file("000007.sst", Some([3; 32])), file("CURRENT", None)],
    };
    let example = manifest.encode().expect("a manifest");
    let sealed = seal::unseal(&example).expect("sealed").to_vec();
    check("snapshot-manifest", &[example, sealed], |bytes| {
        // A random input rarely has a valid seal.
        for bytes in [bytes.to_vec(), seal::seal(bytes)] {
            if let Ok(manifest) = Manifest::decode(&bytes) {
                let again = manifest.encode().expect("what was read can be written");
                assert_eq!(Manifest::decode(&again).expect("what was written can be read"), manifest);
                assert!(manifest.files.iter().all(|file| !file.name.contains(['/', '\0'])));
            }
        }
    });
}

#[test]
fn memberships() {
    let peer = |address: &str| Peer { store: Uuid::nil(), address: address.to_owned() };
    let peers = BTreeMap::from([(1, peer("a:1")), (2, peer("b:2"))]);
    let members: Membership<u64, Peer> = Membership::new(vec![BTreeSet::from([1, 2])], peers);
    let example = consensus::encode_membership(&members).expect("members");
    check("membership", &[example], |bytes| {
        if let Ok(members) = consensus::decode_membership(bytes) {
            let again = consensus::encode_membership(&members).expect("what was read can be written");
            assert_eq!(consensus::decode_membership(&again).expect("what was written can be read"), members);
        }
    });
}

#[test]
fn node_files() {
    let identity = Identity {
        node_id: 5,
        store_uuid: Uuid::nil(),
        cluster_id: Uuid::nil(),
        format_version: crate::FORMAT_VERSION,
    };
    check("node-file", &[identity::format(&identity).into_bytes()], |bytes| {
        if let Ok(text) = std::str::from_utf8(bytes)
            && let Ok(identity) = identity::parse(text)
        {
            assert_eq!(identity::format(&identity), text);
        }
    });
}

//! Builds, swaps, starts and transfers of snapshots, on the state machine double.

use azimuth_engine::replica::{Entry, EntryBody, LogPosition};

use super::*;
use crate::consensus::double::Double;

const OWNER: Owner = Owner { cluster: Uuid::from_u128(2), store: Uuid::from_u128(3), group: GroupId(3) };

fn apply(state: &Double, index: u64) {
    let position = LogPosition { term: 1, node: 1, index };
    state.apply(vec![Entry { position, body: EntryBody::Blank }]).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The crash between a manifest and the rename that makes its directory a snapshot.
#[test]
fn a_whole_snapshot_without_its_name_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let snap = dir.path().join("snap");
    let state = Double::open(dir.path()).unwrap();
    let open = || SnapshotStore::open(snap.clone(), OWNER).unwrap();
    apply(&state, 1);
    open().build(&state).unwrap();
    apply(&state, 2);
    open().build(&state).unwrap();
    assert_eq!(names(&snap), ["2-1-1"]);

    fs::rename(snap.join("2-1-1"), snap.join(BUILDING)).unwrap();
    let store = open();
    assert!(store.current().is_none());
    apply(&state, 3);
    let built = store.build(&state).unwrap();
    assert_eq!(built.manifest().name(), "3-1-1");
    assert_eq!(names(&snap), ["3-1-1"]);
}

#[test]
fn a_snapshot_that_is_read_outlives_those_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let snap = dir.path().join("snap");
    let state = Double::open(dir.path()).unwrap();
    let store = SnapshotStore::open(snap.clone(), OWNER).unwrap();
    apply(&state, 1);
    let (one, other) = (store.build(&state).unwrap(), store.current().unwrap());
    // Of the same state, with other files perhaps.
    drop(store.build(&state).unwrap());
    assert_eq!(names(&snap), ["1-1-1", "1-1-1.1"]);
    apply(&state, 2);
    drop(store.build(&state).unwrap());
    apply(&state, 3);
    drop(store.build(&state).unwrap());
    assert_eq!(names(&snap), ["1-1-1", "3-1-1"]);
    drop(one);
    let hashed = other.hashed_manifest().unwrap();
    assert!(hashed.files.iter().all(|file| file.hash.is_some()));
    drop(other);
    assert_eq!(names(&snap), ["3-1-1"]);
    // One that was current when the node stopped stays.
    drop(store);
    assert_eq!(names(&snap), ["3-1-1"]);
}

#[test]
fn of_several_snapshots_the_newest_is_kept_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let snap = dir.path().join("snap");
    let state = Double::open(dir.path()).unwrap();
    let store = SnapshotStore::open(snap.clone(), OWNER).unwrap();
    apply(&state, 1);
    let one = store.build(&state).unwrap();
    let again = store.build(&state).unwrap();
    apply(&state, 2);
    store.build(&state).unwrap();
    // As after a crash: nobody drops them.
    std::mem::forget((one, again));
    assert_eq!(names(&snap), ["1-1-1", "1-1-1.1", "2-1-1"]);
    drop(store);
    let store = SnapshotStore::open(snap.clone(), OWNER).unwrap();
    assert_eq!((store.current().unwrap().manifest().name(), names(&snap)), ("2-1-1".into(), vec!["2-1-1".into()]));
}

#[test]
fn an_unusable_snapshot_is_removed_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let snap = dir.path().join("snap");
    let state = Double::open(dir.path()).unwrap();
    apply(&state, 1);
    let open = |owner| SnapshotStore::open(snap.clone(), owner).unwrap();
    for damage in 0..4 {
        let store = open(OWNER);
        store.build(&state).unwrap();
        drop(store);
        let there = snap.join("1-1-1");
        match damage {
            0 => fs::write(there.join(STATE).join("more"), "x").unwrap(),
            1 => fs::write(there.join(STATE).join("double"), "").unwrap(),
            2 => fs::write(there.join(MANIFEST), "x").unwrap(),
            _ => {}
        }
        let owner = if damage == 3 { Owner { cluster: Uuid::nil(), ..OWNER } } else { OWNER };
        assert!(open(owner).current().is_none(), "damage {damage}");
        assert_eq!(names(&snap), [""; 0]);
    }
}

mod transfer {
    use std::fs::File;

    use super::*;
    use crate::consensus::receiver::SnapshotReader;

    /// Sends a snapshot in parts of three bytes, each changed by `change`.
    fn send(
        from: &SnapshotReader,
        to: &SnapshotStore,
        change: impl Fn(usize, u64, &mut Vec<u8>),
    ) -> Result<crate::ReceivedSnapshot, SnapshotError> {
        let mut receiver = to.receive(from.manifest())?;
        for (file, bytes) in from.sizes().enumerate() {
            let mut offset = 0;
            loop {
                let mut part = vec![0; 3];
                let read = from.read(file, offset, &mut part).unwrap();
                part.truncate(read);
                change(file, offset, &mut part);
                receiver.write(file, offset, &part)?;
                offset += part.len() as u64;
                if offset >= bytes {
                    break;
                }
                assert_eq!(receiver.next(), Some((file, offset)));
            }
        }
        receiver.finish()
    }

    fn leader(dir: &Path) -> SnapshotReader {
        let state = Double::open(dir).unwrap();
        for index in 0..300 {
            apply(&state, index);
        }
        let store = SnapshotStore::open(dir.join("snap"), OWNER).unwrap();
        SnapshotReader::new(store.build(&state).unwrap()).unwrap()
    }

    #[test]
    fn arrives_whole_or_not_at_all() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let reader = leader(here.path());
        let snap = there.path().join("snap");
        let to = SnapshotStore::open(snap.clone(), Owner { store: Uuid::from_u128(9), ..OWNER }).unwrap();
        let state = Double::open(there.path()).unwrap();

        let received = send(&reader, &to, |_, _, _| {}).unwrap();
        received.check(&state).unwrap();
        assert_eq!(names(&snap), ["receiving-0"]);
        drop(received);

        let refused = |change: &dyn Fn(usize, u64, &mut Vec<u8>)| match send(&reader, &to, change) {
            Err(SnapshotError::Refused(why)) => why,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it was taken"),
        };
        assert!(
            refused(&|_, offset, part| if offset == 3 {
                part[0] ^= 1;
            })
            .contains("hash")
        );
        assert!(
            refused(&|_, offset, part| if offset == 3 {
                part.clear();
            })
            .contains("bytes of")
        );
        assert!(
            refused(&|_, offset, part| if offset == 3 {
                part.extend([0; 10_000]);
            })
            .contains("bytes of")
        );
        assert_eq!(names(&snap), [""; 0], "nothing stays of what was refused");

        let mut receiver = to.receive(reader.manifest()).unwrap();
        assert!(matches!(receiver.write(0, 1, b"x"), Err(SnapshotError::Refused(_))), "a part is missing");
        assert!(matches!(receiver.write(1, 0, b"x"), Err(SnapshotError::Refused(_))), "no such file");
        assert!(matches!(receiver.finish(), Err(SnapshotError::Refused(_))), "it is not whole");
    }

    #[test]
    fn a_manifest_of_another_cluster_or_group_or_without_hashes_is_refused() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let reader = leader(here.path());
        let others = [Owner { group: GroupId(4), ..OWNER }, Owner { cluster: Uuid::nil(), ..OWNER }];
        for (number, owner) in others.into_iter().enumerate() {
            let to = SnapshotStore::open(there.path().join(number.to_string()), owner).unwrap();
            assert!(matches!(to.receive(reader.manifest()), Err(SnapshotError::Refused(_))));
        }
        let to = SnapshotStore::open(there.path().join("same"), OWNER).unwrap();
        let manifest = Manifest::decode(reader.manifest()).unwrap();
        let mut bare = manifest.clone();
        bare.files[0].hash = None;
        assert!(matches!(to.receive(&bare.encode().unwrap()), Err(SnapshotError::Refused(_))));
        let mut huge = manifest;
        huge.files[0].bytes = 1 << 60;
        let Err(SnapshotError::Refused(why)) = to.receive(&huge.encode().unwrap()) else { panic!("no room for it") };
        assert!(why.contains("free"), "{why}");
    }

    /// A hash is computed once for all snapshots that share the file.
    #[test]
    fn hashes_are_known_by_the_file_and_not_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (hashes, path) = (Hashes::default(), dir.path().join("a"));
        fs::write(&path, "content").unwrap();
        fs::hard_link(&path, dir.path().join("b")).unwrap();
        let entry = |name: &str| FileEntry { name: name.into(), bytes: 7, hash: None };
        let mut files = [entry("a"), entry("b")];
        hashes.note(&File::open(&path).unwrap().metadata().unwrap(), [7; 32]);
        hashes.complete(dir.path(), &mut files).unwrap();
        assert_eq!(files.map(|file| file.hash), [Some([7; 32]); 2], "taken over, not computed");

        fs::write(dir.path().join("c"), "content").unwrap();
        let mut files = [entry("c")];
        hashes.complete(dir.path(), &mut files).unwrap();
        assert_eq!(files[0].hash, Some(*blake3::hash(b"content").as_bytes()));
    }
}

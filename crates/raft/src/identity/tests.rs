//! Directories that are taken, refused, and kept apart.

use super::*;

fn open(path: &Path) -> Result<DataDir, StartError> {
    DataDir::open(path)
}

fn refusal(path: &Path) -> String {
    match open(path) {
        Err(StartError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_identity_is_for_life() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep").join("data");
    let first = open(&path).unwrap();
    assert!(first.created());
    let identity = first.identity();
    drop(first);
    for _ in 0..3 {
        let again = open(&path).unwrap();
        assert!(!again.created());
        assert_eq!(again.identity(), identity);
    }
    let other = tempfile::tempdir().unwrap();
    assert_ne!(open(other.path()).unwrap().identity().node_id, identity.node_id);
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(StartError::InUse(_))));
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn a_holder_that_is_about_to_end_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    // A second descriptor of the lock, as a child process has one between `fork` and `exec`.
    let copy = first._lock.try_clone().unwrap();
    drop(first);
    assert!(copy.try_lock().is_ok(), "the copy holds the lock");
    std::thread::scope(|scope| {
        let (started, waiting) = std::sync::mpsc::channel();
        let second = scope.spawn(move || {
            started.send(()).unwrap();
            open(dir.path()).map(drop)
        });
        waiting.recv().unwrap();
        std::thread::sleep(LOCK_PAUSE * 3);
        drop(copy);
        second.join().unwrap().unwrap();
    });
}

#[test]
fn foreign_newer_and_damaged_directories_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("schema.db"), "somebody's").unwrap();
    assert!(refusal(dir.path()).contains("schema.db"));
    assert!(!dir.path().join(NODE).exists(), "nothing was written");
    fs::remove_file(dir.path().join("schema.db")).unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    drop(open(dir.path()).unwrap());

    let file = dir.path().join(NODE);
    let good = fs::read(&file).unwrap();
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, &flipped).unwrap();
        refusal(dir.path());
        assert_eq!(fs::read(&file).unwrap(), flipped, "a refusal changes nothing");
    }
    for cut in 0..good.len() {
        fs::write(&file, &good[..cut]).unwrap();
        refusal(dir.path());
    }
    let newer = String::from_utf8(good.clone()).unwrap().replace("azimuth node 1", "azimuth node 2");
    fs::write(&file, newer).unwrap();
    assert!(refusal(dir.path()).contains("newer"), "{}", refusal(dir.path()));
    fs::write(&file, &good).unwrap();
    drop(open(dir.path()).unwrap());

    fs::remove_file(&file).unwrap();
    fs::create_dir(dir.path().join("raftlog")).unwrap();
    assert!(refusal(dir.path()).contains("raftlog"), "a directory that lost its identity does not get another");
}

#[test]
fn groups_belong_to_their_node() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (open(one.path()).unwrap(), open(two.path()).unwrap());
    let group = GroupId(1);
    let dir = first.claim_group(group, false).unwrap();
    assert_eq!(first.claim_group(group, true).unwrap(), dir);
    assert!(matches!(second.claim_group(group, true), Err(StartError::Damaged(_))), "the log knows it, but it is gone");
    fs::rename(&dir, second.group_dir(group)).unwrap();
    assert!(matches!(second.claim_group(group, true), Err(StartError::Refused(_))));
    fs::rename(second.group_dir(group), first.group_dir(GroupId(2))).unwrap();
    assert!(matches!(first.claim_group(GroupId(2), true), Err(StartError::Refused(_))), "another group's");
    fs::create_dir_all(first.group_dir(GroupId(3)).join("gen-1")).unwrap();
    assert!(matches!(first.claim_group(GroupId(3), false), Err(StartError::Refused(_))), "nobody's");
}

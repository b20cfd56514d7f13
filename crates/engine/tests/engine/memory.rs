//! Thousands of small collections cost little memory.
//!
//! The measuring runs in a process of its own, so that other tests do not count.

use std::path::Path;
use std::process::Command as Process;

use azimuth_engine::command::Command;
use azimuth_engine::data::{DataGroup, GroupOptions};
use azimuth_engine::ids::GroupId;
use azimuth_engine::object::Value;
use azimuth_engine::replica::StateMachine;
use azimuth_engine::schema::Primitive;
use tempfile::tempdir;

use crate::support::{apply, at, collection, object, one, put, text, work};

const COLLECTIONS: u32 = 1_500;
const OBJECTS: u64 = 4;
/// Resident memory per collection whose shard was used. Caches have budgets of their own, which this leaves room for.
const BYTES_PER_COLLECTION_MAX: u64 = 24 << 10;
const CHILD: &str = "AZIMUTH_TEST_MEMORY_DIR";

fn options() -> GroupOptions {
    GroupOptions::new(GroupId::FIRST_DATA)
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_small_collection_takes_a_few_kilobytes() {
    let dir = tempdir().unwrap();
    {
        let (group, _) = DataGroup::open(&dir.path().join("many"), options()).unwrap();
        for n in 1..=COLLECTIONS {
            let properties = vec![one("title", Primitive::Text), one("pages", Primitive::Int)];
            let schema = collection(n, &format!("Book{n}"), properties);
            let mut commands = vec![Command::PutCollection(Box::new(schema))];
            commands.extend((0..OBJECTS).map(|m| {
                let properties = [("title", text("one of many")), ("pages", Value::Int(m.cast_signed()))];
                put(at(n), object(m, &properties, Some(&[1.0; 16])))
            }));
            apply(&group, commands);
        }
        group.flush().unwrap();
    }
    let child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::child", "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}{}",
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr)
    );
}

/// What the test above runs in a process of its own; by itself it does nothing.
#[test]
fn child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let dir = Path::new(&dir);
    drop(DataGroup::open(&dir.join("empty"), options()).unwrap());
    let before = resident_bytes();
    let (group, _) = DataGroup::open(&dir.join("many"), options()).unwrap();
    work(&group);
    for n in 1..=COLLECTIONS {
        assert_eq!(group.count(at(n), None).unwrap(), OBJECTS);
    }
    let per_collection = resident_bytes().saturating_sub(before) / u64::from(COLLECTIONS);
    println!("{per_collection} bytes per collection");
    assert!(per_collection <= BYTES_PER_COLLECTION_MAX, "{per_collection} bytes per collection");
}

//! The parts that work without a lock, in every order of steps and with every stale value that the memory model allows
//! (loom). What is modelled is the code itself, compiled here once more with loom's atomics.

mod atomics {
    pub(super) use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence};
}

#[path = "../links.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled with other atomics")]
mod links;
#[path = "../pending.rs"]
#[allow(clippy::duplicate_mod, dead_code, reason = "compiled with other atomics; the model needs a part of it")]
mod pending;

use loom::sync::Arc;
use loom::thread;

use atomics::{AtomicU32, Ordering};
use links::{append_link, read_links, write_links};
use pending::Segment;

/// Two builders and the writer at one segment: every slot is claimed once, with its number written.
#[test]
fn every_waiting_slot_is_claimed_once() {
    loom::model(|| {
        let segment = Arc::new(Segment::with_room(2));
        assert!(segment.append(7));
        let builder = |segment: Arc<Segment>| {
            thread::spawn(move || {
                let slots = segment.claim(1);
                segment.finish(slots.len());
                slots
            })
        };
        let builders = [builder(Arc::clone(&segment)), builder(Arc::clone(&segment))];
        assert!(segment.append(8) && !segment.append(9), "there is room for two");
        let mut claimed: Vec<u32> =
            builders.into_iter().flat_map(|builder| builder.join().expect("no panic")).collect();
        let rest = segment.claim(9);
        segment.finish(rest.len());
        claimed.extend(rest);
        claimed.sort_unstable();
        assert_eq!(claimed, [7, 8]);
        assert!(segment.is_done() && !segment.has_unclaimed() && segment.waiting() == 0);
    });
}

/// Data of two slots, and a list.
struct Node {
    data: [AtomicU32; 2],
    list: [AtomicU32; 3],
}

impl Node {
    fn new(links: &[u32]) -> Arc<Self> {
        let node = Self { data: [0, 0].map(AtomicU32::new), list: [0, 0, 0].map(AtomicU32::new) };
        write_links(&node.list, links);
        Arc::new(node)
    }

    /// Every neighbour that a reader finds has its data.
    fn read(&self) -> Vec<u32> {
        let mut found = Vec::new();
        read_links(&self.list, &mut found);
        for &slot in &found {
            assert_eq!(self.data[slot as usize].load(Ordering::Relaxed), 42, "slot {slot} is not written yet");
        }
        found
    }
}

/// A slot's data are plain stores before its number is published: whoever reads the number sees them.
#[test]
fn a_link_that_is_read_leads_to_written_data() {
    loom::model(|| {
        let node = Node::new(&[]);
        let writer = {
            let node = Arc::clone(&node);
            thread::spawn(move || {
                node.data[0].store(42, Ordering::Relaxed);
                append_link(&node.list, 0, 0);
                node.data[1].store(42, Ordering::Relaxed);
                append_link(&node.list, 1, 1);
            })
        };
        let found = node.read();
        assert!(found.is_empty() || found == [0] || found == [0, 1], "{found:?}");
        writer.join().expect("no panic");
        assert_eq!(node.read(), [0, 1]);
    });
}

/// A list that is replaced is read as any mixture of entries, all of them in use.
#[test]
fn a_list_being_replaced_holds_slots_in_use() {
    loom::model(|| {
        let node = Node::new(&[0, 0]);
        node.data[0].store(42, Ordering::Relaxed);
        let writer = {
            let node = Arc::clone(&node);
            thread::spawn(move || {
                node.data[1].store(42, Ordering::Relaxed);
                write_links(&node.list, &[1]);
            })
        };
        let found = node.read();
        assert!((1..=2).contains(&found.len()), "{found:?}");
        writer.join().expect("no panic");
        assert_eq!(node.read(), [1]);
    });
}

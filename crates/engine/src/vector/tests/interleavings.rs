//! The parts that work without a lock, in every order of steps and with every stale value that the memory model allows
//! (loom). What is modelled is the code itself, compiled here once more with loom's atomics.

mod atomics {
    pub(super) use loom::sync::Arc;
    pub(super) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};
}

#[path = "../slots/limbo.rs"]
#[allow(clippy::duplicate_mod, dead_code, reason = "compiled with other atomics; the model needs a part of it")]
mod limbo;
#[path = "../slots/links.rs"]
#[allow(clippy::duplicate_mod, reason = "compiled with other atomics")]
mod links;
#[path = "../slots/pending.rs"]
#[allow(clippy::duplicate_mod, dead_code, reason = "compiled with other atomics; the model needs a part of it")]
mod pending;
#[path = "../slots/state.rs"]
#[allow(clippy::duplicate_mod, dead_code, reason = "compiled with other atomics; the model needs a part of it")]
mod state;

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;

use atomics::{AtomicU8, AtomicU32, Ordering};
use limbo::Limbo;
use links::{append_link, read_links, write_links};
use pending::PendingSegment;
use state::{State, mark_source, mark_target, settle};

/// Two builders and the writer at one segment: every slot is claimed once, with its number written.
#[test]
fn every_waiting_slot_is_claimed_once() {
    loom::model(|| {
        let segment = Arc::new(PendingSegment::with_room(2));
        assert!(segment.append(7));
        let builder = |segment: Arc<PendingSegment>| {
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

/// Two slots and the view in force, which names one of them. Data are plain memory: loom fails when a write and a read of
/// one slot are not in order.
struct Slots {
    data: [UnsafeCell<u32>; 2],
    /// Stands for the pointer that readers load and count in one step without a lock.
    view: Mutex<Arc<Named>>,
}

/// A view: the slot that it leads to and what is written there.
struct Named {
    slot: usize,
    value: u32,
}

impl Slots {
    fn write(&self, slot: usize, value: u32) {
        // SAFETY: loom checks that nobody reads or writes the slot meanwhile.
        self.data[slot].with_mut(|place| unsafe { *place = value });
    }

    /// Puts a new view in force; the slot of the old one waits until nobody holds that.
    fn publish(&self, limbo: &mut Limbo<Named>, named: Named) {
        let old = std::mem::replace(&mut *self.view.lock().expect("no panic"), Arc::new(named));
        let slot = u32::try_from(old.slot).expect("two slots");
        limbo.push(old, vec![slot]);
    }

    /// What a search does: takes the view, and reads what it leads to.
    fn read(&self) {
        let view = Arc::clone(&self.view.lock().expect("no panic"));
        // SAFETY: loom checks that nobody writes the slot meanwhile.
        let found = self.data[view.slot].with(|place| unsafe { *place });
        assert_eq!(found, view.value, "slot {} was given out under a reader", view.slot);
    }
}

/// A slot is written again only after every reader whose view leads to it is done, and readers find what their view says.
#[test]
fn a_slot_is_used_again_only_when_no_reader_can_reach_it() {
    loom::model(|| {
        let slots = Arc::new(Slots {
            data: [10, 0].map(UnsafeCell::new),
            view: Mutex::new(Arc::new(Named { slot: 0, value: 10 })),
        });
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let slots = Arc::clone(&slots);
                thread::spawn(move || slots.read())
            })
            .collect();
        let (mut limbo, mut free) = (Limbo::default(), Vec::new());
        slots.write(1, 11);
        slots.publish(&mut limbo, Named { slot: 1, value: 11 });
        limbo.collect(&mut free);
        let mut given = 0;
        if let Some(slot) = free.pop() {
            given += 1;
            assert_eq!(slot, 0);
            slots.write(0, 12);
            slots.publish(&mut limbo, Named { slot: 0, value: 12 });
            limbo.collect(&mut free);
        }
        readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
        limbo.collect(&mut free);
        assert_eq!(limbo.dropped(), limbo.replaced(), "nobody holds a view any more");
        assert_eq!(free.len() as u64 + given, limbo.replaced(), "every retired slot was free");
    });
}

/// A vector in the first of two slots, which will be in the second; the bits that the view in force hides.
struct Moved {
    states: [AtomicU8; 2],
    data: [UnsafeCell<u32>; 2],
    view: Mutex<Arc<u8>>,
}

impl Moved {
    /// What a scan does: takes the view, and looks at both slots, in either order.
    fn scan(&self, order: [usize; 2]) {
        let view = Arc::clone(&self.view.lock().expect("no panic"));
        let mut found = 0;
        for slot in order {
            if State::is_shown(self.states[slot].load(Ordering::Acquire), *view) {
                // SAFETY: loom checks that nobody writes the slot meanwhile.
                assert_eq!(self.data[slot].with(|place| unsafe { *place }), 7, "slot {slot} has its vector");
                found += 1;
            }
        }
        assert_eq!(found, 1, "a view that hides {} shows the vector once", *view);
    }

    /// Puts a view in force that hides these bits, and waits until nobody holds an older one; `false` where that takes longer
    /// than a model can follow.
    fn hide(&self, limbo: &mut Limbo<u8>, hidden: u8) -> bool {
        let old = std::mem::replace(&mut *self.view.lock().expect("no panic"), Arc::new(hidden));
        limbo.push(old, Vec::new());
        limbo.collect(&mut Vec::new());
        limbo.dropped() == limbo.replaced()
    }

    /// The stages of a move, as far as the views of readers let it come; the last writes another vector into the old slot.
    fn go(&self, limbo: &mut Limbo<u8>) {
        mark_source(&self.states[0]);
        if !self.hide(limbo, State::TARGET) {
            return;
        }
        // SAFETY: loom checks that nobody reads or writes the slot meanwhile.
        self.data[1].with_mut(|place| unsafe { *place = 7 });
        mark_target(&self.states[1]);
        if !self.hide(limbo, State::SOURCE) {
            return;
        }
        settle(&self.states[1]);
        if !self.hide(limbo, State::SOURCE) {
            return;
        }
        self.states[0].store(State::FREE, Ordering::Release);
        if self.hide(limbo, 0) {
            // SAFETY: as above.
            self.data[0].with_mut(|place| unsafe { *place = 8 });
        }
    }
}

/// At every moment of a move, and in whichever order it looks, a reader sees a vector in one of its slots and never in both.
#[test]
fn a_vector_on_its_way_is_seen_once() {
    for order in [[0, 1], [1, 0]] {
        loom::model(move || {
            let moved = Arc::new(Moved {
                states: [State::LIVE | State::LINKED, State::FREE].map(AtomicU8::new),
                data: [7, 0].map(UnsafeCell::new),
                view: Mutex::new(Arc::new(0)),
            });
            let reader = {
                let moved = Arc::clone(&moved);
                thread::spawn(move || moved.scan(order))
            };
            moved.go(&mut Limbo::default());
            reader.join().expect("no panic");
        });
    }
}

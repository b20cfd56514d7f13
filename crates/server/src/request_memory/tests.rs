//! Shares of the memory for requests: limits, refusals, turns, and the return of memory.

use std::cell::Cell;

use futures_util::future::{join, join_all, poll_immediate};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;

const MIB: usize = 1 << 20;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

fn memory_of(bytes_max: usize, peer_bytes_max: Option<usize>) -> Arc<RequestMemory> {
    RequestMemory::new(bytes_max, peer_bytes_max, LONG)
}

fn share(memory: &Arc<RequestMemory>) -> Share {
    memory.share(Payer::default())
}

#[test]
fn shares_are_given_back() {
    let memory = memory_of(64 * MIB, None);
    let (mut one, mut other) = (share(&memory), share(&memory));
    assert_eq!(one.try_add(1), Ok(()));
    assert_eq!(one.try_add(1_000), Ok(()), "a step is used up before the next one is taken");
    assert_eq!(memory.used.bytes(), STEP_MIN);
    assert_eq!(one.try_add(40 * MIB), Ok(()));
    assert_eq!(other.try_add(20 * MIB), Err(Refusal::Busy), "the last eighth is for small requests");
    assert_eq!(other.try_add(1), Err(Refusal::Busy), "a request that was refused has failed");
    assert_eq!(share(&memory).try_add(MIB), Ok(()));
    drop(one);
    drop(other);
    assert_eq!(memory.used.bytes(), 0);
}

#[test]
fn one_request_gets_three_quarters() {
    let memory = memory_of(64 * MIB, None);
    let mut one = share(&memory);
    assert_eq!(one.try_add(48 * MIB), Ok(()));
    assert_eq!(one.try_add(1), Err(Refusal::TooLarge { bytes_max: 48 * MIB }));
}

#[test]
fn peers_and_connections_leave_room_for_others() {
    let memory = memory_of(64 * MIB, Some(32 * MIB));
    let peer = Arc::new(Account::default());
    let payer = || Payer { peer: peer.clone(), ..Payer::default() };
    let (mut one, mut other) = (memory.share(payer()), memory.share(payer()));
    assert_eq!(one.try_add(30 * MIB), Ok(()));
    assert_eq!(other.try_add(3 * MIB), Err(Refusal::PeerBusy));
    assert_eq!(memory.share(payer()).try_add(MIB), Ok(()), "small requests are served all the same");
    assert_eq!(share(&memory).try_add(20 * MIB), Ok(()), "another peer");
    let connection = Arc::new(Account::default());
    let payer = || Payer { connection: connection.clone(), ..Payer::default() };
    drop(one);
    let mut one = memory.share(payer());
    assert_eq!(one.try_add(20 * MIB), Ok(()));
    assert_eq!(memory.share(payer()).try_add(30 * MIB), Err(Refusal::ConnectionBusy));
    drop(one);
    assert_eq!((peer.bytes(), connection.bytes(), memory.used.bytes()), (0, 0, 0));
}

#[test]
fn what_was_written_is_answered_without_room() {
    let memory = memory_of(4 * MIB, None);
    let mut one = share(&memory);
    one.force(10 * MIB);
    assert_eq!(memory.used.bytes(), 10 * MIB);
    assert_eq!(share(&memory).try_add(1), Err(Refusal::Busy));
    one.settle(MIB);
    assert_eq!(memory.used.bytes(), MIB);
    one.give(MIB / 2);
    assert_eq!(memory.used.bytes(), MIB / 2);
    drop(one);
    assert_eq!(memory.used.bytes(), 0);
}

#[tokio::test]
async fn a_body_waits_for_room() {
    let memory = memory_of(4 * MIB, None);
    let mut one = share(&memory);
    let other = Mutex::new(share(&memory));
    one.try_add(3 * MIB).expect("there is room");
    let wait = charge_or_wait(&other, 2 * MIB);
    let free = async {
        tokio::task::yield_now().await;
        drop(one);
    };
    assert_eq!(join(wait, free).await.0, Ok(()));
}

#[test]
fn reads_pay_from_the_share_of_their_thread() {
    let memory = memory_of(4 * MIB, None);
    let share = Arc::new(Mutex::new(share(&memory)));
    assert_eq!(charge(usize::MAX), Ok(()), "nobody is charged outside of a request");
    within(Some(share.clone()), || {
        assert_eq!(charge(MIB), Ok(()));
        assert_eq!(charge(8 * MIB), Err(Refusal::TooLarge { bytes_max: 3 * MIB }));
        assert_eq!(refusal(), Some(Refusal::TooLarge { bytes_max: 3 * MIB }));
    });
    assert_eq!(share.lock().bytes(), MIB);
}

/// Bytes of a request before it reads, which a waiting read keeps.
const HEAD: usize = 4 << 10;

/// Runs a read that needs so many MiB, which it takes one after the other; others run in between.
async fn read(memory: &Arc<RequestMemory>, payer: Payer, mib: usize, runs: &Cell<usize>) -> Result<(), Refusal> {
    let share = Arc::new(Mutex::new(memory.share(payer)));
    share.lock().try_add(HEAD)?;
    let read = || async {
        runs.set(runs.get() + 1);
        for _ in 0..mib {
            charge(MIB)?;
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    let result = within_async(share.clone(), in_turn(Instant::now() + LONG, read)).await;
    assert!(result.is_err() || share.lock().bytes() == HEAD + mib * MIB, "{} bytes", share.lock().bytes());
    result
}

#[tokio::test]
async fn reads_that_do_not_fit_beside_each_other_all_succeed() {
    let memory = memory_of(64 * MIB, None);
    let runs = Cell::new(0);
    let peer = Arc::new(Account::default());
    let reads =
        (0..20).map(|number| read(&memory, Payer { peer: peer.clone(), ..Payer::default() }, 20 + number, &runs));
    assert!(join_all(reads).await.iter().all(Result::is_ok));
    assert!(runs.get() <= 3 * 20, "{} runs", runs.get());
    assert_eq!((memory.used.bytes(), memory.queue.is_empty()), (0, true));
}

#[tokio::test]
async fn a_read_waits_for_what_others_hold_and_holds_nothing_meanwhile() {
    let memory = memory_of(64 * MIB, None);
    let mut holder = share(&memory);
    holder.try_add(40 * MIB).expect("there is room");
    let runs = Cell::new(0);
    let mut waiting = Box::pin(read(&memory, Payer::default(), 30, &runs));
    while memory.queue.is_empty() {
        assert!(poll_immediate(&mut waiting).await.is_none());
    }
    assert_eq!(memory.used.bytes(), 40 * MIB + HEAD);
    assert_eq!(share(&memory).try_add(MIB), Ok(()), "small requests are served meanwhile");
    let late = Cell::new(0);
    let mut late_read = Box::pin(read(&memory, Payer::default(), 4, &late));
    assert!(poll_immediate(&mut late_read).await.is_none());
    tokio::task::yield_now().await;
    drop(holder);
    assert_eq!(join(waiting, late_read).await, (Ok(()), Ok(())));
    assert_eq!(runs.get(), 2);
}

#[tokio::test]
async fn what_never_fits_is_refused_at_once() {
    let memory = memory_of(64 * MIB, Some(32 * MIB));
    let runs = Cell::new(0);
    let refused = read(&memory, Payer::default(), 40, &runs).await;
    assert_eq!((refused, runs.get()), (Err(Refusal::TooLarge { bytes_max: 32 * MIB }), 1));
}

#[tokio::test]
async fn a_read_is_refused_when_its_time_is_over_or_the_queue_is_full() {
    let memory = RequestMemory::new(64 * MIB, None, Duration::from_millis(20));
    let mut holder = share(&memory);
    holder.try_add(40 * MIB).expect("there is room");
    let runs = Cell::new(0);
    assert_eq!(read(&memory, Payer::default(), 30, &runs).await, Err(Refusal::Busy));
    assert_eq!((memory.used.bytes(), memory.queue.is_empty()), (40 * MIB, true));
    // All of one peer: the places that it may have.
    let peer = Arc::new(Account::default());
    let payer = || Payer { peer: peer.clone(), ..Payer::default() };
    let reads = (0..300).map(|_| read(&memory, payer(), 30, &runs));
    assert!(join_all(reads).await.iter().all(|result| *result == Err(Refusal::Busy)));
    assert_eq!((memory.used.bytes(), memory.queue.is_empty()), (40 * MIB, true));
}

#[tokio::test]
async fn a_peer_that_waits_for_itself_holds_up_no_other() {
    let memory = memory_of(64 * MIB, Some(16 * MIB));
    let peer = Arc::new(Account::default());
    let payer = || Payer { peer: peer.clone(), ..Payer::default() };
    let mut holder = memory.share(payer());
    holder.try_add(12 * MIB).expect("there is room");
    let runs = Cell::new(0);
    let mut waiting = Box::pin(read(&memory, payer(), 10, &runs));
    while memory.queue.is_empty() {
        assert!(poll_immediate(&mut waiting).await.is_none());
    }
    assert_eq!(read(&memory, Payer::default(), 10, &runs).await, Ok(()), "another peer is served");
    assert!(poll_immediate(&mut waiting).await.is_none());
    drop(holder);
    assert_eq!(waiting.await, Ok(()));
}

#[tokio::test]
async fn a_read_that_is_given_up_leaves_the_queue() {
    let memory = memory_of(64 * MIB, None);
    let mut holder = share(&memory);
    holder.try_add(30 * MIB).expect("there is room");
    let runs = Cell::new(0);
    let mut large = Box::pin(read(&memory, Payer::default(), 40, &runs));
    while memory.queue.is_empty() {
        assert!(poll_immediate(&mut large).await.is_none());
    }
    let mut less = Box::pin(read(&memory, Payer::default(), 5, &runs));
    for _ in 0..50 {
        assert!(poll_immediate(&mut less).await.is_none(), "it waits behind the large one");
    }
    drop(large);
    assert_eq!(less.await, Ok(()));
    assert!(memory.queue.is_empty());
}

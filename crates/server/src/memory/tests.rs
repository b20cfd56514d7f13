//! Shares of the memory for requests: limits, refusals, and the return of memory.

use super::*;

const MIB: usize = 1 << 20;

fn share(memory: &Arc<RequestMemory>) -> Share {
    memory.share(Payer::default())
}

#[test]
fn shares_are_given_back() {
    let memory = RequestMemory::new(64 * MIB, None);
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
    let memory = RequestMemory::new(64 * MIB, None);
    let mut one = share(&memory);
    assert_eq!(one.try_add(48 * MIB), Ok(()));
    assert_eq!(one.try_add(1), Err(Refusal::TooLarge { bytes_max: 48 * MIB }));
}

#[test]
fn peers_and_connections_leave_room_for_others() {
    let memory = RequestMemory::new(64 * MIB, Some(32 * MIB));
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
    let memory = RequestMemory::new(4 * MIB, None);
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
    let memory = RequestMemory::new(4 * MIB, None);
    let mut one = share(&memory);
    let other = Mutex::new(share(&memory));
    one.try_add(3 * MIB).expect("there is room");
    let wait = charge_or_wait(&other, 2 * MIB);
    let free = async {
        tokio::task::yield_now().await;
        drop(one);
    };
    assert_eq!(futures_util::future::join(wait, free).await.0, Ok(()));
}

#[test]
fn reads_pay_from_the_share_of_their_thread() {
    let memory = RequestMemory::new(4 * MIB, None);
    let share = Arc::new(Mutex::new(share(&memory)));
    assert_eq!(charge(usize::MAX), Ok(()), "nobody is charged outside of a request");
    within(Some(share.clone()), || {
        assert_eq!(charge(MIB), Ok(()));
        assert_eq!(charge(8 * MIB), Err(Refusal::TooLarge { bytes_max: 3 * MIB }));
        assert_eq!(refusal(), Some(Refusal::TooLarge { bytes_max: 3 * MIB }));
    });
    assert_eq!(share.lock().bytes(), MIB);
}

#[test]
fn of_large_requests_the_oldest_waits_for_the_others() {
    let memory = RequestMemory::new(64 * MIB, Some(0));
    let (one, other) = (Arc::new(Mutex::new(share(&memory))), share(&memory));
    let other = Arc::new(Mutex::new(other));
    let charge_to = |share: &Arc<Mutex<Share>>, bytes| within(Some(share.clone()), || charge(bytes));
    assert_eq!(charge_to(&one, 20 * MIB), Ok(()));
    assert_eq!(charge_to(&other, 30 * MIB), Ok(()));
    let oldest = std::thread::spawn({
        let one = one.clone();
        move || within(Some(one), || charge(20 * MIB))
    });
    assert_eq!(charge_to(&other, 15 * MIB), Err(Refusal::Busy), "a younger one is refused at once");
    drop(other);
    assert_eq!(oldest.join().expect("no panic"), Ok(()), "its memory goes to the oldest");
    one.lock().settle(MIB);
    assert_eq!(memory.used.bytes(), MIB);
}

use alloy_primitives::Address;
use dm_core::hash::DataHash;
use dm_testing::key_value::MemoryKeyValueStore;

use super::*;

mod ends;
mod histories;
mod limits;
mod model;
mod restarts;
mod scale;

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;

/// Runs what waits for nothing but the store in memory.
fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn object(seed: u8) -> ObjectId {
    ObjectId {
        locator: DataHash::of(&[seed]).locator(),
        owner: Address::repeat_byte(1),
    }
}

fn peer(index: u64) -> Peer {
    Peer::named(&format!("peer {index}"))
}

fn key(index: u64) -> PeerKey {
    peer(index).key
}

fn peers(indexes: &[u64]) -> Vec<Peer> {
    indexes.iter().map(|index| peer(*index)).collect()
}

async fn open(store: &MemoryKeyValueStore, me: u64, config: RepairConfig, now: u64) -> RepairPlan {
    RepairPlan::open(key(me), config, Arc::new(store.clone()), now)
        .await
        .unwrap()
}

async fn new_plan(me: u64, config: RepairConfig) -> RepairPlan {
    open(&MemoryKeyValueStore::new(), me, config, 0).await
}

/// The plan of a node that keeps an object which these have proven to hold.
async fn keep_proven(plan: &mut RepairPlan, seed: u8, own: bool, holders: &[u64], now: u64) {
    plan.keep(&object(seed), own, 1000, None, now).await.unwrap();
    for holder in holders {
        plan.proved(&object(seed), &peer(*holder), Proof::Proven, now)
            .await
            .unwrap();
    }
}

/// A plan whose only object has these proven holders.
async fn plan_with(own: bool, holders: &[u64]) -> RepairPlan {
    let mut plan = new_plan(1000, RepairConfig::default()).await;
    keep_proven(&mut plan, 1, own, holders, 0).await;
    plan
}

async fn due(plan: &mut RepairPlan, now: u64) -> Vec<Action> {
    plan.due(now).await.unwrap()
}

async fn live(plan: &mut RepairPlan, now: u64) -> u32 {
    plan.copies(&object(1), now).await.unwrap().unwrap().live
}

/// Moves on to what is due next.
async fn later(plan: &mut RepairPlan, now: u64) -> Option<u64> {
    Some(plan.next_due(now).await.unwrap()?.max(now + 1))
}

/// Answers challenges with proofs, as long as the peer is not away, and
/// searches with nothing until a copy is to be placed; when that is, and how many.
async fn time_to_place(plan: &mut RepairPlan, mut now: u64) -> Option<(u64, u32)> {
    for _ in 0..10_000 {
        for action in due(plan, now).await {
            match action {
                Action::Challenge { object, peer, .. } => {
                    let proof = if plan.peers.is_up(peer.key) {
                        Proof::Proven
                    } else {
                        Proof::Silent
                    };
                    plan.proved(&object, &peer, proof, now).await.unwrap();
                }
                Action::Search { object } => plan.found(&object, &[], now).await.unwrap(),
                Action::Place { copies, .. } => return Some((now, copies)),
                Action::Expire { .. } | Action::Count { .. } => {}
            }
        }
        now = later(plan, now).await?;
    }
    None
}

#[tokio::test]
async fn a_holder_that_has_gone_is_replaced_after_its_grace() {
    let config = RepairConfig::default();
    let mut plan = plan_with(true, &[1, 2, 3]).await;
    assert_eq!(live(&mut plan, 0).await, 3);
    plan.peer_down(&peer(1), 0);
    assert_eq!(live(&mut plan, 0).await, 2);
    let (at, copies) = time_to_place(&mut plan, 0).await.unwrap();
    assert_eq!(copies, 1);
    let latest = config.grace + 3 * config.turn;
    assert!((config.grace..=latest).contains(&at), "{at}");
}

#[tokio::test]
async fn a_holder_that_comes_back_in_time_is_asked_and_not_replaced() {
    let mut plan = plan_with(true, &[1, 2, 3]).await;
    plan.peer_down(&peer(1), 0);
    for now in [0, 30 * SECOND, 59 * SECOND] {
        for action in due(&mut plan, now).await {
            assert!(!matches!(action, Action::Place { .. } | Action::Search { .. }));
        }
    }
    plan.peer_up(&peer(1));
    assert_eq!(live(&mut plan, 60 * SECOND).await, 3);
    let actions = due(&mut plan, 60 * SECOND).await;
    let whether_it_still_has_its_disk = |action: &Action| {
        matches!(action, Action::Challenge { object: asked, peer: whom, .. }
            if *asked == object(1) && *whom == peer(1))
    };
    assert!(actions.iter().any(whether_it_still_has_its_disk), "{actions:?}");
    let (at, _) = time_to_place(&mut plan, 200 * SECOND)
        .await
        .unwrap_or((u64::MAX, 0));
    assert_eq!(at, u64::MAX);
}

#[tokio::test]
async fn who_comes_back_without_its_disk_proves_all_it_held() {
    let mut plan = new_plan(1000, RepairConfig::default()).await;
    for seed in 0..100 {
        keep_proven(&mut plan, seed, true, &[1, 2, 3], 0).await;
    }
    plan.peer_down(&peer(1), SECOND);
    plan.peer_up(&peer(1));
    let mut asked = std::collections::BTreeSet::new();
    let mut now = SECOND;
    // Far earlier than the next challenges are due.
    while now < HOUR {
        for action in due(&mut plan, now).await {
            if let Action::Challenge {
                object, peer: whom, ..
            } = action
            {
                assert_eq!(whom, peer(1));
                asked.insert(object);
                plan.proved(&object, &whom, Proof::Missing, now).await.unwrap();
            }
        }
        now = later(&mut plan, now).await.unwrap();
    }
    assert_eq!(asked.len(), 100);
}

#[tokio::test]
async fn with_one_copy_left_nothing_is_waited_for() {
    let mut plan = plan_with(true, &[1, 2, 3]).await;
    for index in 1..=3 {
        plan.peer_down(&peer(index), 5);
    }
    let (at, copies) = time_to_place(&mut plan, 5).await.unwrap();
    let patience = RepairConfig::default().away_patience();
    assert!((5 + patience..=10 + patience).contains(&at), "{at}");
    assert_eq!(copies, 3);
}

#[tokio::test]
async fn holders_take_turns() {
    let config = RepairConfig::default();
    let mut order = [1, 2, 3];
    order.sort_by_key(|index| key(*index).distance(&object(1)));
    let [near, far, gone] = order;
    let begins = async |me: u64, other: u64| {
        let mut plan = new_plan(me, config).await;
        keep_proven(&mut plan, 1, false, &[other, gone], 0).await;
        // A replica counts itself: two others are enough.
        assert_eq!(plan.copies(&object(1), 0).await.unwrap().unwrap().wanted, 2);
        plan.peer_down(&peer(gone), 0);
        time_to_place(&mut plan, 0).await.unwrap().0
    };
    let (first, second) = (begins(near, far).await, begins(far, near).await);
    assert!((config.grace / 2..config.grace).contains(&first), "{first}");
    assert!(second >= first + config.turn, "{first} {second}");
}

#[tokio::test]
async fn who_had_no_copy_is_replaced_and_not_believed_again() {
    let config = RepairConfig::default();
    for (proof, avoided) in [
        (Proof::Missing, config.longest_pause),
        (Proof::Wrong, config.forget_after),
    ] {
        let mut plan = plan_with(true, &[1, 2, 3]).await;
        plan.proved(&object(1), &peer(2), proof, 0).await.unwrap();
        plan.transferred(&object(1), &peers(&[2]), 1).await.unwrap();
        assert_eq!(live(&mut plan, 1).await, 2);
        let mut now = 1;
        let avoid = loop {
            now += SECOND;
            let actions = due(&mut plan, now).await;
            if let Some(Action::Place { avoid, .. }) = actions
                .into_iter()
                .find(|action| matches!(action, Action::Place { .. }))
            {
                break avoid;
            }
        };
        assert!([1, 2, 3].iter().all(|index| avoid.contains(&peer(*index))));
        let afterwards = avoided + now;
        plan.transferred(&object(1), &peers(&[2]), afterwards)
            .await
            .unwrap();
        let holders = plan
            .copies(&object(1), afterwards)
            .await
            .unwrap()
            .unwrap()
            .holders;
        assert!(holders.iter().any(|(holder, ..)| *holder == peer(2)));
    }
}

#[tokio::test]
async fn what_others_say_counts_for_nothing_until_it_is_proven() {
    let mut plan = plan_with(true, &[]).await;
    plan.hinted(&object(1), &peers(&[1, 2, 3]), key(9)).await.unwrap();
    assert_eq!(live(&mut plan, 0).await, 0);
    let mut asked = 0;
    for action in due(&mut plan, 1).await {
        if let Action::Challenge {
            object, peer: whom, ..
        } = action
        {
            asked += 1;
            let proof = if whom == peer(1) {
                Proof::Proven
            } else {
                Proof::Missing
            };
            plan.proved(&object, &whom, proof, 1).await.unwrap();
        }
    }
    assert_eq!((asked, live(&mut plan, 1).await), (3, 1));
    // The same again is not asked again: one is a holder, and two had nothing.
    plan.hinted(&object(1), &peers(&[1, 2, 3]), key(8)).await.unwrap();
    let again = due(&mut plan, 2).await;
    assert!(
        !again
            .iter()
            .any(|action| matches!(action, Action::Challenge { .. })),
        "{again:?}"
    );
}

#[tokio::test]
async fn copies_that_are_not_proven_do_not_count_for_long() {
    let mut plan = plan_with(true, &[]).await;
    plan.transferred(&object(1), &peers(&[1, 2, 3]), 0).await.unwrap();
    assert_eq!(live(&mut plan, 0).await, 3);
    let patience = RepairConfig::default().claim_patience;
    assert_eq!(live(&mut plan, patience).await, 0);
}

#[tokio::test]
async fn copies_that_nobody_takes_are_offered_ever_more_rarely_until_a_peer_appears() {
    let mut plan = plan_with(true, &[]).await;
    let mut times = Vec::new();
    let mut now = 0;
    for _ in 0..6 {
        let (at, _) = time_to_place(&mut plan, now).await.unwrap();
        times.push(at);
        plan.placed(&object(1), &[], None, at).await.unwrap();
        now = at;
    }
    let pauses: Vec<u64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / SECOND)
        .collect();
    assert_eq!(pauses, [60, 120, 240, 480, 960]);
    plan.peer_up(&peer(5));
    let (at, _) = time_to_place(&mut plan, now + SECOND).await.unwrap();
    assert!(at <= now + 2 * SECOND);
}

#[tokio::test]
async fn a_peer_that_is_away_is_asked_once_for_all_of_its_objects() {
    let mut plan = new_plan(1000, RepairConfig::default()).await;
    for seed in 0..50 {
        keep_proven(&mut plan, seed, true, &[0, 1, 2, 3], 0).await;
    }
    plan.peer_down(&peer(0), 0);
    let mut probes = 0;
    let mut now = 0;
    while now < HOUR {
        for action in due(&mut plan, now).await {
            if let Action::Challenge {
                object, peer: whom, ..
            } = action
            {
                probes += u32::from(whom == peer(0));
                let proof = if whom == peer(0) {
                    Proof::Silent
                } else {
                    Proof::Proven
                };
                plan.proved(&object, &whom, proof, now).await.unwrap();
            }
        }
        now = later(&mut plan, now).await.unwrap();
    }
    assert!((3..=8).contains(&probes), "{probes}");
}

#[tokio::test]
async fn who_is_away_for_too_long_is_no_holder_any_more() {
    let config = RepairConfig::default();
    let mut plan = plan_with(true, &[1, 2, 3, 4]).await;
    plan.peer_down(&peer(4), 0);
    let mut now = 0;
    while now < config.forget_after + HOUR {
        for action in due(&mut plan, now).await {
            if let Action::Challenge {
                object, peer: whom, ..
            } = action
            {
                let proof = if whom == peer(4) {
                    Proof::Silent
                } else {
                    Proof::Proven
                };
                plan.proved(&object, &whom, proof, now).await.unwrap();
            }
        }
        now = later(&mut plan, now).await.unwrap();
    }
    let holders = plan.copies(&object(1), now).await.unwrap().unwrap().holders;
    assert_eq!(holders.len(), 3);
    assert!(!plan.peers.is_known(key(4)), "nothing is remembered of it");
}

#[tokio::test]
async fn what_is_dropped_is_not_looked_after_any_more() {
    let mut plan = plan_with(true, &[]).await;
    assert_eq!(time_to_place(&mut plan, 0).await.unwrap().1, 3);
    plan.drop_object(&object(1)).await.unwrap();
    plan.placed(&object(1), &peers(&[1]), None, 10).await.unwrap();
    plan.transferred(&object(1), &peers(&[1]), 10).await.unwrap();
    plan.hinted(&object(1), &peers(&[1]), key(2)).await.unwrap();
    assert_eq!(due(&mut plan, HOUR).await, []);
    assert_eq!(plan.totals(), (0, 0));
    assert_eq!(plan.copies(&object(1), HOUR).await.unwrap(), None);
    assert_eq!(plan.next_due(HOUR).await.unwrap(), None);
}

#[tokio::test]
async fn only_the_farthest_of_more_holders_than_needed_may_drop_its_copy() {
    let mut order = [1, 2, 3, 4];
    order.sort_by_key(|index| key(*index).distance(&object(1)));
    let plan_of = async |me: u64| {
        let mut plan = new_plan(me, RepairConfig::default()).await;
        let others: Vec<u64> = order.into_iter().filter(|index| *index != me).collect();
        keep_proven(&mut plan, 1, false, &others, 0).await;
        plan
    };
    let mut droppers = Vec::new();
    for me in order {
        if plan_of(me).await.surplus(9, HOUR).await.unwrap() == [object(1)] {
            droppers.push(me);
        }
    }
    assert_eq!(droppers, [order[3]]);
    let mut farthest = plan_of(order[3]).await;
    let late = farthest.surplus(9, 13 * HOUR).await.unwrap();
    assert_eq!(late, [], "nobody proved it of late");
    farthest.peer_down(&peer(order[0]), HOUR);
    let few = farthest.surplus(9, HOUR).await.unwrap();
    assert_eq!(few, [], "two others are too few");
    let own = plan_with(true, &[1, 2, 3, 4])
        .await
        .surplus(9, HOUR)
        .await
        .unwrap();
    assert_eq!(own, [], "own ones stay");
}

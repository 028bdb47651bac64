use alloy_primitives::Address;
use dm_core::hash::DataHash;

use super::*;

mod ends;
mod histories;

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;

fn object(seed: u8) -> ObjectId {
    ObjectId {
        locator: DataHash::of(&[seed]).locator(),
        owner: Address::repeat_byte(1),
    }
}

fn key(index: u64) -> PeerKey {
    PeerKey::of(&format!("peer {index}"))
}

fn proven(index: u64) -> Holder {
    Holder {
        peer: key(index),
        since: 0,
        proved: Some(0),
    }
}

/// A plan whose only object has these proven holders.
fn plan_with(own: bool, holders: &[u64]) -> RepairPlan {
    let mut plan = RepairPlan::new(key(1000), RepairConfig::default(), 0);
    let holders = holders.iter().map(|index| proven(*index)).collect();
    plan.keep(object(1), own, 1000, holders, 0);
    plan
}

/// Answers challenges with proofs and searches with nothing until a copy is
/// to be placed; when that is, and how many.
fn time_to_place(plan: &mut RepairPlan, mut now: u64) -> Option<(u64, u32)> {
    for _ in 0..10_000 {
        for action in plan.due(now) {
            match action {
                Action::Challenge { object, peer } if plan.peers.is_up(peer) => {
                    plan.proved(&object, peer, Proof::Proven, now);
                }
                Action::Challenge { object, peer } => plan.proved(&object, peer, Proof::Silent, now),
                Action::Search { object } => plan.found(&object, &[], now),
                Action::Place { copies, .. } => return Some((now, copies)),
                Action::Expire { .. } | Action::Record { .. } => {}
            }
        }
        now = plan.next_due(now)?.max(now + 1);
    }
    None
}

#[test]
fn a_holder_that_has_gone_is_replaced_after_its_grace() {
    let config = RepairConfig::default();
    let mut plan = plan_with(true, &[1, 2, 3]);
    assert_eq!(plan.copies(&object(1), 0).unwrap().live, 3);
    plan.peer_down(key(1), 0);
    let (at, copies) = time_to_place(&mut plan, 0).unwrap();
    assert_eq!(copies, 1);
    let latest = config.grace + 3 * config.turn;
    assert!((config.grace..=latest).contains(&at), "{at}");
}

#[test]
fn a_holder_that_comes_back_in_time_is_not_replaced() {
    let mut plan = plan_with(true, &[1, 2, 3]);
    plan.peer_down(key(1), 0);
    for action in plan.due(30 * SECOND) {
        assert!(!matches!(action, Action::Place { .. } | Action::Search { .. }));
    }
    plan.peer_up(key(1), 60 * SECOND);
    assert_eq!(plan.copies(&object(1), 60 * SECOND).unwrap().live, 3);
    let due = plan.due(200 * SECOND);
    let asked = Action::Challenge {
        object: object(1),
        peer: key(1),
    };
    assert!(due.contains(&asked), "whether it still has its disk: {due:?}");
    assert!(!due.iter().any(|action| matches!(action, Action::Place { .. })));
}

#[test]
fn with_one_copy_left_nothing_is_waited_for() {
    let mut plan = plan_with(true, &[1, 2, 3]);
    for index in 1..=3 {
        plan.peer_down(key(index), 5);
    }
    assert_eq!(time_to_place(&mut plan, 5), Some((6, 3)));
}

#[test]
fn one_copy_left_goes_first() {
    let mut plan = RepairPlan::new(
        key(1000),
        RepairConfig {
            places: 1,
            ..RepairConfig::default()
        },
        0,
    );
    for seed in 0..20 {
        // The more holders are left, the lower the seed.
        let left = (19 - u64::from(seed)) / 7;
        let holders = (0..left).map(proven).collect();
        plan.keep(object(seed), true, 1000, holders, 0);
    }
    let mut order = Vec::new();
    let mut now = HOUR;
    while order.len() < 20 {
        for action in plan.due(now) {
            match action {
                Action::Challenge { object, peer } => plan.proved(&object, peer, Proof::Proven, now),
                Action::Search { object } => plan.found(&object, &[], now),
                Action::Place { object, copies, .. } => {
                    order.push(copies);
                    plan.placed(&object, &[key(7), key(8), key(9)], now);
                }
                Action::Expire { .. } | Action::Record { .. } => {}
            }
        }
        now += SECOND / 10;
    }
    // Those with no other copy were waiting no longer than the rest.
    assert!(order[..6].iter().all(|copies| *copies == 3), "{order:?}");
}

#[test]
fn holders_take_turns() {
    let config = RepairConfig::default();
    let mut peers = [1, 2, 3];
    peers.sort_by_key(|index| key(*index).distance(&object(1)));
    let [near, far, gone] = peers;
    let begins = |me: u64, other: u64| {
        let mut plan = RepairPlan::new(key(me), config, 0);
        plan.keep(object(1), false, 1000, vec![proven(other), proven(gone)], 0);
        // A replica counts itself: two others are enough.
        assert_eq!(plan.copies(&object(1), 0).unwrap().wanted, 2);
        plan.peer_down(key(gone), 0);
        time_to_place(&mut plan, 0).unwrap().0
    };
    let (first, second) = (begins(near, far), begins(far, near));
    assert!((config.grace / 2..config.grace).contains(&first), "{first}");
    assert!(second >= first + config.turn, "{first} {second}");
}

#[test]
fn who_had_no_copy_is_replaced_and_not_believed_again() {
    let config = RepairConfig::default();
    for (proof, avoided) in [
        (Proof::Missing, config.longest_pause),
        (Proof::Wrong, config.forget_after),
    ] {
        let mut plan = plan_with(true, &[1, 2, 3]);
        plan.proved(&object(1), key(2), proof, 0);
        plan.told(&object(1), &[key(2)], 1);
        assert_eq!(plan.copies(&object(1), 1).unwrap().live, 2);
        let mut now = 1;
        let avoid = loop {
            now += SECOND;
            let due = plan.due(now);
            if due.iter().any(|action| matches!(action, Action::Search { .. })) {
                plan.found(&object(1), &[key(2)], now);
            }
            if let Some(Action::Place { avoid, .. }) = due
                .into_iter()
                .find(|action| matches!(action, Action::Place { .. }))
            {
                break avoid;
            }
        };
        assert!([1, 2, 3].iter().all(|index| avoid.contains(&key(*index))));
        let later = avoided + now;
        plan.told(&object(1), &[key(2)], later);
        assert!(
            plan.record(&object(1))
                .unwrap()
                .iter()
                .any(|holder| holder.peer == key(2))
        );
    }
}

#[test]
fn claims_that_are_not_proven_do_not_count_for_long() {
    let mut plan = plan_with(true, &[]);
    plan.told(&object(1), &[key(1), key(2), key(3)], 0);
    assert_eq!(plan.copies(&object(1), 0).unwrap().live, 3);
    let asked = plan.due(1);
    assert_eq!(
        asked
            .iter()
            .filter(|action| matches!(action, Action::Challenge { .. }))
            .count(),
        3
    );
    let patience = RepairConfig::default().claim_patience;
    assert_eq!(plan.copies(&object(1), patience).unwrap().live, 0);
}

#[test]
fn copies_that_nobody_takes_are_offered_ever_more_rarely_until_a_peer_appears() {
    let mut plan = plan_with(true, &[]);
    let mut times = Vec::new();
    let mut now = 0;
    for _ in 0..6 {
        let (at, _) = time_to_place(&mut plan, now).unwrap();
        times.push(at);
        plan.placed(&object(1), &[], at);
        now = at;
    }
    let pauses: Vec<u64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / SECOND)
        .collect();
    assert_eq!(pauses, [60, 120, 240, 480, 960]);
    plan.peer_up(key(5), now + SECOND);
    let (at, _) = time_to_place(&mut plan, now + SECOND).unwrap();
    assert!(at <= now + 2 * SECOND);
}

#[test]
fn challenges_and_bytes_are_limited() {
    let config = RepairConfig {
        challenges_per_second: 10,
        bytes_per_second: 1000,
        places: 100,
        ..RepairConfig::default()
    };
    let mut plan = RepairPlan::new(key(1000), config, 0);
    for seed in 0..200 {
        plan.keep(object(seed), true, 500, Vec::new(), 0);
    }
    let (mut searches, mut copies) = (0, 0);
    for now in (0..20 * SECOND).step_by(100) {
        for action in plan.due(now) {
            match action {
                Action::Search { object } => {
                    searches += 1;
                    plan.found(&object, &[], now);
                }
                Action::Place {
                    object,
                    copies: missing,
                    ..
                } => {
                    copies += u64::from(missing);
                    plan.placed(&object, &[key(1), key(2), key(3)], now);
                }
                Action::Challenge { object, peer } => plan.proved(&object, peer, Proof::Proven, now),
                Action::Expire { .. } | Action::Record { .. } => {}
            }
        }
        assert!(searches <= 11 + now / 100, "{searches} after {now} ms");
        assert!(copies * 500 <= 1000 + 1500 + now, "{copies} after {now} ms");
    }
    assert!(searches >= 10 && copies >= 30);
}

#[test]
fn a_peer_that_is_away_is_asked_once_for_all_of_its_objects() {
    let mut plan = RepairPlan::new(key(1000), RepairConfig::default(), 0);
    for seed in 0..50 {
        let holders = (0..4).map(proven).collect();
        plan.keep(object(seed), true, 1000, holders, 0);
    }
    plan.peer_down(key(0), 0);
    let mut probes = 0;
    let mut now = 0;
    while now < HOUR {
        for action in plan.due(now) {
            if let Action::Challenge { object, peer } = action {
                probes += u32::from(peer == key(0));
                let proof = if peer == key(0) {
                    Proof::Silent
                } else {
                    Proof::Proven
                };
                plan.proved(&object, peer, proof, now);
            }
        }
        now = plan.next_due(now).unwrap().max(now + 1);
    }
    assert!((3..=8).contains(&probes), "{probes}");
}

#[test]
fn what_is_dropped_is_not_looked_after_any_more() {
    let mut plan = plan_with(true, &[]);
    assert_eq!(time_to_place(&mut plan, 0).unwrap().1, 3);
    plan.drop_object(&object(1));
    plan.placed(&object(1), &[key(1)], 10);
    plan.told(&object(1), &[key(1)], 10);
    assert_eq!(plan.due(HOUR), [Action::Record { object: object(1) }]);
    assert_eq!((plan.totals(), plan.record(&object(1))), ((0, 0), None));
    assert_eq!(plan.next_due(HOUR), None);
}

#[test]
fn only_the_farthest_of_more_holders_than_needed_may_drop_its_copy() {
    let mut peers = [1, 2, 3, 4];
    peers.sort_by_key(|index| key(*index).distance(&object(1)));
    let plan_of = |me: u64| {
        let mut plan = RepairPlan::new(key(me), RepairConfig::default(), 0);
        let others = peers.iter().filter(|peer| **peer != me);
        plan.keep(
            object(1),
            false,
            1000,
            others.map(|peer| proven(*peer)).collect(),
            0,
        );
        plan
    };
    let droppers: Vec<u64> = peers
        .into_iter()
        .filter(|me| plan_of(*me).surplus(9, HOUR) == [object(1)])
        .collect();
    assert_eq!(droppers, [peers[3]]);
    let mut farthest = plan_of(peers[3]);
    assert_eq!(farthest.surplus(9, 13 * HOUR), [], "nobody proved it of late");
    farthest.peer_down(key(peers[0]), HOUR);
    assert_eq!(farthest.surplus(9, HOUR), [], "two others are too few");
    assert_eq!(
        plan_with(true, &[1, 2, 3, 4]).surplus(9, HOUR),
        [],
        "own ones stay"
    );
}

#[test]
fn copies_that_wait_and_are_not_begun_show_since_when() {
    let config = RepairConfig {
        bytes_per_second: 1,
        ..RepairConfig::default()
    };
    let mut plan = RepairPlan::new(key(1000), config, 0);
    plan.keep(object(1), true, 1_000_000, Vec::new(), 0);
    assert_eq!(plan.copies_waiting_since(), None);
    time_to_place(&mut plan, 0).unwrap();
    plan.keep(object(2), true, 1000, Vec::new(), SECOND);
    for action in plan.due(SECOND) {
        if let Action::Search { object } = action {
            plan.found(&object, &[], SECOND);
        }
    }
    for now in [2 * SECOND, 3 * SECOND, HOUR] {
        assert!(
            !plan
                .due(now)
                .iter()
                .any(|action| matches!(action, Action::Place { .. }))
        );
        assert_eq!(plan.copies_waiting_since(), Some(2 * SECOND));
    }
    plan.drop_object(&object(2));
    plan.due(HOUR + SECOND);
    assert_eq!(plan.copies_waiting_since(), None);
}

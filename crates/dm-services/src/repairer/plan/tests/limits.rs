//! What is done first, and how much of it.

use dm_core::ports::NotTaken;

use super::*;

#[tokio::test]
async fn one_copy_left_goes_first() {
    let config = RepairConfig {
        places: 1,
        searches_per_second: 1000,
        ..RepairConfig::default()
    };
    let mut plan = new_plan(1000, config).await;
    for seed in 0..20 {
        // The more holders are left, the lower the seed.
        let left = (19 - u64::from(seed)) / 7;
        let holders: Vec<u64> = (0..left).collect();
        keep_proven(&mut plan, seed, true, &holders, 0).await;
    }
    let mut order = Vec::new();
    let mut now = HOUR;
    while order.len() < 20 {
        for action in due(&mut plan, now).await {
            match action {
                Action::Challenge { object, peer, .. } => {
                    plan.proved(&object, &peer, Proof::Proven, now).await.unwrap();
                }
                Action::Search { object } => plan.found(&object, &[], now).await.unwrap(),
                Action::Place { object, copies, .. } => {
                    order.push(copies);
                    plan.placed(&object, &peers(&[7, 8, 9]), None, now).await.unwrap();
                }
                Action::Expire { .. } | Action::Count { .. } => {}
            }
        }
        now += SECOND / 10;
    }
    let first_alone = order.iter().position(|copies| *copies == 3).unwrap();
    // Searching for other holders takes one round more; nothing else goes between.
    assert!(first_alone <= 2, "{order:?}");
    assert!(
        order[first_alone..first_alone + 6]
            .iter()
            .all(|copies| *copies == 3),
        "{order:?}"
    );
}

#[tokio::test]
async fn challenges_searches_and_bytes_have_limits_of_their_own() {
    let config = RepairConfig {
        challenges_per_second: 5,
        searches_per_second: 10,
        bytes_per_second: 1000,
        places: 100,
        ..RepairConfig::default()
    };
    let mut plan = new_plan(1000, config).await;
    for seed in 0..200 {
        plan.keep(&object(seed), true, 500, None, 0).await.unwrap();
    }
    let (mut searches, mut copies, mut challenges) = (0, 0, 0);
    for now in (0..200 * SECOND).step_by(100) {
        for action in due(&mut plan, now).await {
            match action {
                Action::Search { object } => {
                    searches += 1;
                    plan.found(&object, &[], now).await.unwrap();
                }
                Action::Place {
                    object,
                    copies: missing,
                    ..
                } => {
                    copies += u64::from(missing);
                    plan.placed(&object, &peers(&[1, 2, 3]), None, now).await.unwrap();
                }
                Action::Challenge { object, peer, .. } => {
                    challenges += 1;
                    plan.proved(&object, &peer, Proof::Proven, now).await.unwrap();
                }
                Action::Expire { .. } | Action::Count { .. } => {}
            }
        }
        assert!(searches <= 10 + now / 100, "{searches} after {now} ms");
        assert!(copies * 500 <= 1000 + 1500 + now, "{copies} after {now} ms");
        assert!(challenges <= 20 + now / 200, "{challenges} after {now} ms");
    }
    assert!(
        searches >= 100 && copies >= 100 && challenges >= 50,
        "{searches} {copies} {challenges}"
    );
}

#[tokio::test]
async fn what_no_peer_takes_costs_nothing_and_holds_up_nobody() {
    let config = RepairConfig {
        bytes_per_second: 1000,
        places: 1,
        ..RepairConfig::default()
    };
    let mut plan = new_plan(1000, config).await;
    // An object that is far too large, and has waited for longest.
    plan.keep(&object(1), true, 1 << 40, None, 0).await.unwrap();
    plan.keep(&object(2), true, 500, None, 1).await.unwrap();
    let mut taken = None;
    let mut now = 1;
    while taken.is_none() && now < 60 * SECOND {
        for action in due(&mut plan, now).await {
            match action {
                Action::Search { object } => plan.found(&object, &[], now).await.unwrap(),
                Action::Place { object: large, .. } if large == object(1) => {
                    let refused = Some(NotTaken::TooLarge);
                    plan.placed(&large, &[], refused, now).await.unwrap();
                }
                Action::Place { object, .. } => {
                    plan.placed(&object, &peers(&[1, 2, 3]), None, now).await.unwrap();
                    taken = Some(now);
                }
                _ => {}
            }
        }
        now = later(&mut plan, now).await.unwrap();
    }
    assert!(taken.unwrap() <= 2 * SECOND, "{taken:?}");
    due(&mut plan, now).await;
    assert_eq!(plan.not_taken(NotTaken::TooLarge, 10).await.unwrap(), 1);
    let copies = plan.copies(&object(1), now).await.unwrap().unwrap();
    assert_eq!(copies.not_taken, Some(NotTaken::TooLarge));
}

#[tokio::test]
async fn repair_goes_on_while_challenges_are_behind() {
    let config = RepairConfig {
        challenges_per_second: 1,
        ..RepairConfig::default()
    };
    let mut plan = new_plan(1000, config).await;
    for seed in 0..200 {
        keep_proven(&mut plan, seed, true, &[1, 2, 3], 0).await;
    }
    // All of them are due.
    let now = 10 * HOUR;
    plan.keep(&object(250), true, 1000, None, now).await.unwrap();
    plan.proved(&object(250), &peer(1), Proof::Proven, now)
        .await
        .unwrap();
    let placed = |actions: Vec<Action>| {
        let mut placed = actions.into_iter();
        placed.any(|action| matches!(action, Action::Place { object: at, .. } if at == object(250)))
    };
    let mut at = now;
    while !placed(due(&mut plan, at).await) {
        at = later(&mut plan, at).await.unwrap();
        assert!(at < now + 2 * config.grace);
    }
}

#[tokio::test]
async fn copies_that_wait_and_are_not_begun_show_since_when() {
    let config = RepairConfig {
        bytes_per_second: 1,
        ..RepairConfig::default()
    };
    let mut plan = new_plan(1000, config).await;
    plan.keep(&object(1), true, 1_000_000, None, 0).await.unwrap();
    assert_eq!(plan.copies_waiting_since(), None);
    time_to_place(&mut plan, 0).await.unwrap();
    plan.keep(&object(2), true, 1000, None, SECOND).await.unwrap();
    for now in [SECOND, SECOND + 1] {
        for action in due(&mut plan, now).await {
            if let Action::Search { object } = action {
                plan.found(&object, &[], now).await.unwrap();
            }
        }
    }
    for now in [2 * SECOND, 3 * SECOND, HOUR / 2] {
        let actions = due(&mut plan, now).await;
        assert!(
            !actions
                .iter()
                .any(|action| matches!(action, Action::Place { .. }))
        );
        assert_eq!(plan.copies_waiting_since(), Some(SECOND + 1));
    }
    plan.drop_object(&object(2)).await.unwrap();
    due(&mut plan, HOUR / 2 + SECOND).await;
    assert_eq!(plan.copies_waiting_since(), None);
}

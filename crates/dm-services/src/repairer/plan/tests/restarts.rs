//! A plan that is opened again goes on where it was.

use super::*;

#[tokio::test]
async fn nothing_proven_is_challenged_again_before_its_time() {
    let store = MemoryKeyValueStore::new();
    let config = RepairConfig::default();
    let mut plan = open(&store, 1000, config, 0).await;
    for seed in 0..100 {
        keep_proven(&mut plan, seed, true, &[1, 2, 3], 0).await;
    }
    due(&mut plan, 0).await;
    for restart in 1..5 {
        let now = restart * HOUR;
        plan = open(&store, 1000, config, now).await;
        for index in 1..=3 {
            plan.peer_up(&peer(index));
        }
        let actions = due(&mut plan, now).await;
        assert_eq!(actions, [], "after restart {restart}");
    }
    let mut challenged = 0;
    let mut now = 6 * HOUR;
    while now < 7 * HOUR {
        for action in due(&mut plan, now).await {
            if let Action::Challenge { object, peer, .. } = action {
                challenged += 1;
                plan.proved(&object, &peer, Proof::Proven, now).await.unwrap();
            }
        }
        now = later(&mut plan, now).await.unwrap();
    }
    assert_eq!(challenged, 300);
}

#[tokio::test]
async fn a_peer_that_did_not_come_back_with_this_node_is_asked_and_replaced() {
    let store = MemoryKeyValueStore::new();
    let config = RepairConfig::default();
    let mut plan = open(&store, 1000, config, 0).await;
    keep_proven(&mut plan, 1, true, &[1, 2, 3], 0).await;
    due(&mut plan, 0).await;
    let start = HOUR;
    let mut plan = open(&store, 1000, config, start).await;
    plan.peer_up(&peer(1));
    plan.peer_up(&peer(2));
    let mut now = start;
    let placed = loop {
        let actions = due(&mut plan, now).await;
        if actions
            .iter()
            .any(|action| matches!(action, Action::Place { .. }))
        {
            break now;
        }
        for action in actions {
            if let Action::Challenge {
                object, peer: whom, ..
            } = action
            {
                assert_eq!(whom, peer(3), "the others are there");
                plan.proved(&object, &whom, Proof::Silent, now).await.unwrap();
            }
        }
        now = later(&mut plan, now).await.unwrap();
    };
    let latest = start + config.first_pause + config.grace + 3 * config.turn;
    assert!(placed <= latest, "{placed} {latest}");
}

#[tokio::test]
async fn what_was_being_told_of_a_peer_is_told_to_the_end() {
    let store = MemoryKeyValueStore::new();
    let config = RepairConfig {
        // Long before anything else would notice.
        first_pause: 10 * HOUR,
        challenge_interval: 1000 * HOUR,
        ..RepairConfig::default()
    };
    let mut plan = open(&store, 1000, config, 0).await;
    for seed in 0..=255 {
        keep_proven(&mut plan, seed, true, &[1, 2, 3], 0).await;
    }
    for seed in 0..=255u8 {
        let owner = Address::repeat_byte(2);
        let second = ObjectId {
            owner,
            ..object(seed)
        };
        plan.keep(&second, true, 1000, None, 0).await.unwrap();
        for index in 1..=3 {
            plan.proved(&second, &peer(index), Proof::Proven, 0)
                .await
                .unwrap();
        }
    }
    plan.peer_down(&peer(1), SECOND);
    let patience = config.away_patience();
    // The first page has been told when the process is killed.
    due(&mut plan, SECOND + patience).await;
    let (_, short) = plan.totals();
    assert!(short > 0 && short < 512, "{short}");
    let mut plan = open(&store, 1000, config, 2 * SECOND + patience).await;
    for step in 0..4 {
        due(&mut plan, (3 + step) * SECOND + patience).await;
    }
    assert_eq!(plan.totals(), (512, 512));
}

#[tokio::test]
async fn a_damaged_entry_has_the_index_made_anew() {
    let store = MemoryKeyValueStore::new();
    let mut plan = open(&store, 1000, RepairConfig::default(), 0).await;
    keep_proven(&mut plan, 1, true, &[1], 0).await;
    plan.set_complete().await.unwrap();
    let mut garbage = dm_core::ports::WriteBatch::new();
    garbage.put(record::keys::record(&object(1)), &b"\x01garbage"[..]);
    store.commit(garbage).await.unwrap();
    let mut plan = open(&store, 1000, RepairConfig::default(), 0).await;
    assert!(plan.is_complete());
    plan.keep(&object(1), true, 1000, None, 1).await.unwrap();
    assert!(!plan.is_complete(), "others may be damaged as well");
    due(&mut plan, 1).await;
    let copies = plan.copies(&object(1), 1).await.unwrap().unwrap();
    assert_eq!((copies.wanted, copies.live), (3, 0));
}

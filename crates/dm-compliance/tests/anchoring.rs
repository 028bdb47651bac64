//! Anchoring: outages, reorganisations, a chain that begins anew.

use std::time::Duration;

use dm_core::{
    config::ComplianceConfig,
    ports::{ComplianceLog, EventLog},
};

use crate::support::{Life, chain::SimulatedChain, events::MemoryEvents};

/// Long enough for several looks at open checkpoints; the clock is simulated.
const LOOKS: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn what_waited_for_the_chain_is_anchored_once_when_it_is_back() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    chain.set_away(true);
    let life = Life::start(&events, &chain).await;
    for n in 0..10 {
        let index = life.record(n).await;
        let anchor = life
            .manager
            .wait_for_anchor(index, Duration::from_secs(3600))
            .await
            .unwrap();
        assert_eq!(anchor, None);
    }
    chain.set_away(false);
    let anchor = life.anchor_of(9).await;
    assert_eq!(life.anchor_of(0).await, anchor);
    tokio::time::sleep(LOOKS).await;
    assert_eq!(chain.submitted(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_anchor_that_was_mined_while_the_chain_was_out_of_sight_is_not_sent_again() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    chain.hold_back();
    let index = life.record(0).await;
    chain.until_submitted(1).await;
    chain.set_away(true);
    assert_eq!(life.manager.wait_for_anchor(index, LOOKS).await.unwrap(), None);
    chain.mine();
    chain.set_away(false);
    life.anchor_of(index).await;
    assert_eq!(chain.submitted(), 1);
    assert!(life.has_valid_receipt(index).await);
}

#[tokio::test(start_paused = true)]
async fn an_anchor_lost_in_a_reorganisation_is_sent_again() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    for n in 0..4 {
        let index = life.record(n).await;
        life.anchor_of(index).await;
    }
    let before = chain.accepted();
    chain.reorganise(2);
    assert!(!life.has_valid_receipt(3).await);
    tokio::time::sleep(LOOKS).await;
    assert_eq!(chain.accepted().last().unwrap().0, before.last().unwrap().0);
    assert_eq!(events.checkpoint_sizes().await, [1, 2, 4]);
    for index in 0..4 {
        assert!(life.has_valid_receipt(index).await, "event {index}");
    }
    assert_eq!(life.manager.fault(), None);
}

#[tokio::test(start_paused = true)]
async fn an_anchor_that_moved_to_another_block_is_updated() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let index = life.record(0).await;
    life.anchor_of(index).await;
    chain.move_last_anchor();
    assert!(!life.has_valid_receipt(index).await);
    tokio::time::sleep(LOOKS).await;
    assert!(life.has_valid_receipt(index).await);
    assert_eq!(chain.submitted(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_anchor_is_watched_until_it_has_its_confirmations() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let index = life.record(0).await;
    life.anchor_of(index).await;
    chain.grow(11);
    tokio::time::sleep(LOOKS).await;
    assert_eq!(events.open_checkpoints().await.unwrap().len(), 1);
    chain.grow(1);
    tokio::time::sleep(LOOKS).await;
    assert!(events.open_checkpoints().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn on_a_chain_that_began_anew_the_whole_log_is_anchored_again() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    for n in 0..5 {
        let index = life.record(n).await;
        life.anchor_of(index).await;
    }
    life.kill();
    chain.wipe();
    let life = Life::start(&events, &chain).await;
    let last = life.record(5).await;
    life.anchor_of(last).await;
    for index in 0..=last {
        assert!(life.has_valid_receipt(index).await, "event {index}");
    }
    assert_eq!(life.manager.fault(), None);
    let sizes: Vec<_> = chain
        .accepted()
        .iter()
        .map(|(checkpoint, _)| checkpoint.size)
        .collect();
    assert_eq!(
        sizes,
        events.checkpoint_sizes().await,
        "nothing of the old chain is kept"
    );
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_begins_anew_under_a_running_node_is_noticed() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let index = life.record(0).await;
    life.anchor_of(index).await;
    chain.wipe();
    tokio::time::sleep(LOOKS).await;
    assert!(life.has_valid_receipt(index).await);
    assert_eq!(life.record(1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn an_anchor_covers_no_more_new_events_than_configured() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    chain.set_away(true);
    let config = ComplianceConfig {
        max_batch: 10,
        ..ComplianceConfig::default()
    };
    let life = Life::start_with(&events, &chain, config).await;
    for n in 0..25 {
        life.record(n).await;
    }
    chain.set_away(false);
    life.anchor_of(24).await;
    let sizes: Vec<_> = chain
        .accepted()
        .iter()
        .map(|(checkpoint, _)| checkpoint.size)
        .collect();
    assert_eq!(sizes, [10, 20, 25]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_lags_takes_no_checkpoint_away_and_lets_nothing_be_sent_again() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    for n in 0..4 {
        let index = life.record(n).await;
        life.anchor_of(index).await;
    }
    chain.set_lag(2);
    tokio::time::sleep(LOOKS).await;
    assert_eq!(events.checkpoint_sizes().await, [1, 2, 3, 4]);
    // Nor after a restart, when the heads are compared.
    life.kill();
    let life = Life::start(&events, &chain).await;
    tokio::time::sleep(LOOKS).await;
    assert_eq!(events.checkpoint_sizes().await, [1, 2, 3, 4]);
    chain.set_lag(0);
    let index = life.record(4).await;
    life.anchor_of(index).await;
    assert_eq!(chain.submitted(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_begins_anew_is_noticed_although_all_was_final_and_nothing_is_recorded() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let index = life.record(0).await;
    life.anchor_of(index).await;
    chain.grow(100);
    tokio::time::sleep(LOOKS).await;
    assert!(events.open_checkpoints().await.unwrap().is_empty());
    chain.wipe();
    tokio::time::sleep(6 * LOOKS).await;
    assert!(life.has_valid_receipt(index).await);
}

#[tokio::test(start_paused = true)]
async fn an_anchor_that_the_chain_refuses_is_made_again() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    chain.hold_back();
    let index = life.record(0).await;
    chain.until_submitted(1).await;
    chain.refuse_waiting();
    life.anchor_of(index).await;
    assert!(life.has_valid_receipt(index).await);
}

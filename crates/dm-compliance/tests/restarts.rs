//! A node that is killed anywhere loses nothing and anchors nothing twice.

use dm_core::ports::ComplianceLog;

use crate::support::{Life, chain::SimulatedChain, events::MemoryEvents};

#[tokio::test(start_paused = true)]
async fn killed_between_append_and_anchor_the_event_is_anchored_by_the_next_life() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let first = life.record(0).await;
    life.anchor_of(first).await;
    life.kill();
    let second = life.record(1).await;

    let life = Life::start(&events, &chain).await;
    life.anchor_of(second).await;
    assert!(life.has_valid_receipt(first).await && life.has_valid_receipt(second).await);
    assert_eq!(chain.submitted(), 2);
    assert_eq!(life.record(2).await, 2);
}

#[tokio::test(start_paused = true)]
async fn killed_while_its_anchor_was_mined_the_next_life_finds_the_transaction() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    chain.hold_back();
    let index = life.record(0).await;
    chain.until_submitted(1).await;
    life.kill();
    chain.mine();

    let life = Life::start(&events, &chain).await;
    let anchor = life.anchor_of(index).await;
    assert_eq!(anchor, chain.accepted()[0].1);
    assert_eq!(chain.submitted(), 1);
    assert!(life.has_valid_receipt(index).await);
}

#[tokio::test(start_paused = true)]
async fn killed_before_its_anchor_was_mined_the_next_life_anchors_the_event_once() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    chain.hold_back();
    let index = life.record(0).await;
    chain.until_submitted(1).await;
    life.kill();

    let life = Life::start(&events, &chain).await;
    chain.until_submitted(2).await;
    chain.mine();
    life.anchor_of(index).await;
    assert_eq!(
        chain.accepted().len(),
        1,
        "the contract takes one of the two transactions"
    );
    assert_eq!(life.manager.fault(), None);
    assert!(life.has_valid_receipt(index).await);
}

#[tokio::test(start_paused = true)]
async fn many_lives_make_one_log_without_gaps() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    for life_number in 0..20u64 {
        let life = Life::start(&events, &chain).await;
        for n in 0..life_number % 4 {
            let index = life.record(n as u8).await;
            if n % 2 == 0 {
                life.anchor_of(index).await;
            }
        }
        life.kill();
    }
    let life = Life::start(&events, &chain).await;
    let last = life.record(0).await;
    life.anchor_of(last).await;
    assert_eq!(life.manager.anchored_size().await.unwrap(), last + 1);
    for index in 0..=last {
        assert!(life.has_valid_receipt(index).await, "event {index}");
    }
}

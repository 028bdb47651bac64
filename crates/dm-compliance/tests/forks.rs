//! Two histories of one log are never continued silently.

use std::time::Duration;

use dm_core::{
    news::News,
    ports::{ComplianceError, ComplianceLog, EventLog},
};
use dm_testing::{compliance::conformance::share, waiting::eventually};

use crate::support::{Life, chain::SimulatedChain, events::MemoryEvents};

/// Records until the log refuses, and says why it does.
async fn refusal(life: &Life) -> String {
    eventually("the log refuses", async || {
        match life.manager.record(share(99)).await {
            Ok(_) => None,
            Err(ComplianceError::Forked(reason)) => Some(reason),
            Err(error) => panic!("{error}"),
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn of_two_nodes_with_copies_of_one_log_the_second_reports_the_fork_and_refuses() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let first = Life::start(&events, &chain).await;
    let index = first.record(0).await;
    first.anchor_of(index).await;
    let copy = events.copy().await;
    let second = Life::start(&copy, &chain).await;
    let index = first.record(1).await;
    first.anchor_of(index).await;

    let index = second.record(2).await;
    let waited = second
        .manager
        .wait_for_anchor(index, Duration::from_secs(3600))
        .await;
    assert!(matches!(waited, Ok(None) | Err(ComplianceError::Forked(_))));
    let reason = refusal(&second).await;
    assert!(reason.contains("another node"), "{reason}");
    assert_eq!(second.manager.fault(), Some(reason));
    assert!(
        second
            .bus
            .history(200)
            .iter()
            .any(|event| matches!(event.news, News::SystemError(_)))
    );
    assert_eq!(copy.checkpoint_sizes().await, [1], "the fork is not anchored");

    let index = first.record(3).await;
    first.anchor_of(index).await;
    assert_eq!(first.manager.fault(), None);
}

#[tokio::test(start_paused = true)]
async fn a_node_with_a_restored_backup_refuses_its_first_event() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    life.record(0).await;
    let backup = events.copy().await;
    let index = life.record(1).await;
    life.anchor_of(index).await;
    life.kill();

    let restored = Life::start(&backup, &chain).await;
    let refused = restored.manager.record(share(1)).await;
    assert!(matches!(refused, Err(ComplianceError::Forked(_))), "{refused:?}");
    let again = Life::start(&backup, &chain).await;
    assert!(
        again.manager.record(share(1)).await.is_err(),
        "a restart does not heal a fork"
    );
    assert_eq!(chain.accepted().last().unwrap().0.size, 2);
}

#[tokio::test(start_paused = true)]
async fn events_recorded_while_the_chain_was_away_do_not_hide_a_fork() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    chain.anchor_foreign();
    chain.set_away(true);
    let life = Life::start(&events, &chain).await;
    life.record(0).await;
    assert_eq!(life.manager.fault(), None);
    chain.set_away(false);
    refusal(&life).await;
    assert_eq!(chain.submitted(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_contradiction_that_passes_is_no_fork_and_shares_wait_for_its_end() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let index = life.record(0).await;
    life.anchor_of(index).await;
    chain.anchor_foreign();
    life.record(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let waiting = tokio::spawn({
        let manager = life.manager.clone();
        async move { manager.record(share(2)).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!waiting.is_finished());
    assert_eq!(life.manager.fault(), None);
    chain.reorganise(1);
    let recorded = waiting.await.unwrap().unwrap();
    life.anchor_of(recorded.index).await;
    assert_eq!(life.manager.fault(), None);
}

#[tokio::test(start_paused = true)]
async fn a_log_goes_on_when_the_chain_agrees_with_it_again() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let index = life.record(0).await;
    life.anchor_of(index).await;
    chain.anchor_foreign();
    refusal(&life).await;
    assert!(life.manager.fault().is_some());

    chain.reorganise(1);
    eventually("the log goes on", async || {
        life.manager.fault().is_none().then_some(())
    })
    .await;
    let index = life.record(1).await;
    life.anchor_of(index).await;
    assert!(life.has_valid_receipt(index).await);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_goes_away_does_not_take_a_contradiction_back() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let index = life.record(0).await;
    life.anchor_of(index).await;
    chain.anchor_foreign();
    life.record(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    chain.set_away(true);
    let refused = life.manager.record(share(2)).await;
    assert!(matches!(refused, Err(ComplianceError::Chain(_))), "{refused:?}");
    assert_eq!(events.event_count().await.unwrap(), 2);

    chain.set_away(false);
    refusal(&life).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_anchored_before_the_fork_keeps_its_receipt() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let index = life.record(0).await;
    life.anchor_of(index).await;
    chain.anchor_foreign();
    refusal(&life).await;
    assert!(life.has_valid_receipt(index).await);
    life.anchor_of(index).await;
}

//! Recording: order, group commit, push-back, failures, shutdown.

use std::time::Duration;

use dm_core::{
    config::ComplianceConfig,
    ports::{CatalogError, ComplianceError, ComplianceLog},
};
use dm_testing::compliance::conformance::share;
use futures::future::join_all;

use crate::support::{Life, chain::SimulatedChain, events::MemoryEvents};

#[tokio::test(start_paused = true)]
async fn a_thousand_concurrent_events_share_few_commits_and_anchors() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    let indexes = join_all((0..1000).map(|n| life.record(n as u8))).await;
    join_all(indexes.iter().map(|&index| life.anchor_of(index))).await;
    assert!(events.appends() <= 20, "{} commits", events.appends());
    assert!(chain.accepted().len() <= 20, "{} anchors", chain.accepted().len());
    assert_eq!(chain.accepted().last().unwrap().0.size, 1000);
    for index in (0..1000).step_by(97) {
        assert!(life.has_valid_receipt(index).await);
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_arrive_while_an_anchor_is_in_flight_share_the_next_one() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    chain.hold_back();
    life.record(0).await;
    chain.until_submitted(1).await;
    for n in 1..50 {
        life.record(n).await;
    }
    chain.mine();
    let anchor = life.anchor_of(49).await;
    assert_eq!(life.anchor_of(1).await, anchor);
    assert_eq!(chain.submitted(), 2);
}

#[tokio::test(start_paused = true)]
async fn instances_that_write_one_log_go_on_behind_each_other() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let lives = [
        Life::start(&events, &chain).await,
        Life::start(&events, &chain).await,
        Life::start(&events, &chain).await,
    ];
    // None of them anchors.
    lives.iter().for_each(Life::kill);
    for round in 0..20 {
        let recorded = join_all((0..9).map(|n| lives[usize::from(n) % lives.len()].record(n)));
        let mut indexes = recorded.await;
        indexes.sort_unstable();
        assert_eq!(indexes, (9 * round..9 * (round + 1)).collect::<Vec<_>>());
    }
    let last = Life::start(&events, &chain).await;
    last.anchor_of(179).await;
    for index in 0..180 {
        assert!(last.has_valid_receipt(index).await, "{index}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_events_than_may_wait_are_turned_away_and_the_others_recorded() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let config = ComplianceConfig {
        max_waiting: 10,
        ..ComplianceConfig::default()
    };
    let life = Life::start_with(&events, &chain, config).await;
    life.record(0).await;
    let results = join_all((0..50).map(|n| life.manager.record(share(n)))).await;
    let overloaded = |result: &_| matches!(result, Err(ComplianceError::Overloaded));
    let turned_away = results.iter().filter(|result| overloaded(result)).count();
    assert_eq!(turned_away, 40);
    assert_eq!(life.record(1).await, 11);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_to_everybody_and_nothing_is_out_of_step_afterwards() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    life.record(0).await;
    events.set_full(true);
    for result in join_all((0..5).map(|n| life.manager.record(share(n)))).await {
        assert!(matches!(
            result,
            Err(ComplianceError::Catalog(CatalogError::Full))
        ));
    }
    events.set_full(false);
    assert_eq!(life.record(1).await, 1);
    life.anchor_of(1).await;
    assert!(life.has_valid_receipt(0).await && life.has_valid_receipt(1).await);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_recorded_though_its_caller_has_gone_away() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    life.record(0).await;
    let mut gone = Box::pin(life.manager.record(share(1)));
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    assert_eq!(life.record(2).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_node_records_what_it_accepted_and_nothing_more() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let life = Life::start(&events, &chain).await;
    life.record(0).await;
    let accepted = join_all((0..20).map(|n| life.manager.record(share(n))));
    let (accepted, stopped) = tokio::join!(accepted, life.supervisor.shut_down(Duration::from_secs(30)));
    assert!(stopped);
    let recorded = accepted.iter().filter(|result| result.is_ok()).count();
    assert_eq!(recorded, 20);
    let late = life.manager.record(share(1)).await;
    assert!(matches!(late, Err(ComplianceError::Stopped)));
    let patience = Duration::from_secs(3600);
    life.manager.wait_for_anchor(20, patience).await.unwrap();
}

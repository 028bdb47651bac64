//! Instances on one log, of which one anchors.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_core::{
    config::ComplianceConfig,
    ports::{ComplianceLog, LeaderTask, Leads},
    tasks::Supervisor,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{Life, chain::SimulatedChain, events::MemoryEvents};

/// Leads when the test says so.
struct OnRequest(watch::Receiver<bool>);

#[async_trait]
impl Leads for OnRequest {
    async fn lead(&self, shutdown: CancellationToken, work: &LeaderTask) -> Result<(), String> {
        let mut leads = self.0.clone();
        loop {
            let begins = leads.wait_for(|leads| *leads);
            if shutdown.run_until_cancelled(begins).await.is_none() {
                return Ok(());
            }
            let over = shutdown.child_token();
            let working = work(over.clone());
            let ends = async {
                let _ = shutdown
                    .run_until_cancelled(leads.wait_for(|leads| !*leads))
                    .await;
                over.cancel();
            };
            tokio::join!(working, ends).0?;
        }
    }
}

async fn instance(events: &MemoryEvents, chain: &SimulatedChain) -> (Life, watch::Sender<bool>) {
    let (leads, led) = watch::channel(false);
    let supervisor = Supervisor::led_by(Arc::new(OnRequest(led)));
    let life = Life::start_on(events, chain, ComplianceConfig::default(), supervisor).await;
    (life, leads)
}

#[tokio::test]
async fn an_instance_that_does_not_anchor_records_and_waits_for_the_anchors_of_the_leader() {
    let (events, chain) = (MemoryEvents::default(), SimulatedChain::new());
    let (first, first_leads) = instance(&events, &chain).await;
    let (second, second_leads) = instance(&events, &chain).await;
    first_leads.send_replace(true);
    let at_leader = first.record(1).await;
    let at_follower = second.record(2).await;
    assert_eq!(at_follower, at_leader + 1);
    for life in [&first, &second] {
        for event in [at_leader, at_follower] {
            life.anchor_of(event).await;
            assert!(life.has_valid_receipt(event).await);
        }
    }
    // The other one takes over a log of which it has recorded a part.
    first_leads.send_replace(false);
    second_leads.send_replace(true);
    let later = first.record(3).await;
    for life in [&first, &second] {
        life.anchor_of(later).await;
        assert_eq!(life.manager.fault(), None);
    }
    for life in [first, second] {
        assert!(life.supervisor.shut_down(Duration::from_secs(10)).await);
    }
}

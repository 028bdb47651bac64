//! The part of health that tells whether anybody leads.

use std::{sync::Arc, time::Duration};

use dm_core::{
    health::Finding,
    instance::InstanceId,
    ports::{HealthCheck, Leases},
};
use dm_services::{Leadership, LeadershipConfig};
use dm_testing::{catalog::MemoryLeases, waiting::eventually};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Longer than a takeover.
const LONG: Duration = Duration::from_secs(10);

fn instance(leases: &Arc<MemoryLeases>, n: u8) -> Leadership {
    Leadership::new(leases.clone(), InstanceId([n; 16]), LeadershipConfig::default())
}

async fn is_working(part: &Arc<dyn HealthCheck>) -> bool {
    part.check().await == Finding::Working
}

#[tokio::test(start_paused = true)]
async fn a_node_that_nobody_leads_for_longer_than_a_takeover_is_degraded() {
    let leases = Arc::new(MemoryLeases::new());
    let (leader, follower) = (instance(&leases, 1), instance(&leases, 2));
    let part = follower.health();
    assert_eq!(part.part(), "leader");
    // Nobody has taken the lease yet, and there is time for it.
    assert!(is_working(&part).await);
    sleep(LeadershipConfig::default().lasts).await;
    assert!(is_working(&part).await);
    sleep(LONG).await;
    let Finding::Degraded(trouble) = part.check().await else {
        panic!("nobody leads");
    };
    assert!(trouble.reason.contains("no instance leads"), "{trouble:?}");
    assert!(!trouble.action.is_empty());
    let since = trouble.since.unwrap();
    sleep(LONG).await;
    let Finding::Degraded(later) = part.check().await else {
        panic!("nobody leads");
    };
    assert_eq!(later.since, Some(since));

    // Another instance leads, and so all is well with this one.
    let shutdown = CancellationToken::new();
    let (leading, until) = (leader.clone(), shutdown.clone());
    let run = tokio::spawn(async move { leading.run(until).await });
    eventually("the other one leads", async || leader.epoch()).await;
    assert!(is_working(&part).await && is_working(&leader.health()).await);
    shutdown.cancel();
    run.await.unwrap().unwrap();
    assert_eq!(leases.lease().await.unwrap(), None);
    assert!(is_working(&part).await);
    sleep(LONG).await;
    assert!(!is_working(&part).await);
}

#[tokio::test(start_paused = true)]
async fn a_takeover_and_a_database_that_is_away_are_no_trouble_of_the_leader() {
    let leases = Arc::new(MemoryLeases::new());
    let part = instance(&leases, 1).health();
    assert!(is_working(&part).await);
    leases.set_away(true);
    sleep(Duration::from_secs(5)).await;
    assert!(is_working(&part).await);
    leases.set_away(false);
    let lasts = LeadershipConfig::default().lasts;
    leases.take_lease(InstanceId([2; 16]), lasts).await.unwrap();
    assert!(is_working(&part).await);
    leases.set_away(true);
    sleep(2 * LONG).await;
    assert!(is_working(&part).await, "the database has its own part");
    leases.set_away(false);
    assert!(is_working(&part).await, "that nobody leads is new");
}

//! Instances whose lines to the database are slow, cut, or lose answers, at random.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use dm_core::lease::Lease;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::*;

const INSTANCES: u8 = 3;

/// One instance's way to the database.
struct Line {
    database: Arc<MemoryLeases>,
    is_cut: AtomicBool,
    chance: Mutex<SmallRng>,
}

impl Line {
    async fn pass(&self) -> Result<(), CatalogError> {
        // Mostly a few milliseconds, sometimes as long as a lease.
        let longest = match self.chance(0..10) {
            0 => 7_000,
            _ => 50,
        };
        tokio::time::sleep(Duration::from_millis(self.chance(0..longest))).await;
        if self.is_cut.load(Ordering::Relaxed) || self.chance(0..20) == 0 {
            return Err(CatalogError::Unavailable("cut".to_owned()));
        }
        Ok(())
    }

    fn chance(&self, of: std::ops::Range<u64>) -> u64 {
        self.chance.lock().unwrap().random_range(of)
    }

    async fn ask<T>(&self, asked: impl Future<Output = Result<T, CatalogError>>) -> Result<T, CatalogError> {
        self.pass().await?;
        let answer = asked.await;
        self.pass().await?;
        answer
    }
}

#[async_trait]
impl Leases for Line {
    async fn take_lease(&self, instance: InstanceId, lasts: Duration) -> Result<Option<Epoch>, CatalogError> {
        self.ask(self.database.take_lease(instance, lasts)).await
    }

    async fn renew_lease(&self, epoch: Epoch, lasts: Duration) -> Result<bool, CatalogError> {
        self.ask(self.database.renew_lease(epoch, lasts)).await
    }

    async fn give_back_lease(&self, epoch: Epoch) -> Result<bool, CatalogError> {
        self.ask(self.database.give_back_lease(epoch)).await
    }

    async fn lease(&self) -> Result<Option<Lease>, CatalogError> {
        self.ask(self.database.lease()).await
    }

    async fn leases(&self, after: Epoch, limit: usize) -> Result<Vec<Lease>, CatalogError> {
        self.database.leases(after, limit).await
    }
}

/// Whoever believes to lead has the lease by the clock of the database.
async fn assert_no_wrong_leader(database: &MemoryLeases, instances: &[Option<Running>]) -> bool {
    let held = database.lease().await.unwrap();
    let mut leading = instances.iter().flatten().filter_map(|running| {
        let epoch = running.leadership.epoch()?;
        Some((epoch, running.leadership.instance))
    });
    let leader = leading.next();
    assert_eq!(leading.next(), None);
    if let Some(leader) = leader {
        assert_eq!(held.map(|lease| (lease.epoch, lease.instance)), Some(leader));
    }
    leader.is_some()
}

async fn play(seed: u64) -> u32 {
    let mut chance = SmallRng::seed_from_u64(seed);
    let database = Arc::new(MemoryLeases::new());
    let mut lines = Vec::new();
    let mut instances = Vec::new();
    for n in 0..INSTANCES {
        let line = Arc::new(Line {
            database: database.clone(),
            is_cut: AtomicBool::new(false),
            chance: Mutex::new(SmallRng::seed_from_u64(chance.next_u64())),
        });
        instances.push(Some(Running::start(line.clone(), n)));
        lines.push(line);
    }
    let mut next_name = INSTANCES;
    let mut moments_with_leader = 0;
    for _ in 0..1_500 {
        tokio::time::sleep(Duration::from_millis(chance.random_range(1..200))).await;
        moments_with_leader += u32::from(assert_no_wrong_leader(&database, &instances).await);
        let n = chance.random_range(0..usize::from(INSTANCES));
        match chance.random_range(0..100) {
            0..4 => lines[n].is_cut.store(true, Ordering::Relaxed),
            4..20 => lines[n].is_cut.store(false, Ordering::Relaxed),
            // A new run of an instance has another name.
            20..22 => {
                if let Some(running) = instances[n].take() {
                    running.kill().await;
                }
                instances[n] = Some(Running::start(lines[n].clone(), next_name));
                next_name += 1;
            }
            // As if the machine slept: on all instances at once.
            22 => tokio::time::advance(Duration::from_secs(chance.random_range(1..20))).await,
            _ => {}
        }
    }
    assert_one_at_a_time(&database.leases(Epoch(0), 9_999).await.unwrap());
    moments_with_leader
}

#[tokio::test(start_paused = true)]
async fn whoever_believes_to_lead_has_the_lease() {
    let mut moments = 0;
    for seed in 0..20 {
        moments += play(seed).await;
    }
    assert!(
        moments > 10_000,
        "there was a leader at {moments} moments of 30,000"
    );
}

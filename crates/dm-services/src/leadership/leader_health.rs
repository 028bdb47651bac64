//! The health of the office of the leader: whether any instance has it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    health::{Finding, Trouble},
    ports::HealthCheck,
};
use tokio::time::{Instant, timeout};

use super::Leadership;

/// When it was first found that nobody leads: to measure from, and to tell.
#[derive(Clone, Copy)]
struct Vacancy {
    began: Instant,
    /// In milliseconds since the Unix epoch.
    since: u64,
}

struct LeaderHealth {
    leadership: Leadership,
    vacancy: Mutex<Option<Vacancy>>,
}

impl Leadership {
    /// The part `leader`: degraded while no instance has had the lease for longer than it takes
    /// another one to follow a leader that was killed. A database that does not answer is told by
    /// its own part.
    pub fn health(&self) -> Arc<dyn HealthCheck> {
        Arc::new(LeaderHealth {
            leadership: self.clone(),
            vacancy: Mutex::default(),
        })
    }
}

impl LeaderHealth {
    /// Whether any instance has the lease, where the database says so in time.
    async fn is_held(&self) -> Option<bool> {
        let asked = timeout(self.leadership.config.renew_every, self.leadership.leases.lease());
        Some(asked.await.ok()?.ok()?.is_some())
    }

    /// Since when nobody leads, as far as the last answer of the database tells.
    async fn vacancy(&self) -> Option<Vacancy> {
        let is_led = match self.leadership.epoch() {
            Some(_) => Some(true),
            None => self.is_held().await,
        };
        let mut vacancy = self.vacancy.lock().unwrap_or_else(PoisonError::into_inner);
        match is_led {
            Some(true) => *vacancy = None,
            Some(false) => {
                vacancy.get_or_insert_with(|| Vacancy {
                    began: Instant::now(),
                    since: now_ms(),
                });
            }
            None => {}
        }
        *vacancy
    }
}

#[async_trait]
impl HealthCheck for LeaderHealth {
    fn part(&self) -> &'static str {
        "leader"
    }

    async fn check(&self) -> Finding {
        let longest = self.leadership.config.longest_takeover();
        match self.vacancy().await {
            Some(vacancy) if vacancy.began.elapsed() > longest => Finding::Degraded(
                Trouble::new(
                    "no instance leads: nothing is anchored, and no payment goes on",
                    "look in the logs of the instances for why they do not get the lease, and whether \
                     the database takes their writes and its clock is right",
                )
                .since(vacancy.since),
            ),
            _ => Finding::Working,
        }
    }
}

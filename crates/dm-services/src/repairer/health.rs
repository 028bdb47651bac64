//! Judges the repair of copies by its oldest due work.

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    health::{Finding, Trouble},
    ports::{HealthCheck, NotTaken, StoreError},
};

use super::Repairer;

/// Work may be this late, in milliseconds, before repair counts as degraded:
/// longer than the burst after a start takes.
const MAX_LATENESS: u64 = 10 * 60 * 1000;
/// Objects that nobody takes are counted up to here.
const MAX_COUNTED: usize = 1000;

#[async_trait]
impl HealthCheck for Repairer {
    fn part(&self) -> &'static str {
        "repair"
    }

    async fn check(&self) -> Finding {
        match self.judge(now_ms()).await {
            Ok(finding) => finding,
            Err(error) => {
                let action = "look at the part object_store";
                Finding::Degraded(Trouble::new(
                    format!("the repair index cannot be read: {error}"),
                    action,
                ))
            }
        }
    }
}

impl Repairer {
    async fn judge(&self, now: u64) -> Result<Finding, StoreError> {
        let mut plan = self.plan().await?;
        let is_late = |since: &u64| since.saturating_add(MAX_LATENESS) < now;
        if let Some(since) = plan.copies_waiting_since().filter(is_late) {
            let reason = "copies are missing and none could be begun";
            let action = "look at the peers (`dm-node peers`) and at network.repair_bytes_per_sec";
            return Ok(Finding::Degraded(Trouble::new(reason, action).since(since)));
        }
        if let Some(since) = plan.oldest_challenge().await?.filter(is_late) {
            let reason = "holders are not challenged in time";
            let action = "raise network.challenges_per_sec or network.challenge_interval_secs";
            return Ok(Finding::Degraded(Trouble::new(reason, action).since(since)));
        }
        for (reason, what, action) in NOT_TAKEN {
            let objects = plan.not_taken(reason, MAX_COUNTED).await?;
            if objects > 0 {
                let more = if objects == MAX_COUNTED { " or more" } else { "" };
                let reason = format!("{objects}{more} objects have too few copies: {what}");
                return Ok(Finding::Degraded(Trouble::new(reason, action)));
            }
        }
        Ok(Finding::Working)
    }
}

/// Why peers take no copies, where the operator can do something about it.
const NOT_TAKEN: [(NotTaken, &str, &str); 2] = [
    (
        NotTaken::TooLarge,
        "they are larger than what peers keep for others",
        "share smaller pieces, or agree on peers with a larger network.max_foreign_object",
    ),
    (
        NotTaken::Full,
        "peers have no room for them",
        "agree on peers with more room (network.max_foreign_bytes)",
    ),
];

//! Judges the repair of copies by its oldest due work.

use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    health::{Finding, Trouble},
    ports::HealthCheck,
};

use super::Repairer;

/// Work may be this late, in milliseconds, before repair counts as degraded:
/// longer than the burst after a start takes.
const MAX_LATENESS: u64 = 10 * 60 * 1000;

#[async_trait]
impl HealthCheck for Repairer {
    fn part(&self) -> &'static str {
        "repair"
    }

    async fn check(&self) -> Finding {
        let now = now_ms();
        let (review, copies) = {
            let plan = self.plan();
            (plan.oldest_review(), plan.copies_waiting_since())
        };
        let is_late = |since: &u64| since.saturating_add(MAX_LATENESS) < now;
        if let Some(since) = copies.filter(is_late) {
            let reason = "copies are missing and none could be begun";
            let action = "look at the peers (`dm-node peers`) and at network.repair_bytes_per_sec";
            return Finding::Degraded(Trouble::new(reason, action).since(since));
        }
        if let Some(since) = review.filter(is_late) {
            let reason = "holders are not challenged in time";
            let action = "raise network.challenges_per_sec or network.challenge_interval_secs";
            return Finding::Degraded(Trouble::new(reason, action).since(since));
        }
        Finding::Working
    }
}

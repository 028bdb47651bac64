//! What deliveries count of their own work, and how far they are.

use dm_core::{
    meter::{Counter, Histogram},
    ports::WebhookAnswer,
    subscription::SubscriptionState,
};
use tokio::time::Instant;

use super::Subscriptions;
use crate::ServiceError;

/// Calls of receivers since the start of the process.
#[derive(Debug)]
pub struct DeliveryMeter {
    /// Calls by which a receiver took an event.
    pub taken: Counter,
    /// Calls that failed.
    pub failed: Counter,
    /// Calls in which a receiver ended its subscription.
    pub gone: Counter,
    /// Events that were given up.
    pub given_up: Counter,
    /// How long calls took.
    pub seconds: Histogram,
}

impl Default for DeliveryMeter {
    fn default() -> Self {
        Self {
            taken: Counter::default(),
            failed: Counter::default(),
            gone: Counter::default(),
            given_up: Counter::default(),
            seconds: Histogram::of_seconds(),
        }
    }
}

impl DeliveryMeter {
    pub(super) fn called(&self, started: Instant, answer: &WebhookAnswer) {
        self.seconds.took(started.elapsed());
        let counter = match answer {
            WebhookAnswer::Taken => &self.taken,
            WebhookAnswer::Gone => &self.gone,
            WebhookAnswer::Failed { .. } => &self.failed,
        };
        counter.increment();
    }
}

/// How far all deliveries are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryTotals {
    /// Subscriptions whose events are delivered.
    pub active: u64,
    /// Those that an operator has paused.
    pub paused: u64,
    /// Those that their receivers have ended.
    pub ended: u64,
    /// Active ones whose receiver did not take the last event it was called for.
    pub failing: u64,
    /// Active ones whose receiver has not taken an event for more than five minutes.
    pub failing_long: u64,
    /// Events by which the active one that is furthest behind is behind the journal.
    pub furthest_behind: u64,
}

/// Attempts after which a receiver has been tried for more than five minutes.
const LONG_ATTEMPTS: u32 = 4;

impl Subscriptions {
    /// What was delivered since the start of the process.
    pub fn meter(&self) -> &DeliveryMeter {
        &self.meter
    }

    /// How far deliveries are, as the catalog knows it: it reads all subscriptions, of which
    /// there are at most a thousand.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn totals(&self) -> Result<DeliveryTotals, ServiceError> {
        let last = self.ports.journal.journal_extent().await?.last;
        let mut totals = DeliveryTotals::default();
        for subscription in self.ports.catalog.subscriptions().await? {
            let progress = &subscription.progress;
            match subscription.state {
                SubscriptionState::Paused => totals.paused += 1,
                SubscriptionState::Ended => totals.ended += 1,
                SubscriptionState::Active => {
                    totals.active += 1;
                    totals.failing += u64::from(progress.attempts > 0);
                    totals.failing_long += u64::from(progress.attempts >= LONG_ATTEMPTS);
                    let behind = last.saturating_sub(progress.read_to);
                    totals.furthest_behind = totals.furthest_behind.max(behind);
                }
            }
        }
        Ok(totals)
    }
}

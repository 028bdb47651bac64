//! What only a question to a task or to the catalog tells: asked at a fixed pace, however
//! often the metrics are read.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dm_chain::TransactionReading;
use dm_services::{DeliveryTotals, InstanceTotals, RepairTotals};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use super::Metered;

/// Between two looks.
const PACE: Duration = Duration::from_secs(5);
/// How long an answer may take; what is late keeps its last value.
const PATIENCE: Duration = Duration::from_secs(3);

/// The last answers; `None` before the first.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    pub(super) transactions: Option<TransactionReading>,
    pub(super) repair: Option<RepairTotals>,
    pub(super) deliveries: Option<DeliveryTotals>,
    /// `None` also where the catalog does not answer: then nobody knows who leads.
    pub(super) instances: Option<InstanceTotals>,
}

/// Asks; cheap to clone.
#[derive(Clone)]
pub(super) struct Samples {
    metered: Metered,
    last: Arc<Mutex<Sample>>,
}

impl Samples {
    pub(super) fn new(metered: Metered) -> Self {
        Self {
            metered,
            last: Arc::default(),
        }
    }

    /// The last answers.
    pub(super) fn last(&self) -> Sample {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks at the pace until the shutdown.
    pub(super) async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut ticks = interval(PACE);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.look().await;
        }
        Ok(())
    }

    async fn look(&self) {
        let Metered {
            chain,
            repairer,
            subscriptions,
            membership,
            ..
        } = &self.metered;
        let (transactions, repair, deliveries, instances) = tokio::join!(
            timeout(PATIENCE, chain.transactions()),
            timeout(PATIENCE, repairer.totals()),
            timeout(PATIENCE, subscriptions.totals()),
            timeout(PATIENCE, membership.totals()),
        );
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.transactions = transactions.ok().or(last.transactions);
        last.repair = repair.ok().and_then(Result::ok).or(last.repair);
        last.deliveries = deliveries.ok().and_then(Result::ok).or(last.deliveries);
        last.instances = instances.ok().and_then(Result::ok);
    }
}

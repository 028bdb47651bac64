//! Deliveries: this node tells owners that it has read and checked their data, and learns the
//! same of its own recipients. Both logs record it.
//!
//! A delivery is kept before anything else is done about it, and its event is recorded until
//! the log has it ([`Deliveries::run`]): however often either is interrupted, there is one
//! statement and one event. [`Notices`](crate::Notices) brings the statement to its owner.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    acknowledgement::Delivery,
    config::Acknowledge,
    envelope::ObjectId,
    event::NewEvent,
    ports::{Catalog, CatalogError, ComplianceLog, ObjectStore, Signer},
};
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::{
    Bell, ServiceError, run_to_completion,
    turns::{SharedTurns, Turns},
};

mod acknowledge;
mod receive;

/// Deliveries that are read from the catalog at once.
const PAGE: usize = 256;
/// Events that are recorded at the same time.
const AT_ONCE: usize = 64;

/// What deliveries stand on.
#[derive(Clone)]
pub struct DeliveryPorts {
    /// Where deliveries, shares and items are kept.
    pub catalog: Arc<dyn Catalog>,
    /// Where the envelopes are.
    pub objects: Arc<dyn ObjectStore>,
    /// Records them.
    pub log: Arc<dyn ComplianceLog>,
    /// The node account.
    pub signer: Arc<dyn Signer>,
}

/// What an operator can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverySettings {
    /// When what this node has fetched is acknowledged.
    pub acknowledge: Acknowledge,
    /// Between two attempts to record what is kept.
    pub retry_interval: Duration,
}

/// What recipients have acknowledged; cheap to clone.
#[derive(Clone)]
pub struct Deliveries {
    inner: Arc<Inner>,
}

struct Inner {
    ports: DeliveryPorts,
    own: Address,
    settings: DeliverySettings,
    /// A delivery is recorded by one at a time.
    locks: Turns<(ObjectId, Address)>,
    /// Rings when there is something to record.
    bell: Bell,
}

impl Deliveries {
    /// Nothing is recorded before [`Deliveries::run`].
    pub fn new(ports: DeliveryPorts, settings: DeliverySettings) -> Self {
        Self::with_turns(ports, settings, None)
    }

    /// The same, where the node may have several instances.
    pub fn among_instances(ports: DeliveryPorts, settings: DeliverySettings, turns: SharedTurns) -> Self {
        Self::with_turns(ports, settings, Some(turns))
    }

    fn with_turns(ports: DeliveryPorts, settings: DeliverySettings, turns: Option<SharedTurns>) -> Self {
        Self {
            inner: Arc::new(Inner {
                own: ports.signer.address(),
                ports,
                settings,
                locks: Turns::new(turns),
                bell: Bell::default(),
            }),
        }
    }

    /// Records what is kept and what comes, until `shutdown`.
    ///
    /// # Errors
    /// Those of the catalog; whoever supervises it starts it again.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        while !shutdown.is_cancelled() {
            let work = async {
                self.record_all().await?;
                let Inner { settings, bell, .. } = &*self.inner;
                bell.wait(settings.retry_interval).await;
                Ok::<_, ServiceError>(())
            };
            shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// The acknowledgement of an object that this node has made.
    ///
    /// # Errors
    /// Those of the catalog.
    pub(crate) async fn own(&self, object: &ObjectId) -> Result<Option<Delivery>, CatalogError> {
        let Inner { ports, own, .. } = &*self.inner;
        ports.catalog.delivery(object, *own).await
    }

    /// Has what is kept recorded now.
    pub(crate) fn record_soon(&self) {
        self.inner.bell.ring();
    }

    /// Rings when there is something to record.
    pub fn bell(&self) -> Bell {
        self.inner.bell.clone()
    }

    async fn record_all(&self) -> Result<(), ServiceError> {
        let catalog = &self.inner.ports.catalog;
        let mut after = 0;
        loop {
            let page = catalog.unrecorded_deliveries(after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = *last;
            stream::iter(page)
                .for_each_concurrent(AT_ONCE, |(_, delivery)| async move {
                    let locator = delivery.statement.object.locator;
                    if let Err(error) = self.record(delivery).await {
                        tracing::warn!(%locator, %error, "a delivery is recorded later");
                    }
                })
                .await;
        }
    }

    /// Records a delivery that is kept, unless it is recorded; also where nobody waits for it
    /// any more.
    async fn record(&self, delivery: Delivery) -> Result<Delivery, ServiceError> {
        if delivery.leaf_index.is_some() {
            return Ok(delivery);
        }
        let inner = self.inner.clone();
        run_to_completion(async move { inner.record(delivery).await }).await
    }
}

impl Inner {
    async fn record(&self, delivery: Delivery) -> Result<Delivery, ServiceError> {
        let (object, recipient) = (delivery.statement.object, delivery.statement.recipient);
        let turn = self.locks.lock((object, recipient)).await?;
        let kept = self.ports.catalog.delivery(&object, recipient).await?;
        let kept = kept.ok_or(ServiceError::NotFound)?;
        if kept.leaf_index.is_some() {
            return Ok(kept);
        }
        let event = match recipient == self.own {
            true => NewEvent::acknowledgement(kept.data_hash, &kept.statement),
            false => NewEvent::delivery(kept.data_hash, &kept.statement),
        };
        let recorded = turn.work(self.ports.log.record(event)).await?;
        Ok(Delivery {
            leaf_index: Some(recorded.index),
            ..kept
        })
    }
}

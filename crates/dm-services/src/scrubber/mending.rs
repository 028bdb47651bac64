//! Brings damaged objects back from the network.

use std::time::Duration;

use dm_core::{
    envelope::{ObjectId, SignedEnvelope},
    news::{News, SystemTrouble},
    ports::{Found, Resumed, StoreError},
    trace::Trace,
};
use futures::{StreamExt, TryStreamExt};
use tokio::time::{MissedTickBehavior, interval};

use super::Scrubber;
use crate::ServiceError;

/// Between two attempts to bring back what nobody had the last time.
const RETRY_INTERVAL: Duration = Duration::from_secs(10 * 60);

impl Scrubber {
    /// Brings back what anybody finds to be damaged, at once and again at
    /// intervals.
    pub(super) async fn mend_found(&self) -> Result<(), StoreError> {
        let mut retry = interval(RETRY_INTERVAL);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                id = self.ports.damage.next() => self.mend(&id).await,
                _ = retry.tick() => {
                    for id in self.ports.damage.all() {
                        self.mend(&id).await;
                    }
                }
            }
        }
    }

    /// Looks at an object that somebody could not read.
    async fn mend(&self, id: &ObjectId) {
        let outcome = self.look_at(id).await;
        if outcome.is_damaged() {
            self.ports.bus.publish(News::SystemError(SystemTrouble::Storage {
                locator: Some(id.locator),
                owner: Some(id.owner),
                damaged: 1,
                repaired: u64::from(outcome.is_repaired()),
                drift: None,
            }));
        }
    }

    /// Fetches an object whose chunks are damaged here, and stores it anew.
    pub(super) async fn bring_back(&self, envelope: &SignedEnvelope) -> Result<(), ServiceError> {
        let found = self.find_copy(envelope).await?.ok_or(ServiceError::NotFound)?;
        let Resumed { mut kept, mut writer } = self.ports.objects.resume(envelope).await?;
        let mut first = 0;
        while let Some(chunk) = kept.next().await {
            writer.append(chunk).await?;
            first += 1;
        }
        let mut chunks = self.ports.network.fetch(&found, first, &Trace::default());
        while let Some(chunk) = chunks.try_next().await? {
            writer.append(chunk).await?;
        }
        // The peers may have a newer envelope over the same chunks.
        let newest = if found.envelope.sequence > envelope.sequence {
            &found.envelope
        } else {
            envelope
        };
        Ok(writer.restore(newest).await?)
    }

    /// Who has the same chunks; the peers that are known to are asked first.
    async fn find_copy(&self, envelope: &SignedEnvelope) -> Result<Option<Found>, ServiceError> {
        let (locator, trace) = (&envelope.id.locator, Trace::default());
        let owners = [envelope.id.owner];
        let same_chunks = |found: &Found| {
            found.envelope.id == envelope.id && found.envelope.chunk_list == envelope.chunk_list
        };
        let known = self.ports.network.find_at_known(locator, &owners, &trace).await?;
        if let Some(found) = known.into_iter().find(same_chunks) {
            return Ok(Some(found));
        }
        let found = self.ports.network.find(locator, &owners, &trace).await?;
        Ok(found.into_iter().find(same_chunks))
    }
}

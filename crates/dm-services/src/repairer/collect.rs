//! Makes room by dropping copies that are not needed.

use std::time::Duration;

use dm_core::{
    clock::now_ms,
    envelope::ObjectId,
    ports::{Kept, KeptLimits, StoreError, room_for_strangers},
};

use super::Repairer;

/// Between two looks at how much room is left.
const INTERVAL: Duration = Duration::from_secs(60);
/// Copies that are dropped in one go.
const MAX_DROPPED: usize = 256;

/// Whether the room for strangers runs out: less than a twentieth of it is left.
fn is_scarce_for_strangers(kept: Kept, limits: KeptLimits) -> bool {
    let room = room_for_strangers(limits.foreign);
    kept.foreign > room - room / 20
}

/// Whether the room for foreign objects runs out: less than a twentieth is left.
fn is_scarce(kept: Kept, limits: KeptLimits) -> bool {
    kept.foreign > limits.foreign - limits.foreign / 20
}

/// Whether enough is left to stop dropping: a tenth.
fn is_ample(kept: Kept, limits: KeptLimits) -> bool {
    kept.foreign <= limits.foreign - limits.foreign / 10
}

impl Repairer {
    /// Drops foreign copies that this node cannot read when the room for them runs
    /// out: first those of owners who are not established, then such as are held by
    /// enough others, who have proved it.
    pub(super) async fn collect(&self) -> Result<(), StoreError> {
        loop {
            tokio::time::sleep(INTERVAL).await;
            self.make_room().await?;
        }
    }

    /// One look at the room that is left; how many copies were dropped.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn make_room(&self) -> Result<usize, StoreError> {
        let quota = &self.inner.ports.quota;
        let mut dropped = 0;
        if is_scarce_for_strangers(quota.kept(), quota.limits()) {
            dropped += self.drop_strangers().await?;
        }
        if is_scarce(quota.kept(), quota.limits()) {
            dropped += self.drop_surplus().await?;
        }
        if dropped > 0 {
            tracing::info!(dropped, "dropped copies to make room");
            self.inner.bell.notify_one();
        }
        Ok(dropped)
    }

    /// Drops some copies of owners who are not established.
    async fn drop_strangers(&self) -> Result<usize, StoreError> {
        let Some(standing) = &self.inner.ports.standing else {
            return Ok(0);
        };
        let mut dropped = 0;
        let page = self.plan().await?.next_foreign(MAX_DROPPED).await?;
        for object in page {
            if !standing.is_established(object.owner).await {
                dropped += usize::from(self.drop_copy(&object).await?);
            }
        }
        Ok(dropped)
    }

    async fn drop_surplus(&self) -> Result<usize, StoreError> {
        let quota = &self.inner.ports.quota;
        let mut dropped = 0;
        let surplus = self.plan().await?.surplus(MAX_DROPPED, now_ms()).await?;
        for object in surplus {
            if is_ample(quota.kept(), quota.limits()) {
                break;
            }
            dropped += usize::from(self.drop_copy(&object).await?);
        }
        Ok(dropped)
    }

    /// Drops a copy unless this node can read it.
    async fn drop_copy(&self, object: &ObjectId) -> Result<bool, StoreError> {
        let objects = &self.inner.ports.objects;
        let envelope = match objects.envelope(object).await {
            Ok(Some(envelope)) => envelope,
            // Removed meanwhile; or damaged, and then nobody knows whether it may go.
            Ok(None) | Err(StoreError::Corrupt(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        if object.owner == self.inner.own || envelope.grants_to(self.inner.own) {
            return Ok(false);
        }
        let existed = objects.remove(object).await?;
        self.plan().await?.drop_object(object).await?;
        Ok(existed)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;

    use super::*;

    #[test]
    fn room_is_made_from_nineteen_twentieths_on_down_to_nine_tenths() {
        let limits = KeptLimits {
            account: Address::ZERO,
            own: 0,
            foreign: 1000,
        };
        let kept = |foreign| Kept { own: 9_999, foreign };
        assert!(!is_scarce(kept(950), limits) && is_scarce(kept(951), limits));
        assert!(is_ample(kept(900), limits) && !is_ample(kept(901), limits));
    }
}

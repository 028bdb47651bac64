use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dm_core::ports::{StoreError, storage_cost};
use tokio_util::sync::CancellationToken;

use crate::node::Context;

/// Between two measurements.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Objects that are listed at once.
const PAGE: usize = 256;

/// How many bytes of other nodes' objects are kept here, and how many may be.
pub(crate) struct ForeignQuota {
    limit: u64,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    stored: u64,
    reserved: u64,
}

/// Space for an object that is being received; given back when it is dropped.
pub(crate) struct Reservation {
    quota: Arc<ForeignQuota>,
    bytes: u64,
    /// What the object takes already in the version that it replaces.
    replaced: u64,
}

impl ForeignQuota {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Mutex::default(),
        }
    }

    /// Sets space aside, if there is enough. An object needs space beside its
    /// old version of `replaced` bytes until it is stored.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64, replaced: u64) -> Option<Reservation> {
        let mut used = self.lock();
        let total = used.stored.checked_add(used.reserved)?.checked_add(bytes)?;
        if total > self.limit {
            return None;
        }
        used.reserved += bytes;
        drop(used);
        Some(Reservation {
            quota: self.clone(),
            bytes,
            replaced,
        })
    }

    fn set_stored(&self, bytes: u64) {
        self.lock().stored = bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// The object is stored, in place of its old version.
    pub(crate) fn keep(self) {
        let mut used = self.quota.lock();
        used.stored = used.stored.saturating_sub(self.replaced) + self.bytes;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.quota.lock().reserved -= self.bytes;
    }
}

/// Measures what is kept for others, at the start and at intervals: objects
/// also come and go by other ways than this protocol.
pub(crate) async fn measure_foreign(
    context: Arc<Context>,
    shutdown: CancellationToken,
) -> Result<(), StoreError> {
    loop {
        let round = async {
            let bytes = foreign_bytes(&context).await?;
            context.quota.set_stored(bytes);
            tokio::time::sleep(INTERVAL).await;
            Ok(())
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            done = round => done?,
        }
    }
}

async fn foreign_bytes(context: &Context) -> Result<u64, StoreError> {
    let mut bytes: u64 = 0;
    let mut after = None;
    loop {
        let page = context.objects.list(after.as_ref(), PAGE).await?;
        let Some(last) = page.last().copied() else {
            return Ok(bytes);
        };
        for id in page.iter().filter(|id| id.owner != context.own_address) {
            match context.objects.envelope(id).await {
                Ok(Some(envelope)) => bytes = bytes.saturating_add(storage_cost(&envelope)),
                // Removed since it was listed; or damaged, which the store has noted.
                Ok(None) | Err(StoreError::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        after = Some(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_given_back_unless_the_object_was_kept() {
        let quota = Arc::new(ForeignQuota::new(100));
        let first = quota.reserve(60, 0).unwrap();
        assert!(quota.reserve(60, 0).is_none());
        drop(first);
        quota.reserve(60, 0).unwrap().keep();
        assert!(quota.reserve(60, 0).is_none());
        assert!(quota.reserve(40, 0).is_some());
        quota.set_stored(0);
        assert!(quota.reserve(100, 0).is_some());
    }

    #[test]
    fn a_replaced_object_gives_its_space_back_once_the_new_one_is_stored() {
        let quota = Arc::new(ForeignQuota::new(100));
        quota.reserve(40, 0).unwrap().keep();
        assert!(quota.reserve(70, 40).is_none(), "both exist for a while");
        quota.reserve(60, 40).unwrap().keep();
        assert!(quota.reserve(41, 0).is_none());
        assert!(quota.reserve(40, 0).is_some());
    }

    #[test]
    fn an_enormous_object_does_not_overflow() {
        let quota = Arc::new(ForeignQuota::new(100));
        quota.reserve(1, 0).unwrap().keep();
        assert!(quota.reserve(u64::MAX, 0).is_none());
    }
}

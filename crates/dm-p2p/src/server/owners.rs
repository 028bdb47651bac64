use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_core::{
    Address,
    envelope::ObjectId,
    hash::Locator,
    ports::{ObjectStore, StoreError},
};

/// Foreign owners that are let in under one locator. Owner keys cost nothing:
/// without this limit a locator could be made as expensive to answer for as
/// somebody likes. It is the number of envelopes in one answer of the protocol.
pub(super) const MAX_FOREIGN_OWNERS: usize = crate::wire::MAX_ENVELOPES;

/// Objects of new owners that are being received, by locator: they count
/// before they are stored, so that many at once do not get past the limit.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<HashMap<Locator, usize>>);

/// One of the [`Arrivals`], until it is dropped.
pub(super) struct Arrival<'a> {
    arrivals: &'a Arrivals,
    locator: Locator,
}

impl Arrivals {
    /// Lets an object of a new foreign owner in, where its locator has room.
    ///
    /// An object that is stored at this moment may count twice, but never not
    /// at all: it is noted as arriving before the stored ones are counted.
    pub(super) async fn admit(
        &self,
        objects: &dyn ObjectStore,
        own: Address,
        locator: Locator,
    ) -> Result<Option<Arrival<'_>>, StoreError> {
        let (arrival, arriving) = self.note(locator);
        let stored = foreign_owners(objects, own, locator).await?;
        Ok((stored + arriving <= MAX_FOREIGN_OWNERS).then_some(arrival))
    }

    /// Notes one more, and tells how many there are now.
    fn note(&self, locator: Locator) -> (Arrival<'_>, usize) {
        let mut arrivals = self.lock();
        let arriving = arrivals.entry(locator).or_default();
        *arriving += 1;
        let arrival = Arrival {
            arrivals: self,
            locator,
        };
        (arrival, *arriving)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Locator, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let mut arrivals = self.arrivals.lock();
        if let Some(arriving) = arrivals.get_mut(&self.locator) {
            *arriving -= 1;
            if *arriving == 0 {
                arrivals.remove(&self.locator);
            }
        }
    }
}

/// Foreign owners that have an object under the locator; more than
/// [`MAX_FOREIGN_OWNERS`] are not counted any further.
async fn foreign_owners(
    objects: &dyn ObjectStore,
    own: Address,
    locator: Locator,
) -> Result<usize, StoreError> {
    // Nobody has the key of the zero address, so this is before all owners.
    let before_all = ObjectId {
        locator,
        owner: Address::ZERO,
    };
    // One of them may be this node itself.
    let ids = objects.list(Some(&before_all), MAX_FOREIGN_OWNERS + 1).await?;
    let under_locator = ids.iter().take_while(|id| id.locator == locator);
    Ok(under_locator.filter(|id| id.owner != own).count())
}

#[cfg(test)]
mod tests {
    use dm_testing::objects::{MemoryObjectStore, SampleObject};

    use super::*;

    #[tokio::test]
    async fn owners_that_arrive_together_do_not_get_past_the_limit() {
        let (store, arrivals) = (MemoryObjectStore::new(), Arrivals::default());
        let own = SampleObject::new(1, 0, 1);
        own.store_in(&store).await.unwrap();
        for owner in 2..12 {
            SampleObject::new(owner, 0, 1).store_in(&store).await.unwrap();
        }
        let (own, locator) = (own.id().owner, own.id().locator);
        let admit = || arrivals.admit(&store, own, locator);
        let mut let_in = Vec::new();
        for _ in 10..MAX_FOREIGN_OWNERS {
            let_in.push(admit().await.unwrap().unwrap());
        }
        assert!(admit().await.unwrap().is_none());
        let elsewhere = SampleObject::new(1, 1, 1).id().locator;
        assert!(arrivals.admit(&store, own, elsewhere).await.unwrap().is_some());

        let_in.pop();
        assert!(admit().await.unwrap().is_some());
        let_in.clear();
        assert!(arrivals.lock().is_empty(), "what has arrived takes no memory");
    }
}

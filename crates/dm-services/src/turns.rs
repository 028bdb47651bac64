//! Turns at what no two may change at the same time, whether in this process or in another
//! instance of the node.

use std::{hash::Hash, sync::Arc, time::Duration};

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    envelope::ObjectId,
    hash::Locator,
    instance::InstanceId,
    keyed_locks::{KeyedLocks, LockGuard},
    ports::{Instances, KeyValueStore, StoreError, WriteBatch},
};

use crate::ServiceError;

/// Between two looks at whether another instance has ended its turn: doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What there are turns at.
pub(crate) trait TurnKey: Copy + Eq + Hash {
    /// What it is called among the instances.
    fn name(&self) -> Vec<u8>;
}

impl TurnKey for Locator {
    fn name(&self) -> Vec<u8> {
        [b"d", self.as_bytes().as_slice()].concat()
    }
}

impl TurnKey for (ObjectId, Address) {
    fn name(&self) -> Vec<u8> {
        let (object, address) = self;
        [
            b"a",
            object.owner.as_slice(),
            object.locator.as_bytes(),
            address.as_slice(),
        ]
        .concat()
    }
}

/// One turn a key.
pub(crate) struct Turns<K> {
    here: KeyedLocks<K>,
    /// Where the node may have several instances.
    shared: Option<SharedTurns>,
}

/// Held while the work is done.
pub(crate) struct Turn {
    _here: LockGuard,
    _shared: Option<Held>,
}

impl<K: TurnKey> Turns<K> {
    /// Turns in this process and, where there are shared ones, among all instances.
    pub(crate) fn new(shared: Option<SharedTurns>) -> Self {
        Self {
            here: KeyedLocks::default(),
            shared,
        }
    }

    /// Waits for whoever works on `key` now.
    ///
    /// # Errors
    /// Those of the catalog, where the turns are shared.
    pub(crate) async fn lock(&self, key: K) -> Result<Turn, ServiceError> {
        let here = self.here.lock(key).await;
        let shared = match &self.shared {
            Some(shared) => Some(shared.take(key.name().into()).await?),
            None => None,
        };
        Ok(Turn {
            _here: here,
            _shared: shared,
        })
    }
}

/// Turns that all instances of a node keep to, in a namespace that they share; cheap to clone.
/// The entry of a turn names who has it. It ends with the turn, or with the instance.
#[derive(Clone)]
pub struct SharedTurns {
    own: InstanceId,
    instances: Arc<dyn Instances>,
    store: Arc<dyn KeyValueStore>,
}

impl SharedTurns {
    /// Those of this instance, which is known to the others already.
    pub fn new(own: InstanceId, instances: Arc<dyn Instances>, store: Arc<dyn KeyValueStore>) -> Self {
        Self {
            own,
            instances,
            store,
        }
    }

    /// Takes the turn when nobody else has it. Callers of one process have a lock of their own
    /// before: what this instance has here is a turn whose end is not noted yet.
    async fn take(&self, key: Bytes) -> Result<Held, ServiceError> {
        // Dropped, it takes back what may have been written.
        let held = Held {
            entry: [self.own.0, rand::random()].concat().into(),
            store: self.store.clone(),
            key,
        };
        let (mut expected, mut pause) = (None, FIRST_PAUSE);
        loop {
            let mut batch = WriteBatch::new();
            batch.expect(held.key.clone(), expected);
            batch.put(held.key.clone(), held.entry.clone());
            match self.store.commit(batch).await {
                Ok(()) => return Ok(held),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
            expected = self.store.get(&held.key).await?;
            if let Some(entry) = &expected
                && self.is_of_another(entry).await?
            {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                expected = None;
            }
        }
    }

    /// Whether another instance has the turn, and is there.
    async fn is_of_another(&self, entry: &[u8]) -> Result<bool, ServiceError> {
        let is_of = |id: InstanceId| entry.starts_with(&id.0);
        if is_of(self.own) {
            return Ok(false);
        }
        let instances = self.instances.instances().await?;
        let mut holders = instances.iter().filter(|seen| is_of(seen.instance.id));
        Ok(holders.any(|holder| !holder.is_gone()))
    }
}

/// A turn that this instance has among all.
struct Held {
    store: Arc<dyn KeyValueStore>,
    key: Bytes,
    /// Who has it, and which turn it is: another one of this instance may follow at once.
    entry: Bytes,
}

impl Drop for Held {
    /// Nobody who had the turn waits until its end is noted.
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (store, key, entry) = (self.store.clone(), self.key.clone(), self.entry.clone());
        runtime.spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let mut batch = WriteBatch::new();
                batch.expect(key.clone(), Some(entry.clone()));
                batch.delete(key.clone());
                match store.commit(batch).await {
                    // The next one has it already.
                    Ok(()) | Err(StoreError::Conflict) => return,
                    Err(error) => tracing::debug!(%error, "the end of a turn is noted later"),
                }
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        });
    }
}

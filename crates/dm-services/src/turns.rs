//! Turns at what no two may change at the same time, whether in this process or in another
//! instance of the node.

use std::{
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    envelope::ObjectId,
    hash::Locator,
    instance::InstanceId,
    keyed_locks::{KeyedLocks, LockGuard},
    lease::{Standing, in_turn},
    ports::{Instances, KeyValueStore, StoreError, WriteBatch},
};
use futures::future::Either;

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

/// The keys of the node, of which only one change is made at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OwnKeys;

impl TurnKey for OwnKeys {
    fn name(&self) -> Vec<u8> {
        b"k".to_vec()
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
    shared: Option<Held>,
}

impl Turn {
    /// Does work of this turn. Once another instance has taken the turn away, the work changes
    /// nothing more in the catalog.
    pub(crate) fn work<Work: Future>(&self, work: Work) -> impl Future<Output = Work::Output> {
        match &self.shared {
            // In a place of its own: each layer of `in_turn` would hold the work once more.
            Some(held) => Either::Left(in_turn(held.standing.clone(), Box::pin(work))),
            None => Either::Right(work),
        }
    }
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
        Ok(Turn { _here: here, shared })
    }
}

/// Turns that all instances of a node keep to, in a namespace that they share; cheap to clone.
/// The entry of a turn names who has it. It ends with the turn, or with the instance.
///
/// An instance that is only suspended would go on with its turns when it wakes. So each has a
/// further entry, which whoever takes one of its turns away changes, and what it writes in a turn is
/// only made while that entry is [what it was](Standing) when it took the turn.
#[derive(Clone)]
pub struct SharedTurns {
    own: InstanceId,
    instances: Arc<dyn Instances>,
    store: Arc<dyn KeyValueStore>,
    namespace: Arc<str>,
    /// How this instance stands, as far as it knows.
    standing: Arc<Mutex<Option<Arc<Standing>>>>,
}

impl SharedTurns {
    /// Those of this instance, which is known to the others already, in the namespace of this name
    /// of the catalog.
    pub fn new(
        own: InstanceId,
        instances: Arc<dyn Instances>,
        store: Arc<dyn KeyValueStore>,
        namespace: &str,
    ) -> Self {
        Self {
            own,
            instances,
            store,
            namespace: namespace.into(),
            standing: Arc::default(),
        }
    }

    /// Takes the turn when nobody else has it. Callers of one process have a lock of their own
    /// before: what this instance has here is a turn whose end is not noted yet.
    async fn take(&self, key: Bytes) -> Result<Held, ServiceError> {
        // Dropped, it takes back what may have been written.
        let mut held = Held {
            entry: [self.own.0, rand::random()].concat().into(),
            store: self.store.clone(),
            standing: self.standing().await?,
            key,
        };
        let (mut found, mut pause) = (None, FIRST_PAUSE);
        loop {
            let mut batch = WriteBatch::new();
            if let Some(holder) = found.as_deref().and_then(|entry| self.other_holder(entry)) {
                self.take_away_from(holder, &mut batch).await?;
            }
            batch.expect(held.key.clone(), found);
            batch.put(held.key.clone(), held.entry.clone());
            match in_turn(held.standing.clone(), self.store.commit(batch)).await {
                Ok(()) => return Ok(held),
                Err(StoreError::Conflict) => {}
                Err(error) => {
                    let before = std::mem::replace(&mut held.standing, self.read_standing().await?);
                    // Others have taken turns away from this instance since.
                    if before == held.standing {
                        return Err(error.into());
                    }
                }
            }
            found = self.store.get(&held.key).await?;
            if let Some(holder) = found.as_deref().and_then(|entry| self.other_holder(entry))
                && self.is_there(holder).await?
            {
                tokio::time::sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                found = None;
            }
        }
    }

    /// The other instance of which the entry of a turn is.
    fn other_holder(&self, entry: &[u8]) -> Option<InstanceId> {
        let holder = InstanceId(*entry.first_chunk()?);
        (holder != self.own).then_some(holder)
    }

    async fn is_there(&self, holder: InstanceId) -> Result<bool, ServiceError> {
        let instances = self.instances.instances().await?;
        let mut holders = instances.iter().filter(|seen| seen.instance.id == holder);
        Ok(holders.any(|holder| !holder.is_gone()))
    }

    /// Adds that the instance writes nothing more in the turns that it has.
    async fn take_away_from(&self, holder: InstanceId, batch: &mut WriteBatch) -> Result<(), ServiceError> {
        let key = standing_key(holder);
        let before = self.store.get(&key).await?;
        let times = before.as_deref().and_then(|entry| entry.first_chunk().copied());
        let times = times.map_or(0, u64::from_be_bytes) + 1;
        batch.expect(key.clone(), before);
        batch.put(key, times.to_be_bytes().to_vec());
        Ok(())
    }

    async fn standing(&self) -> Result<Arc<Standing>, ServiceError> {
        let known = self.known_standing().clone();
        match known {
            Some(standing) => Ok(standing),
            None => self.read_standing().await,
        }
    }

    async fn read_standing(&self) -> Result<Arc<Standing>, ServiceError> {
        let key = standing_key(self.own);
        let standing = Arc::new(Standing {
            namespace: self.namespace.clone(),
            value: self.store.get(&key).await?,
            key,
        });
        *self.known_standing() = Some(standing.clone());
        Ok(standing)
    }

    fn known_standing(&self) -> MutexGuard<'_, Option<Arc<Standing>>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of an instance, in which is counted how often others have taken turns away from it.
fn standing_key(instance: InstanceId) -> Bytes {
    [b"i", instance.0.as_slice()].concat().into()
}

/// A turn that this instance has among all.
struct Held {
    store: Arc<dyn KeyValueStore>,
    /// As it was when the turn was taken.
    standing: Arc<Standing>,
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

#[cfg(test)]
mod tests {
    use dm_core::instance::{Instance, SeenInstance};
    use dm_testing::{catalog::MemoryLeases, key_value::MemoryKeyValueStore};

    use super::*;

    const FIRST: InstanceId = InstanceId([1; 16]);
    const SECOND: InstanceId = InstanceId([2; 16]);

    async fn note(instances: &MemoryLeases, id: InstanceId) {
        let instance = Instance {
            id,
            name: String::new(),
            version: String::new(),
            peer_id: None,
            addresses: Vec::new(),
        };
        instances.note_instance(&instance).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_a_turn_away_ends_what_its_holder_may_write() {
        let instances = Arc::new(MemoryLeases::new());
        let store = Arc::new(MemoryKeyValueStore::new());
        let turns = |own| SharedTurns::new(own, instances.clone(), store.clone(), "turns");
        let (first, second) = (turns(FIRST), turns(SECOND));
        note(&instances, FIRST).await;
        let key = Bytes::from_static(b"d1");
        let held = first.take(key.clone()).await.unwrap();
        let is_as_before = async |standing: &Standing| {
            let found = store.get(&standing.key).await.unwrap();
            found == standing.value
        };
        tokio::time::advance(Duration::from_millis(SeenInstance::GONE_AFTER_MS - 1)).await;
        let waiting = tokio::time::timeout(Duration::ZERO, second.take(key.clone())).await;
        assert!(waiting.is_err(), "its holder is there");
        assert!(is_as_before(&held.standing).await);

        tokio::time::advance(Duration::from_millis(1)).await;
        let taken = second.take(key.clone()).await.unwrap();
        assert!(!is_as_before(&held.standing).await);
        assert!(is_as_before(&taken.standing).await);
        // Another turn of the second one is nobody's loss.
        second.take(Bytes::from_static(b"d2")).await.unwrap();
        assert!(is_as_before(&taken.standing).await);
    }
}

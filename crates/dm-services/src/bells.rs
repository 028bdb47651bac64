//! Bells that wake background work, also where another instance does it.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dm_core::ports::{KeyValueStore, StoreError, WriteBatch};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Between two looks at what others have rung.
const PAUSE: Duration = Duration::from_millis(500);
/// More than there are bells.
const MOST: usize = 64;

/// Rings when there is work. Who listens hears it once, also where it rang before. Clones are
/// the same bell.
#[derive(Clone, Default)]
pub struct Bell {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    heard: Notify,
    /// Whether it rang since other instances were last told.
    is_new: AtomicBool,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.inner.is_new.store(true, Ordering::Relaxed);
        self.inner.heard.notify_one();
    }

    /// Waits until it rings, or for so long.
    pub(crate) async fn wait(&self, patience: Duration) {
        // That nobody rang is no failure.
        let _ = tokio::time::timeout(patience, self.rung()).await;
    }

    /// Waits until it rings.
    pub(crate) async fn rung(&self) {
        self.inner.heard.notified().await;
    }

    fn take_new(&self) -> bool {
        self.inner.is_new.swap(false, Ordering::Relaxed)
    }

    /// Rings on behalf of another instance, which has told all.
    fn ring_here(&self) {
        self.inner.heard.notify_one();
    }
}

/// Carries the sound of bells to the other instances of the node, within about a second. What
/// was rung is not kept for instances that are not there: who begins to work looks for work.
#[derive(Clone)]
pub struct SharedBells {
    store: Arc<dyn KeyValueStore>,
    bells: Arc<Vec<(&'static str, Bell)>>,
}

/// What was rung last of each bell.
type Rung = HashMap<Bytes, Bytes>;

impl SharedBells {
    /// Shares these bells by a namespace that all instances have, in which each has a name.
    pub fn new(store: Arc<dyn KeyValueStore>, bells: Vec<(&'static str, Bell)>) -> Self {
        Self {
            store,
            bells: Arc::new(bells),
        }
    }

    /// Carries until `shutdown`.
    ///
    /// # Errors
    /// Never; a store that is away is asked again.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut known = Rung::new();
        let carrying = async {
            loop {
                tokio::time::sleep(PAUSE).await;
                if let Err(error) = self.carry(&mut known).await {
                    tracing::debug!(%error, "other instances are not heard");
                }
            }
        };
        shutdown.run_until_cancelled(carrying).await;
        Ok(())
    }

    /// Tells others what was rung here, and rings here what others have.
    async fn carry(&self, known: &mut Rung) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        for (name, _) in self.bells.iter().filter(|(_, bell)| bell.take_new()) {
            let (name, sound) = (
                Bytes::from(*name),
                Bytes::from(rand::random::<[u8; 16]>().to_vec()),
            );
            known.insert(name.clone(), sound.clone());
            batch.put(name, sound);
        }
        if !batch.changes.is_empty() {
            self.store.commit(batch).await?;
        }
        for (name, sound) in self.store.scan(b"", None, MOST).await? {
            if known.insert(name.clone(), sound.clone()) == Some(sound) {
                continue;
            }
            let mut bells = self.bells.iter();
            if let Some((_, bell)) = bells.find(|(known, _)| known.as_bytes() == name) {
                bell.ring_here();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_testing::key_value::MemoryKeyValueStore;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bell_that_one_instance_rings_another_one_hears() {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let instances = [(); 2].map(|()| [Bell::default(), Bell::default()]);
        let stop = CancellationToken::new();
        let tasks = instances.clone().map(|[first, second]| {
            let bells = SharedBells::new(store.clone(), vec![("first", first), ("second", second)]);
            let stop = stop.clone();
            tokio::spawn(async move { bells.run(stop).await })
        });
        instances[0][1].ring();
        instances[1][1].rung().await;
        instances[0][1].rung().await;
        // Neither hears it twice, nor another bell.
        for bell in instances.iter().flatten() {
            let again = tokio::time::timeout(10 * PAUSE, bell.rung()).await;
            assert!(again.is_err());
        }
        stop.cancel();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }
}

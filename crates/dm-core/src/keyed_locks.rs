//! Work on one key waits for the work on the same key before it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

/// Above this many keys, those that nobody holds are forgotten.
const TIDY_ABOVE: usize = 1024;

/// One lock a key, made when it is needed. The keys that nobody holds take bounded memory.
pub struct KeyedLocks<K> {
    locks: Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>,
}

impl<K> Default for KeyedLocks<K> {
    fn default() -> Self {
        Self {
            locks: Mutex::default(),
        }
    }
}

/// Held while the work is done.
pub type LockGuard = OwnedMutexGuard<()>;

impl<K: Eq + Hash> KeyedLocks<K> {
    /// Waits for whoever works on `key` now.
    pub async fn lock(&self, key: K) -> LockGuard {
        self.mutex(key).lock_owned().await
    }

    fn mutex(&self, key: K) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() > TIDY_ABOVE {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(key, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[tokio::test]
    async fn the_same_key_waits_and_another_does_not() {
        let locks = KeyedLocks::default();
        let first = locks.lock(1).await;
        let _other = locks.lock(2).await;
        let mut second = Box::pin(locks.lock(1));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        second.await;
    }

    #[tokio::test]
    async fn keys_that_nobody_holds_are_forgotten() {
        let locks = KeyedLocks::default();
        for key in 0..10 * TIDY_ABOVE {
            drop(locks.lock(key).await);
        }
        assert!(locks.locks.lock().unwrap().len() <= TIDY_ABOVE + 1);
    }
}

//! The changes of a store in memory that nobody has settled.

use std::sync::Mutex;

use async_trait::async_trait;
use dm_core::{
    envelope::ObjectId,
    ports::{ObjectChange, ObjectChanges, StoreError},
};
use tokio::sync::Notify;

use super::{MemoryObjectStore, failed};

/// The changes that are not settled.
#[derive(Default)]
pub(super) struct Noted {
    changes: Mutex<(u128, Vec<ObjectChange>)>,
    bell: Notify,
}

impl Noted {
    pub(super) fn note(&self, object: ObjectId, sequence: Option<u64>) {
        let (position, changes) = &mut *self.changes.lock().unwrap();
        *position += 1;
        changes.push(ObjectChange {
            position: *position,
            object,
            sequence,
        });
        self.bell.notify_one();
    }
}

#[async_trait]
impl ObjectChanges for MemoryObjectStore {
    async fn unsettled(&self, after: Option<u128>, limit: usize) -> Result<Vec<ObjectChange>, StoreError> {
        self.faults.read(failed)?;
        let (_, changes) = &*self.noted.changes.lock().unwrap();
        let behind = changes
            .iter()
            .filter(|change| after.is_none_or(|after| change.position > after));
        Ok(behind.take(limit).copied().collect())
    }

    async fn settle(&self, settled: &[ObjectChange]) -> Result<(), StoreError> {
        self.faults.write(failed, || {
            let (_, changes) = &mut *self.noted.changes.lock().unwrap();
            changes.retain(|change| !settled.contains(change));
            Ok(())
        })
    }

    async fn wait(&self) {
        self.noted.bell.notified().await;
    }
}

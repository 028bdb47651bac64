use std::{collections::HashMap, sync::Arc, time::Instant};

use dm_core::api_key::ApiKeyRecord;

/// Records that are kept; above that, one makes room for the next.
const CAPACITY: usize = 16 * 1024;

/// Records of keys in use.
#[derive(Default)]
pub(super) struct Cache {
    records: HashMap<String, Arc<ApiKeyRecord>>,
    checked_at: Option<Instant>,
    /// Grows whenever records are taken out, so that a record that was read
    /// from the catalog before is not put in afterwards.
    epoch: u64,
}

impl Cache {
    pub(super) fn get(&self, id: &str) -> Option<Arc<ApiKeyRecord>> {
        self.records.get(id).cloned()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When the catalog was last asked whether other processes changed keys.
    pub(super) fn checked_at(&self) -> Option<Instant> {
        self.checked_at
    }

    /// Notes that it was asked, and forgets everything where they may have.
    pub(super) fn checked(&mut self, at: Instant, changed: bool) {
        self.checked_at = Some(at);
        if changed {
            self.epoch += 1;
            self.records.clear();
        }
    }

    /// Keeps a record that was read since the cache had this epoch.
    pub(super) fn insert(&mut self, record: Arc<ApiKeyRecord>, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        if self.records.len() >= CAPACITY
            && let Some(any) = self.records.keys().next().cloned()
        {
            self.records.remove(&any);
        }
        self.records.insert(record.id.clone(), record);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.epoch += 1;
        self.records.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: usize) -> Arc<ApiKeyRecord> {
        Arc::new(ApiKeyRecord {
            id: id.to_string(),
            name: "test".to_owned(),
            secret_hash: [0; 32],
            rights: Default::default(),
            created_at: 0,
            expires_at: None,
            revoked_at: None,
            usage: Default::default(),
        })
    }

    #[test]
    fn a_record_read_before_a_revocation_is_not_kept_after_it() {
        let mut cache = Cache::default();
        let epoch = cache.epoch();
        cache.remove("1");
        cache.insert(record(1), epoch);
        assert!(cache.get("1").is_none());
    }

    #[test]
    fn the_cache_does_not_grow_without_end() {
        let mut cache = Cache::default();
        for id in 0..2 * CAPACITY {
            cache.insert(record(id), 0);
        }
        assert_eq!(cache.records.len(), CAPACITY);
    }
}

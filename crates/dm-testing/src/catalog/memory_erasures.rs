//! The erasures of a [`MemoryCatalog`].

use async_trait::async_trait;
use dm_core::{
    hash::DataHash,
    news::News,
    ports::{CatalogError, ErasureCause, Erasures},
    sent::SentState,
};

use super::MemoryCatalog;

#[async_trait]
impl Erasures for MemoryCatalog {
    async fn begin_erasure(&self, data_hash: &DataHash, cause: ErasureCause) -> Result<(), CatalogError> {
        self.write(|state| {
            state.end_sent(data_hash, None, SentState::of_erasure(cause));
            state.readables.retain(|object| object.data_hash != *data_hash);
            state.shares.retain(|share| share.record.data_hash != *data_hash);
            state.revocations.forget(data_hash);
            state.inbox.end(data_hash, cause);
            state.scheduled.remove(data_hash);
            if state.erasures.insert(*data_hash) {
                let data_hash = *data_hash;
                state.journal.append(&match cause {
                    ErasureCause::Ordered => News::DataErased { data_hash },
                    ErasureCause::Expired => News::DataExpired { data_hash },
                });
            }
            Ok(())
        })
    }

    async fn schedule_erasure(&self, data_hash: &DataHash, at: Option<u64>) -> Result<(), CatalogError> {
        self.write(|state| {
            match at {
                Some(at) => state.scheduled.insert(*data_hash, at),
                None => state.scheduled.remove(data_hash),
            };
            Ok(())
        })
    }

    async fn due_erasures(
        &self,
        now: u64,
        after: Option<(u64, DataHash)>,
        limit: usize,
    ) -> Result<Vec<(u64, DataHash)>, CatalogError> {
        let state = self.read()?;
        let mut due: Vec<(u64, DataHash)> = state.scheduled.iter().map(|(hash, at)| (*at, *hash)).collect();
        due.retain(|(at, _)| *at <= now);
        due.sort_unstable_by_key(|(at, hash)| (*at, hash.locator()));
        if let Some((at, hash)) = after {
            due.retain(|(other_at, other)| (*other_at, other.locator()) > (at, hash.locator()));
        }
        due.truncate(limit);
        Ok(due)
    }

    async fn unfinished_erasures(
        &self,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<DataHash>, CatalogError> {
        let state = self.read()?;
        let begun = state.erasures.iter().copied();
        let rest = begun.filter(|hash| after.is_none_or(|after| *hash > after));
        Ok(rest.take(limit).collect())
    }

    async fn end_erasure(&self, data_hash: &DataHash) -> Result<(), CatalogError> {
        self.write(|state| {
            state.erasures.remove(data_hash);
            Ok(())
        })
    }
}

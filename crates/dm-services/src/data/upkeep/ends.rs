//! What is to end: payments without their share, data, and access to it.

use std::sync::Arc;

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    hash::DataHash,
    order::OrderRecord,
    ports::{Erasures, Revocations},
};

use super::{
    PAGE,
    due::{Due, DueWork, Work},
};
use crate::{
    ServiceError,
    data::{DataLocks, collect::Payments, erase::Eraser, revoke::Revoker},
    turns::Turn,
};

/// Payments whose share did not come in time.
pub(super) struct Refunding(pub(super) Arc<Payments>);

#[async_trait]
impl DueWork for Refunding {
    const KIND: Work = Work::Refunding;
    type Cursor = (u64, u64);
    type Item = OrderRecord;

    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let page = self.0.overdue(after, PAGE).await?;
        let due = page.into_iter().map(|(number, payment)| Due {
            cursor: (payment.created_at, number),
            since: Some(payment.created_at),
            item: payment,
        });
        Ok(due.collect())
    }

    async fn handle(&self, payment: Self::Item) -> Result<(), ServiceError> {
        self.0.refund_overdue(&payment).await
    }
}

/// Data whose end is begun, or is to begin.
pub(super) struct EndingData {
    pub(super) erasures: Arc<dyn Erasures>,
    pub(super) eraser: Eraser,
    pub(super) locks: DataLocks,
}

impl EndingData {
    /// Waits for whoever works on this data.
    async fn lock(&self, data_hash: &DataHash) -> Result<Turn, ServiceError> {
        self.locks.lock(data_hash.locator()).await
    }
}

/// Erasures that a stop has interrupted.
pub(super) struct Erasing(pub(super) Arc<EndingData>);

#[async_trait]
impl DueWork for Erasing {
    const KIND: Work = Work::Erasing;
    type Cursor = DataHash;
    type Item = DataHash;

    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let page = self.0.erasures.unfinished_erasures(after, PAGE).await?;
        let due = page.into_iter().map(|data_hash| Due {
            cursor: data_hash,
            since: None,
            item: data_hash,
        });
        Ok(due.collect())
    }

    async fn handle(&self, data_hash: Self::Item) -> Result<(), ServiceError> {
        let _lock = self.0.lock(&data_hash).await?;
        self.0.eraser.finish_erasure_later(&data_hash).await
    }
}

/// Data whose time is over.
pub(super) struct Expiring(pub(super) Arc<EndingData>);

#[async_trait]
impl DueWork for Expiring {
    const KIND: Work = Work::Expiring;
    type Cursor = (u64, DataHash);
    type Item = DataHash;

    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let page = self.0.erasures.due_erasures(now_ms(), after, PAGE).await?;
        let due = page.into_iter().map(|(at, data_hash)| Due {
            cursor: (at, data_hash),
            since: Some(at),
            item: data_hash,
        });
        Ok(due.collect())
    }

    async fn handle(&self, data_hash: Self::Item) -> Result<(), ServiceError> {
        let _lock = self.0.lock(&data_hash).await?;
        self.0.eraser.end_if_expired(&data_hash).await
    }
}

/// Revocations that a stop has interrupted.
pub(super) struct Revoking {
    pub(super) revocations: Arc<dyn Revocations>,
    pub(super) revoker: Revoker,
    pub(super) locks: DataLocks,
}

#[async_trait]
impl DueWork for Revoking {
    const KIND: Work = Work::Revoking;
    type Cursor = (DataHash, Address);
    type Item = (DataHash, Address);

    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let revocations = &self.revocations;
        let page = revocations.unfinished_revocations(after, PAGE).await?;
        let due = page.into_iter().map(|begun| Due {
            cursor: begun,
            since: None,
            item: begun,
        });
        Ok(due.collect())
    }

    async fn handle(&self, (data_hash, recipient): Self::Item) -> Result<(), ServiceError> {
        let _lock = self.locks.lock(data_hash.locator()).await?;
        self.revoker.finish_revocation_later(&data_hash, recipient).await
    }
}

//! What is to end: payments without their share, data, and access to it.

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{clock::now_ms, hash::DataHash, order::OrderRecord};

use super::{
    PAGE,
    due::{Due, DueWork, Work},
};
use crate::{DataManager, ServiceError};

/// Payments whose share did not come in time.
pub(super) struct Refunding;

#[async_trait]
impl DueWork for Refunding {
    const KIND: Work = Work::Refunding;
    type Cursor = (u64, u64);
    type Item = OrderRecord;

    async fn page(
        data: &DataManager,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let Some(payments) = &data.inner.ports.payments else {
            return Ok(Vec::new());
        };
        let page = payments.overdue_payments(after, PAGE).await?;
        let due = page.into_iter().map(|(number, payment)| Due {
            cursor: (payment.created_at, number),
            since: Some(payment.created_at),
            item: payment,
        });
        Ok(due.collect())
    }

    async fn handle(data: &DataManager, payment: Self::Item) -> Result<(), ServiceError> {
        data.refund_overdue(&payment).await
    }
}

/// Erasures that a stop has interrupted.
pub(super) struct Erasing;

#[async_trait]
impl DueWork for Erasing {
    const KIND: Work = Work::Erasing;
    type Cursor = DataHash;
    type Item = DataHash;

    async fn page(
        data: &DataManager,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let erasures = &data.inner.ports.erasures;
        let page = erasures.unfinished_erasures(after, PAGE).await?;
        let due = page.into_iter().map(|data_hash| Due {
            cursor: data_hash,
            since: None,
            item: data_hash,
        });
        Ok(due.collect())
    }

    async fn handle(data: &DataManager, data_hash: Self::Item) -> Result<(), ServiceError> {
        let _turn = data.turn(&data_hash).await;
        data.finish_erasure_later(&data_hash).await
    }
}

/// Data whose time is over.
pub(super) struct Expiring;

#[async_trait]
impl DueWork for Expiring {
    const KIND: Work = Work::Expiring;
    type Cursor = (u64, DataHash);
    type Item = DataHash;

    async fn page(
        data: &DataManager,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let erasures = &data.inner.ports.erasures;
        let page = erasures.due_erasures(now_ms(), after, PAGE).await?;
        let due = page.into_iter().map(|(at, data_hash)| Due {
            cursor: (at, data_hash),
            since: Some(at),
            item: data_hash,
        });
        Ok(due.collect())
    }

    async fn handle(data: &DataManager, data_hash: Self::Item) -> Result<(), ServiceError> {
        let _turn = data.turn(&data_hash).await;
        data.end_if_expired(&data_hash).await
    }
}

/// Revocations that a stop has interrupted.
pub(super) struct Revoking;

#[async_trait]
impl DueWork for Revoking {
    const KIND: Work = Work::Revoking;
    type Cursor = (DataHash, Address);
    type Item = (DataHash, Address);

    async fn page(
        data: &DataManager,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let revocations = &data.inner.ports.revocations;
        let page = revocations.unfinished_revocations(after, PAGE).await?;
        let due = page.into_iter().map(|begun| Due {
            cursor: begun,
            since: None,
            item: begun,
        });
        Ok(due.collect())
    }

    async fn handle(data: &DataManager, (data_hash, recipient): Self::Item) -> Result<(), ServiceError> {
        let _turn = data.turn(&data_hash).await;
        data.finish_revocation_later(&data_hash, recipient).await
    }
}

impl DataManager {
    /// Finishes an erasure; peers are told without anybody waiting for it.
    pub(in crate::data_manager) async fn finish_erasure_later(
        &self,
        data_hash: &DataHash,
    ) -> Result<(), ServiceError> {
        self.finish_erasure_here(data_hash).await?;
        self.tell_later(&self.own_id(data_hash));
        Ok(self.inner.ports.erasures.end_erasure(data_hash).await?)
    }

    async fn finish_revocation_later(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<(), ServiceError> {
        self.finish_revocation_here(data_hash, recipient).await?;
        self.tell_later(&self.own_id(data_hash));
        let revocations = &self.inner.ports.revocations;
        Ok(revocations.end_revocation(data_hash, recipient).await?)
    }
}

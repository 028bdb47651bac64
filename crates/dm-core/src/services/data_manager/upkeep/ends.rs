//! What is to end: payments without their share, data, and access to it.

use alloy_primitives::Address;

use super::{
    PAGE,
    due::{Due, Work},
};
use crate::{
    clock::now_ms,
    hash::DataHash,
    services::{DataManager, ServiceError},
};

impl DataManager {
    /// Gives back payments whose share did not come in time.
    pub(super) async fn refund_overdue_payments(&self) {
        let Some(payments) = &self.inner.ports.payments else {
            return;
        };
        let page = async |after: Option<(u64, u64)>| {
            let page = payments.overdue_payments(after, PAGE).await?;
            let due = page.into_iter().map(|(number, payment)| Due {
                cursor: (payment.created_at, number),
                since: Some(payment.created_at),
                item: payment,
            });
            Ok(due.collect())
        };
        self.each_due(Work::Refunding, page, |payment| async move {
            self.refund_overdue(&payment).await
        })
        .await;
    }

    /// Finishes erasures that a stop has interrupted.
    pub(super) async fn finish_erasures(&self) {
        let page = async |after: Option<DataHash>| {
            let erasures = &self.inner.ports.erasures;
            let page = erasures.unfinished_erasures(after, PAGE).await?;
            let due = page.into_iter().map(|data_hash| Due {
                cursor: data_hash,
                since: None,
                item: data_hash,
            });
            Ok(due.collect())
        };
        self.each_due(Work::Erasing, page, |data_hash| async move {
            let _turn = self.turn(&data_hash).await;
            self.finish_erasure_later(&data_hash).await
        })
        .await;
    }

    /// Erases data whose time is over.
    pub(super) async fn erase_expired(&self) {
        let page = async |after: Option<(u64, DataHash)>| {
            let erasures = &self.inner.ports.erasures;
            let page = erasures.due_erasures(now_ms(), after, PAGE).await?;
            let due = page.into_iter().map(|(at, data_hash)| Due {
                cursor: (at, data_hash),
                since: Some(at),
                item: data_hash,
            });
            Ok(due.collect())
        };
        self.each_due(Work::Expiring, page, |data_hash| async move {
            let _turn = self.turn(&data_hash).await;
            self.end_if_expired(&data_hash).await
        })
        .await;
    }

    /// Finishes revocations that a stop has interrupted.
    pub(super) async fn finish_revocations(&self) {
        let page = async |after: Option<(DataHash, Address)>| {
            let revocations = &self.inner.ports.revocations;
            let page = revocations.unfinished_revocations(after, PAGE).await?;
            let due = page.into_iter().map(|begun| Due {
                cursor: begun,
                since: None,
                item: begun,
            });
            Ok(due.collect())
        };
        self.each_due(
            Work::Revoking,
            page,
            |(data_hash, recipient): (DataHash, Address)| async move {
                let _turn = self.turn(&data_hash).await;
                self.finish_revocation_later(&data_hash, recipient).await
            },
        )
        .await;
    }
}

impl DataManager {
    /// Finishes an erasure; peers are told without anybody waiting for it.
    pub(in crate::services::data_manager) async fn finish_erasure_later(
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

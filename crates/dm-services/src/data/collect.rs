//! Payments for shares: taken before the data is shared, given back where it
//! never is.

use std::sync::Arc;

use alloy_primitives::Address;
use dm_core::{
    hash::DataHash,
    order::{OrderRecord, Purpose},
    payment::PaymentReceipt,
    ports::{NumberedOrder, ShareCatalog},
    share::ShareTerms,
};

use super::{DataLocks, DataPorts};
use crate::{PaymentProcessor, ServiceError};

/// Payments for shares; where nobody takes any, there are none.
pub(super) struct Payments {
    payments: Option<PaymentProcessor>,
    shares: Arc<dyn ShareCatalog>,
    locks: DataLocks,
}

impl Payments {
    pub(super) fn new(ports: &DataPorts, locks: &DataLocks) -> Self {
        Self {
            payments: ports.payments.clone(),
            shares: ports.catalog.clone(),
            locks: locks.clone(),
        }
    }

    /// Payments that have waited too long for their share, after the time and the
    /// number in `after`.
    pub(super) async fn overdue(
        &self,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<NumberedOrder>, ServiceError> {
        match &self.payments {
            Some(payments) => payments.overdue_payments(after, limit).await,
            None => Ok(Vec::new()),
        }
    }

    /// Takes the payment that the terms ask for, once for each share.
    pub(super) async fn take_payment(
        &self,
        data_hash: &DataHash,
        terms: &ShareTerms,
    ) -> Result<Option<PaymentReceipt>, ServiceError> {
        let Some(price) = &terms.payment else {
            return Ok(None);
        };
        let Some(payments) = &self.payments else {
            return Err(ServiceError::rejected(
                "payment_token",
                "cannot be used: this node takes no payments",
            ));
        };
        payments
            .collect(*data_hash, terms.recipient, price)
            .await
            .map(Some)
    }

    /// The payment that was made for a share earlier.
    pub(super) async fn payment_of(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<PaymentReceipt>, ServiceError> {
        match &self.payments {
            Some(payments) => payments.made(data_hash, recipient).await,
            None => Ok(None),
        }
    }

    /// Says of a failure after a payment what becomes of the money.
    pub(super) fn after_payment<T>(
        &self,
        payment: Option<&PaymentReceipt>,
        result: Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        match (result, payment, &self.payments) {
            (Err(cause), Some(payment), Some(payments)) => Err(ServiceError::PaidInVain {
                cause: Box::new(cause),
                tx_hash: payment.tx_hash,
                refund_after_secs: payments.refund_after().as_secs(),
            }),
            (result, ..) => result,
        }
    }

    /// Gives a payment back, unless its share has come in the meantime: while
    /// this has the turn, nobody can share the data.
    pub(super) async fn refund_overdue(&self, payment: &OrderRecord) -> Result<(), ServiceError> {
        let Purpose::Payment { data_hash, recipient } = payment.purpose else {
            return Ok(());
        };
        let _turn = self.locks.lock(data_hash.locator()).await?;
        let is_shared = self.shares.share(&data_hash, recipient).await?.is_some();
        match &self.payments {
            Some(payments) if !is_shared => payments.refund(payment.id).await,
            _ => Ok(()),
        }
    }
}

//! Payments for shares: taken before the data is shared, given back where it
//! never is.

use alloy_primitives::Address;
use dm_core::{
    hash::DataHash,
    order::{OrderRecord, Purpose},
    payment::PaymentReceipt,
    share::ShareTerms,
};

use super::DataManager;
use crate::ServiceError;

impl DataManager {
    /// Takes the payment that the terms ask for, once for each share.
    pub(super) async fn take_payment(
        &self,
        data_hash: &DataHash,
        terms: &ShareTerms,
    ) -> Result<Option<PaymentReceipt>, ServiceError> {
        let Some(price) = &terms.payment else {
            return Ok(None);
        };
        let Some(payments) = &self.inner.ports.payments else {
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
        match &self.inner.ports.payments {
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
        match (result, payment, &self.inner.ports.payments) {
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
        let _turn = self.turn(&data_hash).await;
        let is_shared = self
            .inner
            .ports
            .shares
            .share(&data_hash, recipient)
            .await?
            .is_some();
        match &self.inner.ports.payments {
            Some(payments) if !is_shared => payments.refund(payment.id).await,
            _ => Ok(()),
        }
    }
}

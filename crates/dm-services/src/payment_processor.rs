//! Moves money: transfers that clients ask for, payments for shares, and
//! refunds of payments whose share never came.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use dm_core::{
    clock::now_ms,
    hash::DataHash,
    idempotency::IdempotencyKey,
    operation::OperationId,
    order::{Consent, Order, OrderRecord, OrderState, Purpose, TransferOrder},
    payment::{PaymentReceipt, PaymentTerms, SignedConsent},
    ports::NumberedOrder,
    token::NATIVE_TOKEN,
};

use super::{
    OrderExecutor, ServiceError,
    order_executor::{Refunds, refund_of},
};

mod checks;

/// Longest reason for which a refund is ended, in characters.
const MAX_REASON: usize = 500;

/// A transfer that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRequest {
    /// What is paid with.
    pub token: Address,
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much, in the token's smallest unit.
    pub amount: U256,
    /// The payer's signed consent, where it did not give it on the chain.
    pub consent: Option<SignedConsent>,
}

/// Moves money; cheap to clone.
#[derive(Clone)]
pub struct PaymentProcessor {
    executor: OrderExecutor,
    refunds: Refunds,
}

impl PaymentProcessor {
    /// A processor whose orders this executor carries out.
    pub fn new(executor: OrderExecutor) -> Self {
        Self {
            refunds: Refunds::new(executor.clone()),
            executor,
        }
    }

    /// Moves money as a client asks. The same idempotency key again gives the
    /// same transfer. Waits for the transaction to be mined, and returns before
    /// that when it takes too long: it goes on then.
    ///
    /// # Errors
    /// [`ServiceError::PaymentRequired`] where balance or allowance do not
    /// suffice, [`ServiceError::Rejected`] for a token that is not supported or a
    /// consent that does not fit, [`ServiceError::TransactionFailed`] where the
    /// chain would undo it. Nothing is moved then.
    pub async fn transfer(
        &self,
        request: TransferRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<OrderRecord, ServiceError> {
        let transfer = self.order_for(request);
        let order = Order::Transfer(transfer.clone());
        if let Some(kept) = self.executor.repeated(key.as_ref(), &order).await? {
            return self.executor.continue_with(kept.id).await;
        }
        self.check(&transfer).await?;
        self.executor
            .carry_out(OperationId::random(), order, Purpose::Request, key)
            .await
    }

    /// Orders with a number below `before` (or all), newest first.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn orders(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<NumberedOrder>, ServiceError> {
        Ok(self.executor.ports().orders.orders(before, limit).await?)
    }

    /// Takes the payment for a share, once: one that was begun before is
    /// continued, one that was made is returned.
    pub(super) async fn collect(
        &self,
        data_hash: DataHash,
        payer: Address,
        terms: &PaymentTerms,
    ) -> Result<PaymentReceipt, ServiceError> {
        let payment = self.payment(payer, terms);
        let record = match self.standing(&data_hash, payer, &payment).await? {
            Some(kept) => self.executor.continue_with(kept.id).await?,
            None => {
                self.check(&payment).await.map_err(as_payment_field)?;
                let purpose = Purpose::Payment {
                    data_hash,
                    recipient: payer,
                };
                let id = OperationId::random();
                self.executor
                    .carry_out(id, Order::Transfer(payment.clone()), purpose, None)
                    .await?
            }
        };
        self.collected(record, &payment).await
    }

    /// The payment for a share that was begun before, if it counts: one that a
    /// reorganisation has undone for good does not. A refund that was neither made nor
    /// may be is called off, so that nobody pays twice.
    async fn standing(
        &self,
        data_hash: &DataHash,
        payer: Address,
        payment: &TransferOrder,
    ) -> Result<Option<OrderRecord>, ServiceError> {
        let orders = &self.executor.ports().orders;
        while let Some(kept) = orders.payment_for(data_hash, payer).await? {
            let (kept, _) = self.executor.look_again(kept.id).await?;
            if let OrderState::Failed { .. } = kept.state {
                continue;
            }
            if let Err(other_price) = ensure_same_price(&kept, payment) {
                // The other one is on its way back.
                let is_owed = self.owed_refund(&kept).await?.is_some();
                return if is_owed { Ok(None) } else { Err(other_price) };
            }
            if is_partial(&kept) || self.refunds.call_off(kept.id).await? {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    /// The refund of a payment, unless it was called off.
    async fn owed_refund(&self, payment: &OrderRecord) -> Result<Option<OrderRecord>, ServiceError> {
        let refund = self.executor.ports().orders.order(refund_of(payment.id)).await?;
        Ok(refund.filter(|refund| refund.state != OrderState::CalledOff))
    }

    /// The payment that was made for a share, if there is one.
    pub(super) async fn made(
        &self,
        data_hash: &DataHash,
        payer: Address,
    ) -> Result<Option<PaymentReceipt>, ServiceError> {
        let kept = self.executor.ports().orders.payment_for(data_hash, payer).await?;
        match kept {
            Some(kept) if self.owed_refund(&kept).await?.is_none() => Ok(PaymentReceipt::of(&kept)),
            _ => Ok(None),
        }
    }

    /// The payment that an order has become, if it has arrived whole.
    async fn collected(
        &self,
        record: OrderRecord,
        payment: &TransferOrder,
    ) -> Result<PaymentReceipt, ServiceError> {
        match &record.state {
            OrderState::Completed { received, .. } if is_partial(&record) => {
                let reason = format!(
                    "keeps a part of each transfer: {received} of {} have arrived, and are given back",
                    payment.amount
                );
                self.refund(record.id).await?;
                Err(ServiceError::rejected("payment_token", reason))
            }
            OrderState::Failed { reason, .. } => Err(ServiceError::TransactionFailed(reason.clone())),
            _ => PaymentReceipt::of(&record).ok_or(ServiceError::PaymentPending {
                tx_hash: record.state.tx_hash(),
            }),
        }
    }

    /// Gives back what has arrived of a payment, once. The refund is durable when this
    /// returns, and is made now or as soon as it can be. Nothing happens where a
    /// reorganisation may still take the payment back: it stays undelivered.
    ///
    /// # Errors
    /// Faults of the catalog, and [`ServiceError::Unavailable`] where the chain is away.
    pub(super) async fn refund(&self, payment: OperationId) -> Result<(), ServiceError> {
        let (payment, is_final) = self.executor.look_again(payment).await?;
        let (Order::Transfer(paid), OrderState::Completed { received, .. }, true) =
            (&payment.order, &payment.state, is_final)
        else {
            return Ok(());
        };
        let back = TransferOrder {
            token: paid.token,
            from: paid.to,
            to: paid.from,
            amount: *received,
            consent: Consent::Own,
        };
        let refund = self.refunds.owe(payment.id, Order::Transfer(back)).await?;
        tracing::info!(payment = %payment.id, refund = %refund.id, state = refund.state.as_str(), "a payment without a share is given back");
        Ok(())
    }

    /// Tries a refund at once that waits for its next attempt, or was given up when the
    /// node was restored from a backup, and returns it as it is then.
    ///
    /// # Errors
    /// [`ServiceError::UnknownRefund`], and [`ServiceError::RefundSettled`] where
    /// nothing is left to try.
    pub async fn retry_refund(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        self.refunds.retry(id).await
    }

    /// Ends a refund that was settled otherwise, for good: it is never made, and the
    /// payment counts for nothing.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a reason that is none, [`ServiceError::UnknownRefund`],
    /// and [`ServiceError::RefundSettled`] where it was made or may still be.
    pub async fn end_refund(&self, id: OperationId, reason: &str) -> Result<OrderRecord, ServiceError> {
        let reason = reason.trim();
        if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
            return Err(ServiceError::invalid(
                "reason",
                format!("must have 1 to {MAX_REASON} printable characters"),
            ));
        }
        self.refunds.end(id, reason.to_owned()).await
    }

    /// Payments that have waited too long for their share, after the time and the
    /// number in `after`.
    pub(super) async fn overdue_payments(
        &self,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Vec<NumberedOrder>, ServiceError> {
        let patience = self.refund_after().as_millis() as u64;
        let before = now_ms().saturating_sub(patience);
        let orders = &self.executor.ports().orders;
        Ok(orders.undelivered_payments(before, after, limit).await?)
    }

    /// How long a payment waits for its share before it is given back.
    pub(super) fn refund_after(&self) -> Duration {
        self.executor.settings().refund_after
    }

    fn payment(&self, payer: Address, terms: &PaymentTerms) -> TransferOrder {
        self.order_for(TransferRequest {
            token: terms.token,
            from: payer,
            to: self.executor.operator(),
            amount: terms.amount,
            consent: terms.consent.clone(),
        })
    }

    fn order_for(&self, request: TransferRequest) -> TransferOrder {
        let consent = match request.consent {
            Some(SignedConsent::Permit(permit)) => Consent::Permit(permit),
            Some(SignedConsent::Authorization(authorization)) => Consent::Authorization(authorization),
            None if request.from == self.executor.operator() => Consent::Own,
            None => Consent::Allowance,
        };
        TransferOrder {
            token: self.plain_token(request.token),
            from: request.from,
            to: request.to,
            amount: request.amount,
            consent,
        }
    }

    /// The token under the one address that orders name it by.
    fn plain_token(&self, token: Address) -> Address {
        if token == self.executor.settings().native_alias {
            NATIVE_TOKEN
        } else {
            token
        }
    }
}

/// Whether less has arrived than was to be paid.
fn is_partial(payment: &OrderRecord) -> bool {
    match (&payment.order, &payment.state) {
        (Order::Transfer(paid), OrderState::Completed { received, .. }) => *received < paid.amount,
        _ => false,
    }
}

/// A share that was paid for is not paid for again at another price.
fn ensure_same_price(kept: &OrderRecord, payment: &TransferOrder) -> Result<(), ServiceError> {
    match &kept.order {
        Order::Transfer(paid) if (paid.token, paid.amount) == (payment.token, payment.amount) => Ok(()),
        Order::Transfer(paid) => Err(ServiceError::invalid(
            "payment_amount",
            format!(
                "differs from the payment of {} of token {} that was begun for this share",
                paid.amount, paid.token
            ),
        )),
        other => Err(ServiceError::Fault(
            format!("a payment is kept as {}", other.kind()).into(),
        )),
    }
}

/// What is at fault has another name where a share is paid for.
fn as_payment_field(error: ServiceError) -> ServiceError {
    match error {
        ServiceError::Rejected {
            field: "token",
            reason,
        } => ServiceError::rejected("payment_token", reason),
        other => other,
    }
}

//! Refunds: owed until they are made, called off, or ended by an operator.
//!
//! An attempt that the chain did not take has begun nothing, and the next one has the
//! same operation. One that was mined and moved nothing has used its operation up: when
//! its block is final, and only then, the next one gets another. So no two of them can
//! move money.

use std::time::Duration;

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    operation::OperationId,
    order::{Order, OrderRecord, OrderState, Purpose, Tries},
    ports::{ChainError, OperationState},
};

use super::OrderExecutor;
use crate::{ServiceError, run_to_completion};

/// How often the pause between two attempts is doubled at most.
const MAX_DOUBLINGS: u32 = 8;

/// The refund of a payment.
pub(crate) fn refund_of(payment: OperationId) -> OperationId {
    payment.part("refund")
}

impl OrderExecutor {
    /// Sends a refund that is due, by the account that was paid if it can act and
    /// has the money, else by the operator account.
    pub(super) async fn send_refund(&self, record: &mut OrderRecord) -> Result<(), ServiceError> {
        if !self.is_due(&record.tries) {
            return Ok(());
        }
        let mut reasons = Vec::new();
        for payer in self.payers(record)? {
            let error = match self.begin_refund(record, payer).await? {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if is_passing(&error) {
                return self.note_reason(record, error.to_string()).await;
            }
            let lacks_money = matches!(
                error,
                ChainError::Reverted(_) | ChainError::InsufficientFunds { .. }
            );
            reasons.push(format!("account {payer}: {error}"));
            if !lacks_money {
                break;
            }
        }
        let tries = Tries {
            failed: record.tries.failed.saturating_add(1),
            next_at: self.after(self.pause(record.tries.failed)),
            reason: Some(reasons.join("; ")),
            ..record.tries.clone()
        };
        self.put_off(record, tries).await
    }

    /// The accounts that may make a refund, the first one first.
    fn payers(&self, record: &OrderRecord) -> Result<Vec<Address>, ServiceError> {
        let Order::Transfer(back) = &record.order else {
            let kind = record.order.kind();
            return Err(ServiceError::Fault(format!("a refund is kept as {kind}").into()));
        };
        let operator = self.operator();
        let mut payers = vec![operator];
        if back.from != operator && self.inner.ports.operations.can_act_as(back.from) {
            payers.insert(0, back.from);
        }
        Ok(payers)
    }

    /// Begins a refund. Who makes it is noted before.
    async fn begin_refund(
        &self,
        record: &mut OrderRecord,
        payer: Address,
    ) -> Result<Result<(), ChainError>, ServiceError> {
        let other = (paid_account(&record.order) != Some(payer)).then_some(payer);
        if record.tries.payer != other {
            let tries = Tries {
                payer: other,
                ..record.tries.clone()
            };
            self.set_tries(record, OrderState::Accepted, tries).await?;
        }
        let (id, operation) = (record.operation_id(), record.order.operation());
        let operations = &self.inner.ports.operations;
        match operations.begin_as(payer, id, &operation).await {
            Ok(tx_hash) => {
                self.set_state(record, OrderState::Sent { tx_hash }).await?;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// A transaction was mined and has moved nothing, for good. It has cost gas, so that
    /// the next one waits longest.
    pub(super) async fn put_off_undone(
        &self,
        record: &mut OrderRecord,
        reason: String,
    ) -> Result<(), ServiceError> {
        let tries = Tries {
            failed: record.tries.failed.saturating_add(1),
            spent: record.tries.spent.saturating_add(1),
            next_at: self.after(self.pause(MAX_DOUBLINGS)),
            reason: Some(reason),
            payer: None,
        };
        self.put_off(record, tries).await
    }

    async fn put_off(&self, record: &mut OrderRecord, tries: Tries) -> Result<(), ServiceError> {
        tracing::warn!(
            refund = %record.id, failed = tries.failed, reason = tries.reason,
            "a refund was not made yet; it is tried again"
        );
        self.set_tries(record, OrderState::Accepted, tries).await?;
        self.announce(record);
        Ok(())
    }

    /// Notes why a refund is where it is.
    pub(super) async fn note_reason(
        &self,
        record: &mut OrderRecord,
        reason: String,
    ) -> Result<(), ServiceError> {
        let reason = Some(reason);
        if record.tries.reason == reason {
            return Ok(());
        }
        let tries = Tries {
            reason,
            ..record.tries.clone()
        };
        self.set_tries(record, record.state.clone(), tries).await
    }

    async fn set_tries(
        &self,
        record: &mut OrderRecord,
        state: OrderState,
        tries: Tries,
    ) -> Result<(), ServiceError> {
        let orders = &self.inner.ports.orders;
        orders.set_order_tries(record.id, &state, &tries).await?;
        (record.state, record.tries) = (state, tries);
        Ok(())
    }

    /// A clock that was set back puts nothing off for longer than the longest pause.
    fn is_due(&self, tries: &Tries) -> bool {
        tries.next_at <= now_ms() || tries.next_at > self.after(self.pause(MAX_DOUBLINGS))
    }

    fn pause(&self, failed: u32) -> Duration {
        let doublings = failed.min(MAX_DOUBLINGS);
        self.inner.settings.retry_interval.saturating_mul(1 << doublings)
    }

    fn after(&self, pause: Duration) -> u64 {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        now_ms().saturating_add(pause)
    }

    /// An order that has an outcome, as the chain sees it now, and whether nothing can
    /// change that any more: a reorganisation may have undone what was done.
    ///
    /// # Errors
    /// Faults of the catalog, and [`ServiceError::Unavailable`] where the chain is away.
    pub(crate) async fn look_again(&self, id: OperationId) -> Result<(OrderRecord, bool), ServiceError> {
        let _turn = self.inner.locks.lock(id).await;
        let Some(mut record) = self.inner.ports.orders.order(id).await? else {
            return Err(ServiceError::Fault(format!("there is no order {id}").into()));
        };
        let is_settled = self.settle(&mut record).await?;
        Ok((record, is_settled))
    }

    /// Owes a refund from now on; one that was called off is owed again, and one that is
    /// owed goes on.
    pub(crate) async fn owe_refund(
        &self,
        payment: OperationId,
        order: Order,
    ) -> Result<OrderRecord, ServiceError> {
        let id = refund_of(payment);
        let purpose = Purpose::Refund { of: payment };
        let placed = self.place(id, order, purpose, None).await?;
        if placed.state == OrderState::CalledOff {
            let _turn = self.inner.locks.lock(id).await;
            self.owe_again(id).await?;
        }
        self.continue_with(id).await
    }

    async fn owe_again(&self, id: OperationId) -> Result<(), ServiceError> {
        let mut record = self.kept_refund(id).await?;
        if record.state == OrderState::CalledOff {
            let tries = Tries {
                next_at: 0,
                ..record.tries.clone()
            };
            self.set_tries(&mut record, OrderState::Accepted, tries).await?;
        }
        Ok(())
    }

    /// Calls the refund of a payment off, so that the payment counts for its share
    /// again; whether it counts. It does not where the refund was made or may be.
    pub(crate) async fn call_off_refund(&self, payment: OperationId) -> Result<bool, ServiceError> {
        let id = refund_of(payment);
        let _turn = self.inner.locks.lock(id).await;
        let Some(mut record) = self.inner.ports.orders.order(id).await? else {
            return Ok(true);
        };
        if record.state == OrderState::Accepted && !self.note_begun(&mut record).await? {
            self.set_state(&mut record, OrderState::CalledOff).await?;
            tracing::info!(%payment, "a payment counts for its share again");
        }
        Ok(record.state == OrderState::CalledOff)
    }

    /// Tries a refund at once that waits for its next attempt, or was given up when the
    /// node was restored from a backup.
    ///
    /// # Errors
    /// [`ServiceError::UnknownRefund`], and [`ServiceError::RefundSettled`] where
    /// nothing is left to try.
    pub(crate) async fn retry_refund(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        let executor = self.clone();
        run_to_completion(async move {
            executor.hasten_refund(id).await?;
            executor.continue_with(id).await
        })
        .await
    }

    async fn hasten_refund(&self, id: OperationId) -> Result<(), ServiceError> {
        let _turn = self.inner.locks.lock(id).await;
        let mut record = self.kept_refund(id).await?;
        match &record.state {
            OrderState::Accepted => {
                let tries = Tries {
                    next_at: 0,
                    ..record.tries.clone()
                };
                self.set_tries(&mut record, OrderState::Accepted, tries).await
            }
            // Given up when the node was restored from a backup: an operator has looked
            // whether it was made.
            OrderState::Failed { reason, .. } => {
                let tries = Tries {
                    failed: record.tries.failed.saturating_add(1),
                    spent: record.tries.spent.saturating_add(1),
                    reason: Some(reason.clone()),
                    ..Tries::default()
                };
                self.set_tries(&mut record, OrderState::Accepted, tries).await
            }
            OrderState::Sent { .. } => Ok(()),
            state => Err(settled(state)),
        }
    }

    /// Ends a refund that was settled otherwise, for good. Ending it again changes nothing.
    ///
    /// # Errors
    /// [`ServiceError::UnknownRefund`], and [`ServiceError::RefundSettled`] where it
    /// was made or may still be.
    pub(crate) async fn end_refund(
        &self,
        id: OperationId,
        reason: String,
    ) -> Result<OrderRecord, ServiceError> {
        let executor = self.clone();
        run_to_completion(async move { executor.end_in_turn(id, reason).await }).await
    }

    async fn end_in_turn(&self, id: OperationId, reason: String) -> Result<OrderRecord, ServiceError> {
        let _turn = self.inner.locks.lock(id).await;
        let mut record = self.kept_refund(id).await?;
        if let OrderState::Ended { .. } = record.state {
            return Ok(record);
        }
        let is_open = matches!(
            record.state,
            OrderState::Accepted | OrderState::Sent { .. } | OrderState::Failed { .. }
        );
        if !is_open || self.note_begun(&mut record).await? {
            return Err(settled(&record.state));
        }
        tracing::warn!(refund = %id, reason, "an operator has ended a refund");
        self.set_state(&mut record, OrderState::Ended { reason }).await?;
        Ok(record)
    }

    /// Whether the account knows the operation of a refund, which then moves on:
    /// the node may have stopped between its beginning and the note of that.
    async fn note_begun(&self, record: &mut OrderRecord) -> Result<bool, ServiceError> {
        let operations = &self.inner.ports.operations;
        match operations.state(record.operation_id()).await? {
            None => Ok(false),
            Some(OperationState::Pending { tx_hash }) => {
                self.set_state(record, OrderState::Sent { tx_hash }).await?;
                Ok(true)
            }
            Some(state) => {
                self.note_progress(record, state).await?;
                Ok(record.state != OrderState::Accepted)
            }
        }
    }

    async fn kept_refund(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        let kept = self.inner.ports.orders.order(id).await?;
        kept.filter(|record| matches!(record.purpose, Purpose::Refund { .. }))
            .ok_or(ServiceError::UnknownRefund(id))
    }
}

/// Whether an error only says that the chain did not answer.
fn is_passing(error: &ChainError) -> bool {
    matches!(
        error,
        ChainError::Unavailable(_)
            | ChainError::WrongChain { .. }
            | ChainError::NotMined(_)
            | ChainError::Journal(_)
    )
}

/// The account that was paid, and so gives back.
fn paid_account(order: &Order) -> Option<Address> {
    match order {
        Order::Transfer(back) => Some(back.from),
        _ => None,
    }
}

fn settled(state: &OrderState) -> ServiceError {
    ServiceError::RefundSettled(match state {
        OrderState::Accepted => "waits to be made".to_owned(),
        OrderState::Sent { tx_hash } => format!("is under way in transaction {tx_hash}"),
        OrderState::Completed { tx_hash, .. } => format!("was made in transaction {tx_hash}"),
        OrderState::Failed { reason, .. } => format!("was given up: {reason}"),
        OrderState::CalledOff => "was called off: the payment counts for its share".to_owned(),
        OrderState::Ended { reason } => format!("was ended by an operator: {reason}"),
    })
}

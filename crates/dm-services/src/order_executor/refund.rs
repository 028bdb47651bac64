//! Refunds: owed until they are made, called off, or ended by an operator.

use dm_core::{
    operation::OperationId,
    order::{Order, OrderRecord, OrderState, Purpose, Tries},
    ports::OperationState,
};

use super::{OrderExecutor, calls::Call, kept::KeptOrders};
use crate::{ServiceError, run_to_completion};

/// The refund of a payment.
pub(crate) fn refund_of(payment: OperationId) -> OperationId {
    payment.part("refund")
}

/// Decides on refunds; the executor makes them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Refunds {
    executor: OrderExecutor,
}

impl Refunds {
    /// Refunds that this executor makes.
    pub(crate) fn new(executor: OrderExecutor) -> Self {
        Self { executor }
    }

    fn kept(&self) -> &KeptOrders {
        self.executor.kept()
    }

    /// Owes a refund from now on; one that was called off is owed again, and one that is
    /// owed goes on.
    pub(crate) async fn owe(&self, payment: OperationId, order: Order) -> Result<OrderRecord, ServiceError> {
        let id = refund_of(payment);
        let purpose = Purpose::Refund { of: payment };
        self.kept().place(id, order, purpose, None).await?;
        if self.executor.must_ask() {
            self.executor.ask(Call::OweAgain(id)).await?;
            return self.kept().order(id).await;
        }
        self.owe_if_called_off(id).await
    }

    /// Goes on with a refund that is kept; one that was called off is owed again.
    pub(super) async fn owe_if_called_off(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        if self.refund(id).await?.state == OrderState::CalledOff {
            let _turn = self.executor.lock(id).await;
            self.owe_again(id).await?;
        }
        self.executor.continue_with(id).await
    }

    async fn owe_again(&self, id: OperationId) -> Result<(), ServiceError> {
        let mut record = self.refund(id).await?;
        if record.state == OrderState::CalledOff {
            let tries = Tries {
                next_at: 0,
                ..record.tries.clone()
            };
            self.kept()
                .set_tries(&mut record, OrderState::Accepted, tries)
                .await?;
        }
        Ok(())
    }

    /// Calls the refund of a payment off, so that the payment counts for its share
    /// again; whether it counts. It does not where the refund was made or may be.
    pub(crate) async fn call_off(&self, payment: OperationId) -> Result<bool, ServiceError> {
        if self.executor.must_ask() {
            return self.executor.must_hear(Call::TakeBackRefund(payment)).await;
        }
        let id = refund_of(payment);
        let _turn = self.executor.lock(id).await;
        let Some(mut record) = self.kept().find(id).await? else {
            return Ok(true);
        };
        if record.state == OrderState::Accepted && !self.note_begun(&mut record).await? {
            self.kept().set_state(&mut record, OrderState::CalledOff).await?;
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
    pub(crate) async fn retry(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        if self.executor.must_ask() {
            self.executor.must_hear(Call::Retry(id)).await?;
            return self.refund(id).await;
        }
        let refunds = self.clone();
        run_to_completion(async move {
            refunds.hasten(id).await?;
            refunds.executor.continue_with(id).await
        })
        .await
    }

    async fn hasten(&self, id: OperationId) -> Result<(), ServiceError> {
        let _turn = self.executor.lock(id).await;
        let mut record = self.refund(id).await?;
        match &record.state {
            OrderState::Accepted => {
                let tries = Tries {
                    next_at: 0,
                    ..record.tries.clone()
                };
                self.kept()
                    .set_tries(&mut record, OrderState::Accepted, tries)
                    .await
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
                self.kept()
                    .set_tries(&mut record, OrderState::Accepted, tries)
                    .await
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
    pub(crate) async fn end(&self, id: OperationId, reason: String) -> Result<OrderRecord, ServiceError> {
        if self.executor.must_ask() {
            self.executor.must_hear(Call::End { id, reason }).await?;
            return self.refund(id).await;
        }
        let refunds = self.clone();
        run_to_completion(async move { refunds.end_in_turn(id, reason).await }).await
    }

    async fn end_in_turn(&self, id: OperationId, reason: String) -> Result<OrderRecord, ServiceError> {
        let _turn = self.executor.lock(id).await;
        let mut record = self.refund(id).await?;
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
        self.kept()
            .set_state(&mut record, OrderState::Ended { reason })
            .await?;
        Ok(record)
    }

    /// Whether the account knows the operation of a refund, which then moves on:
    /// the node may have stopped between its beginning and the note of that.
    async fn note_begun(&self, record: &mut OrderRecord) -> Result<bool, ServiceError> {
        let operations = &self.executor.ports().operations;
        match operations.state(record.operation_id()).await? {
            None => Ok(false),
            Some(OperationState::Pending { tx_hash }) => {
                self.kept()
                    .set_state(record, OrderState::Sent { tx_hash })
                    .await?;
                Ok(true)
            }
            Some(state) => {
                self.executor.note_progress(record, state).await?;
                Ok(record.state != OrderState::Accepted)
            }
        }
    }

    async fn refund(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        let kept = self.kept().find(id).await?;
        kept.filter(|record| matches!(record.purpose, Purpose::Refund { .. }))
            .ok_or(ServiceError::UnknownRefund(id))
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

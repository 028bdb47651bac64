//! The steps of an order, each of which may be the last one before a crash.

use std::time::Duration;

use alloy_primitives::{B256, U256};
use dm_core::{
    clock::now_ms,
    operation::OperationId,
    order::{Consent, Order, OrderRecord, OrderState, Purpose, TokenRecord, TransferOrder},
    ports::{ChainError, MinedOperation, OperationState},
    token::{TokenInfo, TokenKind},
};
use tokio::time::Instant;

use super::OrderExecutor;
use crate::ServiceError;

impl OrderExecutor {
    /// Takes an order as far as it comes within `patience`. Where the chain does not
    /// answer it stays where it is, and goes on in [`OrderExecutor::run`].
    pub(super) async fn advance(
        &self,
        id: OperationId,
        patience: Duration,
    ) -> Result<OrderRecord, ServiceError> {
        let _turn = self.lock(id).await;
        self.advance_in_turn(id, patience).await
    }

    /// The same for whoever has the turn of the order.
    pub(super) async fn advance_in_turn(
        &self,
        id: OperationId,
        patience: Duration,
    ) -> Result<OrderRecord, ServiceError> {
        let deadline = Instant::now() + patience;
        let mut record = self.kept().order(id).await?;
        if record.state == OrderState::Accepted {
            match record.purpose {
                Purpose::Refund { .. } => self.inner.refund_attempts.make(&mut record).await?,
                Purpose::Request | Purpose::Payment { .. } => self.send(&mut record, deadline).await?,
            }
        }
        if matches!(record.state, OrderState::Sent { .. }) {
            self.follow(&mut record, deadline).await?;
        }
        if matches!(record.state, OrderState::Completed { .. }) {
            self.kept().record_event(&mut record).await?;
        }
        Ok(record)
    }

    /// Hands the order to the chain.
    async fn send(&self, record: &mut OrderRecord, deadline: Instant) -> Result<(), ServiceError> {
        let begun = match self.inner.preparation.prepare(record, deadline).await {
            Ok(true) => self.begin(record).await,
            Ok(false) => return Ok(()),
            Err(error) => Err(error),
        };
        let state = match begun {
            Ok(tx_hash) => OrderState::Sent { tx_hash },
            Err(error) if self.ends(record, &error).await => OrderState::Failed {
                tx_hash: None,
                reason: error.to_string(),
            },
            Err(error) => {
                waits_for_the_chain(record, &error);
                return Ok(());
            }
        };
        self.kept().set_state(record, state).await
    }

    /// Begins the order's operation: where it pays, by the account whose money it is.
    async fn begin(&self, record: &OrderRecord) -> Result<B256, ChainError> {
        let operations = &self.inner.ports.operations;
        let operation = record.order.operation();
        match &record.order {
            Order::Transfer(TransferOrder {
                from,
                consent: Consent::Own,
                ..
            }) => operations.begin_as(*from, record.id, &operation).await,
            _ => operations.begin(record.id, &operation).await,
        }
    }

    /// Whether nothing comes of an order after this error, with which nothing was
    /// begun.
    async fn ends(&self, record: &OrderRecord, error: &ChainError) -> bool {
        match error {
            ChainError::Reverted(_) => true,
            // What is half done is done to its end.
            ChainError::Refused(_) | ChainError::InsufficientFunds { .. } => {
                !self.inner.preparation.is_taking_back(record).await
            }
            ChainError::Unavailable(_)
            | ChainError::WrongChain { .. }
            | ChainError::NotMined(_)
            | ChainError::Journal(_) => false,
        }
    }

    /// Waits until the chain has done what was sent.
    async fn follow(&self, record: &mut OrderRecord, deadline: Instant) -> Result<(), ServiceError> {
        let operations = &self.inner.ports.operations;
        match operations.wait(record.operation_id(), remaining(deadline)).await {
            Ok(Some(state)) => self.note_progress(record, state).await,
            Ok(None) => self.note_lost(record).await,
            Err(error) => {
                waits_for_the_chain(record, &error);
                Ok(())
            }
        }
    }

    /// The account of what was sent does not know it any more.
    async fn note_lost(&self, record: &mut OrderRecord) -> Result<(), ServiceError> {
        let reason = format!(
            "the transaction of order {} was sent, and this node does not know it any more",
            record.id
        );
        if matches!(record.purpose, Purpose::Refund { .. }) {
            return self.inner.refund_attempts.note_reason(record, reason).await;
        }
        Err(ServiceError::Fault(reason.into()))
    }

    /// Notes what the chain says of an order that was sent.
    pub(super) async fn note_progress(
        &self,
        record: &mut OrderRecord,
        state: OperationState,
    ) -> Result<(), ServiceError> {
        let state = match state {
            OperationState::Pending { tx_hash } => OrderState::Sent { tx_hash },
            OperationState::Mined(mined) => outcome(&record.order, &mined),
            // A refund gets another operation, and a payment is replaced by another one,
            // only once this one can move nothing.
            OperationState::Refused {
                tx_hash,
                is_final: false,
                ..
            } if record.purpose != Purpose::Request => OrderState::Sent { tx_hash },
            OperationState::Refused { tx_hash, reason, .. } => OrderState::Failed {
                tx_hash: Some(tx_hash),
                reason,
            },
        };
        if let (Order::IssueToken { .. }, OrderState::Completed { .. }) = (&record.order, &state) {
            self.support_issued_token(&record.order, &state).await?;
        }
        if state == record.state {
            return Ok(());
        }
        match (record.purpose, state) {
            (Purpose::Refund { .. }, OrderState::Failed { reason, .. }) => {
                self.inner.refund_attempts.put_off_undone(record, reason).await
            }
            (_, state) => self.kept().set_state(record, state).await,
        }
    }

    /// A token that was issued here is supported from then on.
    async fn support_issued_token(&self, order: &Order, state: &OrderState) -> Result<(), ServiceError> {
        if let Order::IssueToken {
            name,
            symbol,
            decimals,
            ..
        } = order
            && let OrderState::Completed {
                contract: Some(address),
                ..
            } = state
        {
            let record = TokenRecord {
                info: TokenInfo {
                    address: *address,
                    kind: TokenKind::Erc20,
                    symbol: symbol.clone(),
                    name: name.clone(),
                    decimals: *decimals,
                },
                issued: true,
                added_at: now_ms(),
            };
            self.inner.ports.supported.add_token(&record).await?;
        }
        Ok(())
    }
}

/// What a mined transaction means for its order. What was undone in a block that may
/// still be taken back may yet be done in another one.
fn outcome(order: &Order, mined: &MinedOperation) -> OrderState {
    let tx_hash = mined.tx_hash;
    let undone = match order {
        _ if !mined.succeeded => Some("the transaction was mined and undone"),
        Order::Transfer(_) if mined.received == U256::ZERO => {
            Some("the token reports success and has moved nothing")
        }
        _ => None,
    };
    match undone {
        Some(reason) if mined.is_final => OrderState::Failed {
            tx_hash: Some(tx_hash),
            reason: reason.to_owned(),
        },
        Some(_) => OrderState::Sent { tx_hash },
        None => OrderState::Completed {
            tx_hash,
            block: mined.block,
            received: mined.received,
            contract: mined.contract,
        },
    }
}

fn waits_for_the_chain(record: &OrderRecord, error: &ChainError) {
    tracing::warn!(order = %record.id, %error, "an order waits for the chain");
}

pub(super) fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

//! The steps of an order, each of which may be the last one before a crash.

use std::time::Duration;

use alloy_primitives::U256;
use tokio::time::Instant;

use super::OrderDesk;
use crate::{
    clock::now_ms,
    operation::{Operation, OperationId},
    order::{Consent, Order, OrderRecord, OrderState, Purpose, TokenRecord, TransferOrder},
    ports::{ChainError, MinedOperation, OperationState},
    services::ServiceError,
    token::{TokenInfo, TokenKind},
};

/// The operation that hands in a permit, beside that of the order itself.
pub(super) const PERMIT: &str = "permit";

impl OrderDesk {
    /// Takes an order as far as it comes within `patience`.
    pub(super) async fn advance(
        &self,
        id: OperationId,
        patience: Duration,
    ) -> Result<OrderRecord, ServiceError> {
        let _turn = self.inner.turns.take(id).await;
        let deadline = Instant::now() + patience;
        let Some(mut record) = self.inner.ports.orders.order(id).await? else {
            return Err(ServiceError::Fault(format!("there is no order {id}")));
        };
        if record.state == OrderState::Accepted {
            self.send(&mut record, deadline).await?;
        }
        if matches!(record.state, OrderState::Sent { .. }) {
            self.follow(&mut record, deadline).await?;
        }
        if matches!(record.state, OrderState::Completed { .. }) {
            self.record_event(&mut record).await?;
        }
        Ok(record)
    }

    /// Hands the order to the chain.
    async fn send(&self, record: &mut OrderRecord, deadline: Instant) -> Result<(), ServiceError> {
        if !self.hand_in_permit(record, deadline).await? {
            return Ok(());
        }
        let operations = &self.inner.ports.operations;
        if self.has_lost_its_payer(record).await? {
            let state = OrderState::Failed {
                tx_hash: None,
                reason: "its payer is not the operator account any more".to_owned(),
            };
            return self.set_state(record, state).await;
        }
        let state = match operations.begin(record.id, &record.order.operation()).await {
            Ok(tx_hash) => OrderState::Sent { tx_hash },
            Err(error) if is_final(&error, record.purpose) => OrderState::Failed {
                tx_hash: None,
                reason: error.to_string(),
            },
            Err(error) => return Err(error.into()),
        };
        self.set_state(record, state).await
    }

    /// Whether another operator account would have to pay than the one that the
    /// order was accepted for.
    async fn has_lost_its_payer(&self, record: &OrderRecord) -> Result<bool, ServiceError> {
        let operations = &self.inner.ports.operations;
        match &record.order {
            Order::Transfer(TransferOrder {
                from,
                consent: Consent::Own,
                ..
            }) if *from != operations.operator() => Ok(operations.state(record.id).await?.is_none()),
            _ => Ok(false),
        }
    }

    /// Hands in the order's permit, if it has one; whether that is done. A
    /// permit that is refused may have been handed in by somebody else: what
    /// counts is the allowance, which the transfer itself meets.
    async fn hand_in_permit(&self, record: &OrderRecord, deadline: Instant) -> Result<bool, ServiceError> {
        let Order::Transfer(TransferOrder {
            token,
            consent: Consent::Permit(permit),
            ..
        }) = &record.order
        else {
            return Ok(true);
        };
        let operations = &self.inner.ports.operations;
        let id = record.id.part(PERMIT);
        let operation = Operation::Permit {
            token: *token,
            permit: permit.clone(),
        };
        match operations.begin(id, &operation).await {
            Ok(_) => {}
            Err(ChainError::Reverted(_)) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        let state = operations.wait(id, remaining(deadline)).await?;
        Ok(matches!(
            state,
            Some(OperationState::Mined(_) | OperationState::Refused { .. })
        ))
    }

    /// Waits until the chain has done what was sent.
    async fn follow(&self, record: &mut OrderRecord, deadline: Instant) -> Result<(), ServiceError> {
        let operations = &self.inner.ports.operations;
        match operations.wait(record.id, remaining(deadline)).await? {
            Some(state) => self.note_progress(record, state).await,
            None => Err(ServiceError::Fault(format!(
                "the transaction of order {} was sent, and this node does not know it any more",
                record.id
            ))),
        }
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
        self.set_state(record, state).await
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

    async fn set_state(&self, record: &mut OrderRecord, state: OrderState) -> Result<(), ServiceError> {
        self.inner.ports.orders.set_order_state(record.id, &state).await?;
        record.state = state;
        self.announce(record);
        Ok(())
    }
}

/// What a mined transaction means for its order.
fn outcome(order: &Order, mined: &MinedOperation) -> OrderState {
    let tx_hash = mined.tx_hash;
    let failed = |reason: &str| OrderState::Failed {
        tx_hash: Some(tx_hash),
        reason: reason.to_owned(),
    };
    if !mined.succeeded {
        return failed("the transaction was mined and undone");
    }
    if matches!(order, Order::Transfer(_)) && mined.received == U256::ZERO {
        return failed("the token reports success and has moved nothing");
    }
    OrderState::Completed {
        tx_hash,
        block: mined.block,
        received: mined.received,
        contract: mined.contract,
    }
}

/// Whether nothing will come of the order. A refund is owed whatever the
/// operator account has just now.
fn is_final(error: &ChainError, purpose: Purpose) -> bool {
    match error {
        ChainError::Reverted(_) | ChainError::Refused(_) => true,
        ChainError::InsufficientFunds { .. } => !matches!(purpose, Purpose::Refund { .. }),
        ChainError::Unavailable(_)
        | ChainError::WrongChain { .. }
        | ChainError::NotMined(_)
        | ChainError::Journal(_) => false,
    }
}

fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

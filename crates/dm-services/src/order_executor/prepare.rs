//! What goes before an order, by an operation of its own: the permit of a transfer,
//! and the taking back of an allowance that is to be replaced.

use std::sync::Arc;

use alloy_primitives::U256;
use dm_core::{
    operation::{Operation, OperationId, Permit},
    order::{Consent, Order, OrderRecord, TransferOrder},
    ports::{ChainError, OperationState, Operations, TokenError, Tokens},
};
use tokio::time::Instant;

use super::{MoneyPorts, advance::remaining};

/// The operation that hands in a permit.
const PERMIT: &str = "permit";
/// The operation that takes an allowance back before another one is given.
const TAKE_BACK: &str = "take back";

/// The operations that may go before an order.
pub(super) fn before(id: OperationId) -> [OperationId; 2] {
    [id.part(PERMIT), id.part(TAKE_BACK)]
}

/// Does what goes before orders.
pub(super) struct Preparation {
    operations: Arc<dyn Operations>,
    tokens: Arc<dyn Tokens>,
}

impl Preparation {
    pub(super) fn new(ports: &MoneyPorts) -> Self {
        Self {
            operations: ports.operations.clone(),
            tokens: ports.tokens.clone(),
        }
    }

    /// Tries an order on the chain's pending state, with what goes before it.
    ///
    /// # Errors
    /// [`ChainError::Reverted`] where it would be undone.
    pub(super) async fn check(&self, order: &Order) -> Result<(), ChainError> {
        let operations = &self.operations;
        match operations.check(&order.operation()).await {
            Err(ChainError::Reverted(reason)) => match self.taking_back(order).await? {
                Some(taking_back) => operations.check(&taking_back).await,
                None => Err(ChainError::Reverted(reason)),
            },
            checked => checked,
        }
    }

    /// Does what goes before the order; whether that is done.
    pub(super) async fn prepare(&self, record: &OrderRecord, deadline: Instant) -> Result<bool, ChainError> {
        match &record.order {
            Order::Transfer(TransferOrder {
                token,
                consent: Consent::Permit(permit),
                ..
            }) => {
                let operation = Operation::Permit {
                    token: *token,
                    permit: Permit::clone(permit),
                };
                self.go_before(record.id.part(PERMIT), &operation, deadline).await
            }
            Order::Approve { .. } => self.take_back(record, deadline).await,
            _ => Ok(true),
        }
    }

    /// Whether nothing can change any more what was done before an order: a reorganisation
    /// may still undo it, or do what was undone.
    pub(super) async fn is_over(&self, id: OperationId) -> Result<bool, ChainError> {
        for operation in before(id) {
            let state = self.operations.state(operation).await?;
            if state.is_some_and(|state| !state.is_final()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Some tokens change no allowance but from and to nothing (USDT).
    async fn take_back(&self, record: &OrderRecord, deadline: Instant) -> Result<bool, ChainError> {
        let operations = &self.operations;
        let id = record.id.part(TAKE_BACK);
        if operations.state(id).await?.is_some() {
            return self.is_done_with(id, deadline).await;
        }
        match operations.check(&record.order.operation()).await {
            Err(ChainError::Reverted(_)) => {}
            checked => return checked.map(|()| true),
        }
        match self.taking_back(&record.order).await? {
            Some(taking_back) => self.go_before(id, &taking_back, deadline).await,
            None => Ok(true),
        }
    }

    /// Whether an allowance was taken back for this order, which is to give another.
    pub(super) async fn is_taking_back(&self, record: &OrderRecord) -> bool {
        let state = self.operations.state(record.id.part(TAKE_BACK));
        !matches!(state.await, Ok(None))
    }

    /// How an allowance is taken back where one stands and another is to be given.
    async fn taking_back(&self, order: &Order) -> Result<Option<Operation>, ChainError> {
        let Order::Approve {
            token,
            spender,
            amount,
        } = order
        else {
            return Ok(None);
        };
        let (token, spender) = (*token, *spender);
        let standing = self.tokens.allowance(token, self.operations.operator(), spender);
        let standing = standing.await.map_err(|error| match error {
            TokenError::Chain(error) => error,
            TokenError::NoContract(_) | TokenError::NotErc20 { .. } => {
                ChainError::Reverted(error.to_string())
            }
        })?;
        let is_in_the_way = !standing.is_zero() && !amount.is_zero();
        Ok(is_in_the_way.then_some(Operation::Approve {
            token,
            spender,
            amount: U256::ZERO,
        }))
    }

    /// Does an operation that goes before an order; whether that is done. One that the
    /// token refuses may have been done by somebody else, as with a permit: what counts is
    /// what the order itself meets.
    async fn go_before(
        &self,
        id: OperationId,
        operation: &Operation,
        deadline: Instant,
    ) -> Result<bool, ChainError> {
        match self.operations.begin(id, operation).await {
            Ok(_) => self.is_done_with(id, deadline).await,
            Err(ChainError::Reverted(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether the chain is done with an operation, whatever came of it.
    async fn is_done_with(&self, id: OperationId, deadline: Instant) -> Result<bool, ChainError> {
        let operations = &self.operations;
        let state = operations.wait(id, remaining(deadline)).await?;
        Ok(matches!(
            state,
            Some(OperationState::Mined(_) | OperationState::Refused { .. })
        ))
    }
}

//! What goes on in the background: orders that were interrupted, orders whose
//! blocks a reorganisation may still take back, and balances that have changed.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use alloy_primitives::Address;
use dm_core::{
    bus::News,
    operation::OperationId,
    order::{OrderRecord, OrderState},
    token::NATIVE_TOKEN,
};
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{OrderExecutor, prepare};
use crate::ServiceError;

/// Orders that are taken from the catalog at a time.
const PAGE: usize = 256;
/// Orders that are looked after at the same time.
const AT_ONCE: usize = 32;

/// The tokens of which the operator's balance has changed.
#[derive(Default)]
pub(super) struct Touched(Mutex<HashSet<Address>>);

impl Touched {
    pub(super) fn note(&self, token: Address) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token);
    }

    fn take(&self) -> HashSet<Address> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl OrderExecutor {
    /// Runs until `shutdown`; an error ends it, and whoever supervises it
    /// starts it again. What fails for one order does not stop the others.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let upkeep = async {
            loop {
                self.look_after_all().await?;
                self.tell_balances().await;
                tokio::time::sleep(self.inner.settings.retry_interval).await;
            }
        };
        shutdown.run_until_cancelled(upkeep).await.unwrap_or(Ok(()))
    }

    /// Takes every open order one step further: those that were accepted are begun.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub(crate) async fn look_after_all(&self) -> Result<(), ServiceError> {
        let mut after = 0;
        loop {
            let page = self.inner.ports.orders.open_orders(after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = *last;
            stream::iter(page)
                .for_each_concurrent(AT_ONCE, |(_, order)| async move {
                    if let Err(error) = self.look_after(order.id).await {
                        tracing::warn!(order = %order.id, %error, "an order is not done yet");
                    }
                })
                .await;
        }
    }

    async fn look_after(&self, id: OperationId) -> Result<(), ServiceError> {
        // Held until it is closed: a refund may be owed again in the meantime.
        let _turn = self.inner.locks.lock(id).await;
        let mut record = self.advance_in_turn(id, Duration::ZERO).await?;
        if self.settle(&mut record).await? {
            let ports = &self.inner.ports;
            for operation in record.operation_ids().chain(prepare::before(id)) {
                ports.operations.conclude(operation).await?;
            }
            ports.orders.close_order(id).await?;
        }
        Ok(())
    }

    /// Notes what a reorganisation has made of an order; whether nothing can change any
    /// more what has become of it.
    pub(super) async fn settle(&self, record: &mut OrderRecord) -> Result<bool, ServiceError> {
        match record.state {
            OrderState::Accepted | OrderState::Sent { .. } => return Ok(false),
            OrderState::Failed { tx_hash: None, .. } | OrderState::CalledOff | OrderState::Ended { .. } => {
                return Ok(true);
            }
            OrderState::Completed { .. } | OrderState::Failed { .. } => {}
        }
        let operations = &self.inner.ports.operations;
        match operations.state(record.operation_id()).await? {
            // It was concluded, and the order was not closed before the node stopped.
            None => Ok(true),
            Some(state) => {
                let is_final = state.is_final();
                self.note_progress(record, state).await?;
                // The refund that a reorganisation has undone is owed again.
                Ok(is_final && record.state != OrderState::Accepted)
            }
        }
    }

    /// Tells the bus what the operator has now of tokens that were moved.
    async fn tell_balances(&self) {
        let operator = self.operator();
        for token in self.inner.touched.take() {
            let ports = &self.inner.ports;
            let balance = if token == NATIVE_TOKEN {
                ports.chain.native_balance(operator).await.ok()
            } else {
                ports.tokens.balance_of(token, operator).await.ok()
            };
            match balance {
                Some(balance) => ports.bus.publish(News::TokenBalanceUpdate {
                    address: operator,
                    token,
                    balance: balance.to_string(),
                }),
                None => self.inner.touched.note(token),
            }
        }
    }
}

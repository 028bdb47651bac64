//! What goes on in the background: orders that were interrupted, orders whose
//! blocks a reorganisation may still take back, and balances that have changed.

use std::time::Duration;

use dm_core::{
    operation::OperationId,
    order::{OrderRecord, OrderState},
};
use futures::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{OrderExecutor, calls::Call, prepare};
use crate::{ServiceError, run_to_completion};

/// Orders that are taken from the catalog at a time.
const PAGE: usize = 256;
/// Orders that are looked after at the same time.
const AT_ONCE: usize = 32;

impl OrderExecutor {
    /// Runs until `shutdown`; an error ends it, and whoever supervises it
    /// starts it again. What fails for one order does not stop the others.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        self.read_anew().await?;
        let work = async { tokio::try_join!(self.look_after_always(), self.answer_calls()).map(drop) };
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }

    async fn look_after_always(&self) -> Result<(), ServiceError> {
        loop {
            self.look_after_all().await?;
            self.inner.balances.tell().await;
            tokio::time::sleep(self.inner.settings.retry_interval).await;
        }
    }

    /// Takes note of what another instance has begun before this one led.
    pub(crate) async fn read_anew(&self) -> Result<(), ServiceError> {
        match self.inner.calls {
            Some(_) => Ok(self.inner.ports.operations.read_anew().await?),
            None => Ok(()),
        }
    }

    /// Takes every open order one step further: those that were accepted are begun.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub(crate) async fn look_after_all(&self) -> Result<(), ServiceError> {
        let mut after = 0;
        loop {
            let page = self.kept().open(after, PAGE).await?;
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

    /// Has the turn of the order to its end also where the caller gives up: the next one would
    /// not find what still waits for its place in the log, and record it once more.
    async fn look_after(&self, id: OperationId) -> Result<(), ServiceError> {
        let executor = self.clone();
        run_to_completion(async move { executor.look_after_to_its_end(id).await }).await
    }

    async fn look_after_to_its_end(&self, id: OperationId) -> Result<(), ServiceError> {
        // Held until it is closed: a refund may be owed again in the meantime.
        let _turn = self.lock(id).await;
        let mut record = self.advance_in_turn(id, Duration::ZERO).await?;
        if self.settle(&mut record).await? && self.inner.preparation.is_over(id).await? {
            for operation in record.operation_ids().chain(prepare::before(id)) {
                self.inner.ports.operations.conclude(operation).await?;
            }
            self.kept().close(id).await?;
        }
        Ok(())
    }

    /// Notes what a reorganisation has made of an order; whether nothing can change any
    /// more what has become of it.
    async fn settle(&self, record: &mut OrderRecord) -> Result<bool, ServiceError> {
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

    /// An order that has an outcome, as the chain sees it now, and whether nothing can
    /// change that any more: a reorganisation may have undone what was done.
    ///
    /// # Errors
    /// Faults of the catalog, and [`ServiceError::Unavailable`] where the chain is away.
    pub(crate) async fn look_again(&self, id: OperationId) -> Result<(OrderRecord, bool), ServiceError> {
        if self.must_ask() {
            let is_settled = self.must_hear(Call::LookAgain(id)).await?;
            return Ok((self.kept().order(id).await?, is_settled));
        }
        let _turn = self.lock(id).await;
        let mut record = self.kept().order(id).await?;
        let is_settled = self.settle(&mut record).await?;
        Ok((record, is_settled))
    }
}

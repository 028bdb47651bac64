//! Attempts of a refund.
//!
//! An attempt that the chain did not take has begun nothing, and the next one has the
//! same operation. One that was mined and moved nothing has used its operation up: when
//! its block is final, and only then, the next one gets another. So no two of them can
//! move money.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    order::{Order, OrderRecord, OrderState, Tries},
    ports::{ChainError, Operations},
};

use super::{MoneyPorts, kept::KeptOrders};
use crate::ServiceError;

/// How often the pause between two attempts is doubled at most.
const MAX_DOUBLINGS: u32 = 8;

/// Makes refunds that are owed.
pub(super) struct RefundAttempts {
    operations: Arc<dyn Operations>,
    kept: Arc<KeptOrders>,
    /// The pause after the first attempt; see [`MoneyConfig`](super::MoneyConfig).
    retry_interval: Duration,
}

impl RefundAttempts {
    pub(super) fn new(ports: &MoneyPorts, kept: Arc<KeptOrders>, retry_interval: Duration) -> Self {
        Self {
            operations: ports.operations.clone(),
            kept,
            retry_interval,
        }
    }

    /// Sends a refund that is due, by the account that was paid if it can act and
    /// has the money, else by the operator account.
    pub(super) async fn make(&self, record: &mut OrderRecord) -> Result<(), ServiceError> {
        if !self.is_due(&record.tries) {
            return Ok(());
        }
        let mut reasons = Vec::new();
        for payer in self.payers(record)? {
            let error = match self.begin(record, payer).await? {
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
        let operator = self.operations.operator();
        let mut payers = vec![operator];
        if back.from != operator && self.operations.can_act_as(back.from) {
            payers.insert(0, back.from);
        }
        Ok(payers)
    }

    /// Begins a refund. Who makes it is noted before.
    async fn begin(
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
            self.kept.set_tries(record, OrderState::Accepted, tries).await?;
        }
        let (id, operation) = (record.operation_id(), record.order.operation());
        let operations = &self.operations;
        match operations.begin_as(payer, id, &operation).await {
            Ok(tx_hash) => {
                self.kept.set_state(record, OrderState::Sent { tx_hash }).await?;
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
        self.kept.set_tries(record, OrderState::Accepted, tries).await?;
        self.kept.note_balance(record);
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
        self.kept.set_tries(record, record.state.clone(), tries).await
    }

    /// A clock that was set back puts nothing off for longer than the longest pause.
    fn is_due(&self, tries: &Tries) -> bool {
        tries.next_at <= now_ms() || tries.next_at > self.after(self.pause(MAX_DOUBLINGS))
    }

    fn pause(&self, failed: u32) -> Duration {
        let doublings = failed.min(MAX_DOUBLINGS);
        self.retry_interval.saturating_mul(1 << doublings)
    }

    fn after(&self, pause: Duration) -> u64 {
        let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        now_ms().saturating_add(pause)
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

//! What requests have the leader do, where the node may have several instances: money is moved by
//! one of them.

use std::time::Duration;

use dm_core::{
    lease::current_epoch,
    operation::OperationId,
    order::{OrderRecord, OrderState},
};
use serde::{Deserialize, Serialize};

use super::{OrderExecutor, Refunds};
use crate::{ServiceError, leader_calls::Refusal};

/// How long a request waits for a leader that has nothing to wait for itself: longer than it
/// takes until another instance leads.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is asked of the leader.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Call {
    /// Go on with an order as far as the patience of the settings allows.
    Continue(OperationId),
    /// See what a reorganisation has made of an order.
    LookAgain(OperationId),
    /// Owe a refund again, where it was called off, and go on with it.
    OweAgain(OperationId),
    /// Call the refund of a payment off.
    TakeBackRefund(OperationId),
    /// Try a refund at once.
    Retry(OperationId),
    /// End a refund for good.
    End { id: OperationId, reason: String },
}

impl OrderExecutor {
    /// Whether somebody else is to be asked: this is a request, and the node may have several
    /// instances.
    pub(crate) fn must_ask(&self) -> bool {
        self.inner.calls.is_some() && current_epoch().is_none()
    }

    /// Has the leader do it; what comes of it is in the catalog. The answer says yes or no where
    /// that is the question; `None` where no instance has answered in time.
    pub(super) async fn ask(&self, call: Call) -> Result<Option<bool>, ServiceError> {
        let Some(calls) = &self.inner.calls else {
            return Ok(None);
        };
        let patience = match call {
            Call::TakeBackRefund(_) | Call::End { .. } => PATIENCE,
            _ => PATIENCE + self.inner.settings.patience,
        };
        let id = call.subject();
        match calls.ask::<_, bool>(&call, patience).await? {
            Some(answer) => answer.map(Some).map_err(|refusal| refusal.about(id)),
            None => Ok(None),
        }
    }

    /// As [`OrderExecutor::ask`], where nothing can be said without an answer.
    pub(super) async fn must_hear(&self, call: Call) -> Result<bool, ServiceError> {
        let heard = self.ask(call).await?;
        heard.ok_or_else(|| ServiceError::Unavailable("no instance of this node leads at the moment".into()))
    }

    /// Has the leader go on with an order. Where none answers the order stays where it is, and
    /// goes on when there is one.
    pub(super) async fn ask_to_continue(&self, id: OperationId) -> Result<OrderRecord, ServiceError> {
        self.ask(Call::Continue(id)).await?;
        self.kept().order(id).await
    }

    /// Answers the requests of all instances, for as long as it is polled.
    pub(super) async fn answer_calls(&self) -> Result<(), ServiceError> {
        let Some(calls) = &self.inner.calls else {
            return std::future::pending().await;
        };
        calls
            .answer_all(|call| async move { self.answer(call).await.map_err(Refusal::from) })
            .await
    }

    async fn answer(&self, call: Call) -> Result<bool, ServiceError> {
        let refunds = Refunds::new(self.clone());
        match call {
            Call::Continue(id) => self.continue_with(id).await.map(|_| true),
            Call::LookAgain(id) => self.look_again(id).await.map(|(_, is_settled)| is_settled),
            Call::OweAgain(id) => refunds.owe_if_called_off(id).await.map(|_| true),
            Call::TakeBackRefund(payment) => refunds.call_off(payment).await,
            Call::Retry(id) => refunds.retry(id).await.map(|_| true),
            Call::End { id, reason } => {
                let ended = refunds.end(id, reason).await?;
                Ok(matches!(ended.state, OrderState::Ended { .. }))
            }
        }
    }
}

impl Call {
    fn subject(&self) -> OperationId {
        match self {
            Self::Continue(id)
            | Self::LookAgain(id)
            | Self::OweAgain(id)
            | Self::TakeBackRefund(id)
            | Self::Retry(id)
            | Self::End { id, .. } => *id,
        }
    }
}

impl Refusal {
    fn about(self, id: OperationId) -> ServiceError {
        match self {
            Self::UnknownRefund => ServiceError::UnknownRefund(id),
            Self::RefundSettled(reason) => ServiceError::RefundSettled(reason),
            Self::Unavailable(reason) => ServiceError::Unavailable(reason.into()),
            Self::Fault(reason) => ServiceError::Fault(reason.into()),
        }
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::UnknownRefund(_) => Self::UnknownRefund,
            ServiceError::RefundSettled(reason) => Self::RefundSettled(reason),
            ServiceError::Unavailable(_) | ServiceError::StorageFull | ServiceError::Overloaded => {
                Self::Unavailable(error.to_string())
            }
            error => Self::Fault(error.to_string()),
        }
    }
}

//! What others learn of an order: its compliance event, and the event bus.

use std::collections::BTreeMap;

use dm_core::{
    bus::{Movement, News, OrderNews},
    event::{EventKind, NewEvent},
    order::{Order, OrderRecord, OrderState, Purpose},
};

/// What the bus learns of an order; `None` where nothing has come of it yet.
pub(super) fn news_of(record: &OrderRecord) -> Option<News> {
    let told = match record.state {
        OrderState::Completed { .. } => News::TokenTransferCompleted,
        OrderState::Failed { .. } | OrderState::Ended { .. } => News::TokenTransferFailed,
        OrderState::Accepted if record.tries.failed > 0 => News::TokenTransferFailed,
        OrderState::Accepted | OrderState::Sent { .. } | OrderState::CalledOff => return None,
    };
    let is_tried_again = record.state == OrderState::Accepted;
    let movement = match &record.order {
        Order::Transfer(transfer) => Some(Movement {
            token: transfer.token,
            from: record.payer(),
            to: transfer.to,
            amount: transfer.amount.to_string(),
        }),
        _ => None,
    };
    let news = OrderNews {
        id: record.id.to_string(),
        kind: record.order.kind(),
        purpose: record.purpose.as_str(),
        tx_hash: record.state.tx_hash(),
        movement,
        reason: match &record.state {
            OrderState::Failed { reason, .. } | OrderState::Ended { reason } => Some(reason.clone()),
            OrderState::Accepted => record.tries.reason.clone(),
            _ => None,
        },
        next_try: is_tried_again.then_some(record.tries.next_at as f64 / 1000.0),
    };
    Some(told(news))
}

/// The fact that a completed movement of money is; `None` for orders that
/// move none.
pub(super) fn event_of(record: &OrderRecord) -> Option<NewEvent> {
    let OrderState::Completed {
        tx_hash, received, ..
    } = &record.state
    else {
        return None;
    };
    let (token, from, to, amount, consent) = match &record.order {
        Order::Transfer(transfer) => (
            transfer.token,
            record.payer(),
            transfer.to,
            transfer.amount,
            transfer.consent.as_str(),
        ),
        Order::Mint { token, to, amount } => (*token, None, *to, *amount, "mint"),
        Order::Approve { .. } | Order::IssueToken { .. } => return None,
    };
    let mut details = BTreeMap::from([
        ("operation", record.id.to_string()),
        ("purpose", record.purpose.as_str().to_owned()),
        ("token", token.to_string()),
        ("amount", amount.to_string()),
        ("received", received.to_string()),
        ("consent", consent.to_owned()),
        ("tx_hash", tx_hash.to_string()),
    ]);
    if let Some(from) = from {
        details.insert("from", from.to_string());
    }
    if let Purpose::Refund { of } = record.purpose {
        details.insert("refund_of", of.to_string());
    }
    Some(NewEvent {
        kind: EventKind::Transfer,
        data_hash: match record.purpose {
            Purpose::Payment { data_hash, .. } => Some(data_hash),
            Purpose::Request | Purpose::Refund { .. } => None,
        },
        recipient: Some(to),
        details: details
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        mandate: None,
    })
}

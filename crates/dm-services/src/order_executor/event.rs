//! The compliance event of an order.

use std::collections::BTreeMap;

use dm_core::{
    event::{EventKind, NewEvent},
    order::{Order, OrderRecord, OrderState, Purpose},
};

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

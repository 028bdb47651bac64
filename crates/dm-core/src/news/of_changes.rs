//! What the changes of a catalog are as news.

use super::{Movement, News, OrderNews};
use crate::{
    event::{Event, EventKind},
    inbox::{InboxItem, ItemState},
    order::{Order, OrderRecord, OrderState, TokenRecord},
    ports::LogEntry,
    receipt::Anchor,
    share::{ReadableObject, ShareRecord, ShareStatus},
};

impl News {
    /// That a share has come into being; its anchor is still to come.
    pub fn of_share(share: &ShareRecord) -> Self {
        Self::DataShared {
            data_hash: share.data_hash,
            recipient: share.recipient,
            status: ShareStatus::Pending,
            tx_hash: None,
        }
    }

    /// That this node keeps data of another owner, which its inbox lists or does not.
    pub fn of_readable(object: &ReadableObject, is_listed: bool) -> Self {
        let (data_hash, owner, size) = (object.data_hash, object.id.owner, object.size);
        match is_listed {
            true => Self::DataFetched {
                data_hash,
                owner,
                size,
            },
            false => Self::DataReceived {
                data_hash,
                owner,
                size,
            },
        }
    }

    /// That the inbox has a new item; `None` for data that was read before.
    pub fn of_item(item: &InboxItem) -> Option<Self> {
        (item.state == ItemState::New).then_some(Self::DataReceived {
            data_hash: item.data_hash,
            owner: item.owner,
            size: item.size,
        })
    }

    /// That a token is supported from now on.
    pub fn of_token(token: &TokenRecord) -> Self {
        Self::TokenAdded {
            address: token.info.address,
            symbol: token.info.symbol.clone(),
        }
    }

    /// What has become of an order; `None` where nothing has come of it yet.
    pub fn of_order(record: &OrderRecord) -> Option<Self> {
        let told = match record.state {
            OrderState::Completed { .. } => Self::TokenTransferCompleted,
            OrderState::Failed { .. } | OrderState::Ended { .. } => Self::TokenTransferFailed,
            OrderState::Accepted if record.tries.failed > 0 => Self::TokenTransferFailed,
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

    /// That the compliance log has another event.
    pub fn of_event(entry: &LogEntry) -> Self {
        Self::ComplianceEvent {
            index: entry.index,
            event_type: entry.event.event_type,
            data_hash: entry.event.data_hash,
            recipient: entry.event.recipient,
            timestamp: entry.event.timestamp,
        }
    }

    /// That data was acknowledged, where the event says so.
    pub fn of_evidence(entry: &LogEntry) -> Option<Self> {
        let statement = entry.event.trusted_evidence()?;
        Some(Self::DataAcknowledged {
            data_hash: entry.event.data_hash?,
            owner: statement.object.owner,
            recipient: statement.recipient,
            fetched_at: statement.fetched_at,
            acknowledged_at: statement.made_at,
            receipt: entry.index,
        })
    }

    /// That the chain holds an event, where the event is a share.
    pub fn of_anchor(event: &Event, anchor: &Anchor) -> Option<Self> {
        if !matches!(event.event_type, EventKind::DataShare | EventKind::Grant) {
            return None;
        }
        Some(Self::ShareAnchored {
            data_hash: event.data_hash?,
            recipient: event.recipient?,
            tx_hash: anchor.tx_hash,
            block: anchor.block,
            anchored_at: anchor.timestamp,
        })
    }
}

//! What the tests of the queue's parts begin with.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, Bytes, U256};
use dm_core::operation::OperationId;
use tokio::time::Instant;

use super::{
    super::{QueueConfig, Subject, ledger::Ledger},
    world::CONFIRMATIONS,
};
use crate::tx::{Call, Draft, ExpectedTransfer};

pub(in super::super) fn config() -> QueueConfig {
    QueueConfig {
        account: Address::repeat_byte(1),
        confirmations: CONFIRMATIONS as u64,
        max_fee_per_gas: 1_000_000,
        replace_after: Duration::from_secs(30),
        poll_interval: Duration::from_millis(500),
        max_unmined: 6,
        meter: Arc::default(),
    }
}

pub(in super::super) fn id(operation: u8) -> OperationId {
    OperationId::from_bytes([operation; 32])
}

pub(in super::super) fn subject(operation: u8) -> Subject {
    Subject::Operation(id(operation))
}

/// A transaction that shows by its value which operation it belongs to.
pub(in super::super) fn draft(operation: Option<u8>) -> Draft {
    Draft {
        call: Call {
            to: Some(Address::repeat_byte(2)),
            input: Bytes::new(),
            value: U256::from(operation.map_or(0, |operation| u16::from(operation) + 1)),
        },
        gas_limit: 21_000,
        transfer: ExpectedTransfer::Nothing,
    }
}

/// Orders an operation that moves no coins.
pub(in super::super) fn order(ledger: &mut Ledger, operation: u8, now: Instant) {
    ledger.order(operation.into(), Some(id(operation)), draft(None), now);
}

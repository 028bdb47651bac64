//! What is the same of an operation, whichever library encodes it: whom it calls, what
//! it moves, and how its success is told.

use alloy::primitives::{Address, U256};
use dm_core::{operation::Operation, token::NATIVE_TOKEN};

use super::EvmBackend;
use crate::{
    tx::{Call, ExpectedTransfer},
    wire::Log,
};

/// The call that an operation makes.
pub(crate) fn call_of(backend: &dyn EvmBackend, operation: &Operation) -> Call {
    Call {
        to: called_by(operation),
        input: backend.operation_input(operation),
        value: match operation {
            Operation::Transfer { token, amount, .. } if *token == NATIVE_TOKEN => *amount,
            _ => U256::ZERO,
        },
    }
}

/// The contract that an operation calls, or who gets the coins; `None` where it makes a
/// contract.
fn called_by(operation: &Operation) -> Option<Address> {
    match operation {
        Operation::Transfer { token, to, .. } if *token == NATIVE_TOKEN => Some(*to),
        Operation::Transfer { token, .. }
        | Operation::TransferFrom { token, .. }
        | Operation::Permit { token, .. }
        | Operation::TransferWithAuthorization { token, .. }
        | Operation::Approve { token, .. }
        | Operation::Mint { token, .. } => Some(*token),
        Operation::IssueToken { .. } => None,
    }
}

/// What somebody gets by an operation.
pub(crate) fn expected_transfer(operation: &Operation) -> ExpectedTransfer {
    match operation {
        Operation::Transfer { token, amount, .. } if *token == NATIVE_TOKEN => {
            ExpectedTransfer::Coin(*amount)
        }
        Operation::Transfer { token, to, .. }
        | Operation::TransferFrom { token, to, .. }
        | Operation::Mint { token, to, .. } => ExpectedTransfer::Tokens {
            token: *token,
            receiver: *to,
        },
        Operation::TransferWithAuthorization { token, authorization } => ExpectedTransfer::Tokens {
            token: *token,
            receiver: authorization.to,
        },
        Operation::Permit { .. } | Operation::Approve { .. } | Operation::IssueToken { .. } => {
            ExpectedTransfer::Nothing
        }
    }
}

/// Whether the function of an operation says by its result whether it was done.
pub(crate) fn returns_success(operation: &Operation) -> bool {
    match operation {
        Operation::Transfer { token, .. } => *token != NATIVE_TOKEN,
        Operation::TransferFrom { .. } | Operation::Approve { .. } => true,
        _ => false,
    }
}

/// How much a transaction has moved to whom it should, by the log entries of its receipt.
pub(crate) fn amount_received(
    backend: &dyn EvmBackend,
    expected: ExpectedTransfer,
    succeeded: bool,
    logs: &[Log],
) -> U256 {
    match expected {
        _ if !succeeded => U256::ZERO,
        ExpectedTransfer::Nothing => U256::ZERO,
        ExpectedTransfer::Coin(value) => value,
        ExpectedTransfer::Tokens { token, receiver } => logs
            .iter()
            .filter(|log| log.address == token)
            .filter_map(|log| backend.transfer(log))
            .filter(|(to, _)| *to == receiver)
            .fold(U256::ZERO, |sum, (_, amount)| sum.saturating_add(amount)),
    }
}

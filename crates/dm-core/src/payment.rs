//! What a share costs, and that it was paid.

use alloy_primitives::{Address, B256, U256};

use crate::{
    operation::{OperationId, Permit, TransferAuthorization},
    order::{Order, OrderRecord, OrderState},
};

/// A payer's consent that travels with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedConsent {
    /// An allowance (EIP-2612).
    Permit(Permit),
    /// The transfer itself (EIP-3009).
    Authorization(TransferAuthorization),
}

/// What a share costs. The recipient pays the operator account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentTerms {
    /// The token.
    pub token: Address,
    /// How much, in its smallest unit.
    pub amount: U256,
    /// The recipient's signed consent, where it did not give it on the chain.
    pub consent: Option<SignedConsent>,
}

/// A payment that was made for a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentReceipt {
    /// The order's name.
    pub id: OperationId,
    /// The transaction.
    pub tx_hash: B256,
    /// Who paid.
    pub payer: Address,
    /// In which token.
    pub token: Address,
    /// How much.
    pub amount: U256,
}

impl PaymentReceipt {
    /// The receipt of a completed transfer; `None` for other orders.
    pub fn of(record: &OrderRecord) -> Option<Self> {
        match (&record.order, &record.state) {
            (Order::Transfer(transfer), OrderState::Completed { tx_hash, .. }) => Some(Self {
                id: record.id,
                tx_hash: *tx_hash,
                payer: transfer.from,
                token: transfer.token,
                amount: transfer.amount,
            }),
            _ => None,
        }
    }
}

//! Orders: what clients ask the operator account to do with money and tokens,
//! and how far each has come.

use alloy_primitives::{Address, B256, U256};
use serde::{Deserialize, Serialize};

use crate::{
    hash::DataHash,
    idempotency::IdempotencyKey,
    operation::{Operation, OperationId, Permit, TransferAuthorization},
    token::TokenInfo,
};

mod tries;

pub use tries::Tries;

/// What is to be done. Amounts are in the token's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all orders are transfers, so that a box would save nothing"
)]
pub enum Order {
    /// Move coins or tokens.
    Transfer(TransferOrder),
    /// Let somebody take from the operator account.
    Approve {
        /// The contract.
        token: Address,
        /// Who may take.
        spender: Address,
        /// How much in all.
        amount: U256,
    },
    /// Deploy a token that the operator account owns.
    IssueToken {
        /// Full name.
        name: String,
        /// Short name.
        symbol: String,
        /// Decimal places.
        decimals: u8,
        /// What the operator account has of it at first.
        initial_supply: U256,
    },
    /// Make more of a token that was issued here.
    Mint {
        /// The contract.
        token: Address,
        /// Who gets it.
        to: Address,
        /// How much.
        amount: U256,
    },
}

/// A movement of coins or tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferOrder {
    /// What is paid with.
    pub token: Address,
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much.
    pub amount: U256,
    /// Why the operator account may move it.
    pub consent: Consent,
}

/// Why the operator account may move somebody's money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// It is its own.
    Own,
    /// Its owner has allowed it on the chain (ERC-20).
    Allowance,
    /// Its owner has signed an allowance (EIP-2612).
    Permit(Permit),
    /// Its owner has signed the transfer (EIP-3009).
    Authorization(TransferAuthorization),
}

impl Consent {
    /// Its name in the interface.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Allowance => "allowance",
            Self::Permit(_) => "permit",
            Self::Authorization(_) => "authorization",
        }
    }
}

impl Order {
    /// What the operator account does on the chain for it. A permit is handed
    /// in before, by an operation of its own.
    pub fn operation(&self) -> Operation {
        match self.clone() {
            Self::Transfer(TransferOrder {
                token,
                from,
                to,
                amount,
                consent,
            }) => match consent {
                Consent::Own => Operation::Transfer { token, to, amount },
                Consent::Allowance | Consent::Permit(_) => Operation::TransferFrom {
                    token,
                    from,
                    to,
                    amount,
                },
                Consent::Authorization(authorization) => {
                    Operation::TransferWithAuthorization { token, authorization }
                }
            },
            Self::Approve {
                token,
                spender,
                amount,
            } => Operation::Approve {
                token,
                spender,
                amount,
            },
            Self::IssueToken {
                name,
                symbol,
                decimals,
                initial_supply,
            } => Operation::IssueToken {
                name,
                symbol,
                decimals,
                initial_supply,
            },
            Self::Mint { token, to, amount } => Operation::Mint { token, to, amount },
        }
    }

    /// Its kind in the interface.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Transfer(_) => "transfer",
            Self::Approve { .. } => "approve",
            Self::IssueToken { .. } => "issue_token",
            Self::Mint { .. } => "mint",
        }
    }
}

/// What an order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A client asked for it as such.
    Request,
    /// It pays for a share.
    Payment {
        /// What is shared.
        data_hash: DataHash,
        /// With whom.
        recipient: Address,
    },
    /// It gives a payment back.
    Refund {
        /// The payment.
        of: OperationId,
    },
}

impl Purpose {
    /// Its name in the interface.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Payment { .. } => "payment",
            Self::Refund { .. } => "refund",
        }
    }
}

/// How far an order has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum OrderState {
    /// It is kept, and nothing was sent.
    Accepted,
    /// Its transaction was handed to the chain.
    Sent {
        /// The newest transaction.
        tx_hash: B256,
    },
    /// It is done.
    Completed {
        /// The transaction that did it.
        tx_hash: B256,
        /// The block of that transaction.
        block: u64,
        /// What arrived at the receiver.
        received: U256,
        /// The contract that was made, if one was.
        contract: Option<Address>,
    },
    /// It was not done, and will not be.
    Failed {
        /// The transaction that was undone, if there was one.
        tx_hash: Option<B256>,
        /// Why.
        reason: String,
    },
    /// A refund that is not needed: the payment counts for its share again.
    CalledOff,
    /// A refund that an operator has ended before it was made.
    Ended {
        /// Why, in the operator's words.
        reason: String,
    },
}

impl OrderState {
    /// Its name in the interface.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent { .. } => "sent",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::CalledOff => "called_off",
            Self::Ended { .. } => "ended",
        }
    }

    /// The transaction, once there is one.
    pub const fn tx_hash(&self) -> Option<B256> {
        match self {
            Self::Accepted | Self::CalledOff | Self::Ended { .. } => None,
            Self::Sent { tx_hash } | Self::Completed { tx_hash, .. } => Some(*tx_hash),
            Self::Failed { tx_hash, .. } => *tx_hash,
        }
    }
}

/// An order as the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRecord {
    /// Its name; that of its operation is [`OrderRecord::operation_id`].
    pub id: OperationId,
    /// What is to be done.
    pub order: Order,
    /// What for.
    pub purpose: Purpose,
    /// The client's key for the request, if it sent one.
    pub idempotency_key: Option<IdempotencyKey>,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// How far it has come.
    pub state: OrderState,
    /// What came of the attempts to make it, where it is a refund.
    pub tries: Tries,
    /// Position of its event in the compliance log, once it stands there.
    pub event_index: Option<u64>,
}

impl OrderRecord {
    /// The name of its operation on the chain. A refund whose transaction was mined
    /// and moved nothing needs another one.
    pub fn operation_id(&self) -> OperationId {
        self.operation_after(self.tries.spent)
    }

    /// The names of all operations that were begun for it, besides what goes before it.
    pub fn operation_ids(&self) -> impl Iterator<Item = OperationId> {
        (0..=self.tries.spent).map(|spent| self.operation_after(spent))
    }

    /// The name of its operation where `spent` others were used up.
    fn operation_after(&self, spent: u32) -> OperationId {
        match (self.purpose, spent) {
            (Purpose::Refund { of }, 1..) => of.part(&format!("refund/{spent}")),
            _ => self.id,
        }
    }

    /// Whose money it moves; `None` where it moves none.
    pub fn payer(&self) -> Option<Address> {
        match &self.order {
            Order::Transfer(transfer) => Some(self.tries.payer.unwrap_or(transfer.from)),
            _ => None,
        }
    }
}

/// A token that the node supports besides the chain's own coin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// What it said of itself when it was added.
    pub info: TokenInfo,
    /// Whether this node has issued it, so that it can mint.
    pub issued: bool,
    /// When it was added, in milliseconds since the Unix epoch.
    pub added_at: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_of_a_refund_has_a_name_of_its_own() {
        let payment = OperationId::random();
        let refund = |spent| OrderRecord {
            id: payment.part("refund"),
            order: Order::Mint {
                token: Address::ZERO,
                to: Address::ZERO,
                amount: U256::ZERO,
            },
            purpose: Purpose::Refund { of: payment },
            idempotency_key: None,
            created_at: 1,
            state: OrderState::Accepted,
            tries: Tries {
                spent,
                ..Tries::default()
            },
            event_index: None,
        };
        let names: Vec<_> = refund(3).operation_ids().collect();
        assert_eq!(names[0], refund(0).id);
        for (spent, name) in (0..).zip(&names) {
            assert_eq!(refund(spent).operation_id(), *name);
        }
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), 4);
    }
}

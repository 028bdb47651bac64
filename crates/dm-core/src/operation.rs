//! Operations: what the operator account does on the chain besides anchoring.

use std::{fmt, str::FromStr};

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

/// The name of an operation. Whoever asks for the same one twice, after a
/// crash or because an answer was lost, uses the same name, and it is done once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(B256);

impl OperationId {
    /// A name that nobody has used.
    pub fn random() -> Self {
        Self(B256::from(rand::random::<[u8; 32]>()))
    }

    /// The name of an operation that belongs to this one, such as the permit
    /// before a transfer: always the same for the same `role`.
    #[must_use]
    pub fn part(self, role: &str) -> Self {
        Self(keccak256([self.0.as_slice(), role.as_bytes()].concat()))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0.0
    }

    /// The name with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(B256::new(bytes))
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The text is no name of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits")]
pub struct InvalidOperationId;

impl FromStr for OperationId {
    type Err = InvalidOperationId;

    fn from_str(text: &str) -> Result<Self, InvalidOperationId> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidOperationId)?;
        Ok(Self::from_bytes(bytes))
    }
}

/// What the operator account shall do. Amounts are in the smallest unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Pays out of the operator's own balance; `token` may be the native coin.
    Transfer {
        /// What is paid with.
        token: Address,
        /// Who is paid.
        to: Address,
        /// How much.
        amount: U256,
    },
    /// Takes from somebody who has allowed it to the operator
    /// (ERC-20 `transferFrom`).
    TransferFrom {
        /// The contract.
        token: Address,
        /// Who pays.
        from: Address,
        /// Who is paid.
        to: Address,
        /// How much.
        amount: U256,
    },
    /// Hands in an allowance that its owner has signed.
    Permit {
        /// The contract.
        token: Address,
        /// The owner's statement.
        permit: Permit,
    },
    /// Hands in a transfer that its payer has signed.
    TransferWithAuthorization {
        /// The contract.
        token: Address,
        /// The payer's statement.
        authorization: TransferAuthorization,
    },
    /// Allows somebody to take from the operator (ERC-20 `approve`).
    Approve {
        /// The contract.
        token: Address,
        /// Who may take.
        spender: Address,
        /// How much in all.
        amount: U256,
    },
    /// Deploys an ERC-20 token that the operator owns and alone can mint.
    IssueToken {
        /// Full name.
        name: String,
        /// Short name.
        symbol: String,
        /// Decimal places.
        decimals: u8,
        /// What the operator has of it at first.
        initial_supply: U256,
    },
    /// Makes more of a token that the operator has issued.
    Mint {
        /// The contract.
        token: Address,
        /// Who gets it.
        to: Address,
        /// How much.
        amount: U256,
    },
}

/// An owner's allowance for the operator account by signature
/// ([EIP-2612](https://eips.ethereum.org/EIPS/eip-2612)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// Who allows.
    pub owner: Address,
    /// Who may take.
    pub spender: Address,
    /// How much.
    pub value: U256,
    /// Until when it can be handed in, in seconds since the Unix epoch.
    pub deadline: U256,
    /// The owner's signature over the token's EIP-712 hash.
    pub signature: SignatureParts,
}

/// A payer's transfer by signature
/// ([EIP-3009](https://eips.ethereum.org/EIPS/eip-3009)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferAuthorization {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// How much.
    pub value: U256,
    /// Not valid before this time, in seconds since the Unix epoch.
    pub valid_after: U256,
    /// Not valid from this time on.
    pub valid_before: U256,
    /// Chosen by the payer; each can be used once.
    pub nonce: B256,
    /// The payer's signature over the token's EIP-712 hash.
    pub signature: SignatureParts,
}

/// An ECDSA signature as token contracts take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureParts {
    /// Recovery id: 27 or 28.
    pub v: u8,
    /// First half.
    pub r: B256,
    /// Second half.
    pub s: B256,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_one_name_and_each_role_its_own() {
        let id = OperationId::random();
        assert_eq!(id.part("permit"), id.part("permit"));
        assert_ne!(id.part("permit"), id.part("refund"));
        assert_ne!(id.part("permit"), OperationId::random().part("permit"));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let id = OperationId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "0x", "zz", &id.to_string()[1..]] {
            assert_eq!(text.parse::<OperationId>(), Err(InvalidOperationId), "{text}");
        }
    }
}

use alloy_primitives::{Address, U256};
use async_trait::async_trait;

use super::ChainError;
use crate::token::TokenInfo;

/// Reads token contracts ([ERC-20](https://eips.ethereum.org/EIPS/eip-20)).
#[async_trait]
pub trait Tokens: Send + Sync {
    /// What a contract says of itself. A symbol or name that is no text
    /// (bytes32 as with MKR), missing, or longer than 64 characters is brought
    /// into a form that can be shown; a token without `decimals` has none.
    ///
    /// # Errors
    /// [`TokenError::NoContract`] where the address has no code,
    /// [`TokenError::NotErc20`] where `totalSupply`, `balanceOf` or `allowance`
    /// do not answer as ERC-20 says.
    async fn describe(&self, token: Address) -> Result<TokenInfo, TokenError>;

    /// What an account has, in the token's smallest unit.
    async fn balance_of(&self, token: Address, account: Address) -> Result<U256, TokenError>;

    /// How much of `owner`'s balance `spender` may take.
    async fn allowance(&self, token: Address, owner: Address, spender: Address) -> Result<U256, TokenError>;
}

/// Why a token did not answer as hoped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing but an account, or nobody, is at the address.
    #[error("no contract is at {0}")]
    NoContract(Address),
    /// A contract is there, and no ERC-20 token.
    #[error("the contract at {token} is no ERC-20 token: {reason}")]
    NotErc20 {
        /// Its address.
        token: Address,
        /// What it did instead.
        reason: String,
    },
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

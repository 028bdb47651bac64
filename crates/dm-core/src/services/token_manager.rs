//! The tokens that the node supports.

use std::sync::Arc;

use alloy_primitives::{Address, U256};

use super::ServiceError;
use crate::{
    ports::Chain,
    token::{NATIVE_TOKEN, TokenInfo},
};

/// Lists tokens and reads balances.
#[derive(Clone)]
pub struct TokenManager {
    chain: Arc<dyn Chain>,
    /// The address under which clients name the chain's own coin, besides
    /// [`NATIVE_TOKEN`].
    native_alias: Address,
}

impl TokenManager {
    /// A manager whose clients name the native coin `native_alias`.
    pub fn new(chain: Arc<dyn Chain>, native_alias: Address) -> Self {
        Self { chain, native_alias }
    }

    /// All supported tokens, the native coin first.
    ///
    /// # Errors
    /// None so far; a catalog of tokens may fail.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, ServiceError> {
        Ok(vec![TokenInfo {
            address: self.native_alias,
            ..self.chain.native_token()
        }])
    }

    /// What an account has of a token, in the token's smallest unit.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a token that is not supported,
    /// [`ServiceError::Unavailable`] where the chain does not answer.
    pub async fn balance(&self, account: Address, token: Address) -> Result<U256, ServiceError> {
        if token != NATIVE_TOKEN && token != self.native_alias {
            return Err(ServiceError::invalid("token", "is not supported by this node"));
        }
        Ok(self.chain.native_balance(account).await?)
    }
}

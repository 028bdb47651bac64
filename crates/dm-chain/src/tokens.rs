//! The port `Tokens`: reads contracts that say they are tokens.

use alloy::primitives::{Address, Bytes, U64, U256};
use async_trait::async_trait;
use dm_core::{
    ports::{ChainError, TokenError, Tokens},
    token::{TokenInfo, TokenKind},
};

use crate::{
    backend::TokenQuestion, client::EvmClient, reverts::in_words, rpc::RpcFailure, text::token_text,
    tx::CallRequest,
};

/// Gas for one answer of a contract that nobody knows yet.
const DESCRIPTION_GAS: u64 = 1_000_000;

#[async_trait]
impl Tokens for EvmClient {
    async fn describe(&self, token: Address) -> Result<TokenInfo, TokenError> {
        let somebody = self.account();
        let allowance = TokenQuestion::Allowance {
            owner: somebody,
            spender: somebody,
        };
        let (_, _, _, _, name, symbol, decimals) = futures::try_join!(
            self.require_code(token),
            self.number(token, TokenQuestion::TotalSupply),
            self.number(token, TokenQuestion::BalanceOf(somebody)),
            self.number(token, allowance),
            self.answer_if_any(token, TokenQuestion::Name),
            self.answer_if_any(token, TokenQuestion::Symbol),
            self.answer_if_any(token, TokenQuestion::Decimals),
        )?;
        // Something has to be shown, and nothing is certain but the address.
        let fallback = || token.to_string().chars().take(10).collect();
        let symbol = token_text(&symbol).unwrap_or_else(fallback);
        let decimals = word(&decimals).and_then(|decimals| u8::try_from(decimals).ok());
        Ok(TokenInfo {
            address: token,
            kind: TokenKind::Erc20,
            name: token_text(&name).unwrap_or_else(|| symbol.clone()),
            symbol,
            decimals: decimals.unwrap_or_default(),
        })
    }

    async fn balance_of(&self, token: Address, account: Address) -> Result<U256, TokenError> {
        self.number(token, TokenQuestion::BalanceOf(account)).await
    }

    async fn allowance(&self, token: Address, owner: Address, spender: Address) -> Result<U256, TokenError> {
        self.number(token, TokenQuestion::Allowance { owner, spender })
            .await
    }
}

impl EvmClient {
    /// A number that every token has to tell.
    async fn number(&self, token: Address, question: TokenQuestion) -> Result<U256, TokenError> {
        let request = CallRequest::view(token, self.backend.token_question(question));
        let reason = match self.node.read::<_, Bytes>("eth_call", (request, "latest")).await {
            Ok(answer) => match word(&answer) {
                Some(number) => return Ok(number),
                None => format!("it answers {} bytes instead of a number", answer.len()),
            },
            Err(RpcFailure::Reverted(payload)) => in_words(&payload),
            Err(other) => return Err(ChainError::from(other).into()),
        };
        self.require_code(token).await?;
        let question = match question {
            TokenQuestion::BalanceOf(_) => "balanceOf",
            TokenQuestion::Allowance { .. } => "allowance",
            _ => "totalSupply",
        };
        Err(TokenError::NotErc20 {
            token,
            reason: format!("{question}: {reason}"),
        })
    }

    /// What a contract answers to a question that it need not know; nothing
    /// where the EVM undoes the call.
    async fn answer_if_any(&self, token: Address, question: TokenQuestion) -> Result<Bytes, TokenError> {
        let request = CallRequest {
            gas: Some(U64::from(DESCRIPTION_GAS)),
            ..CallRequest::view(token, self.backend.token_question(question))
        };
        match self.node.read("eth_call", (request, "latest")).await {
            Ok(answer) => Ok(answer),
            Err(RpcFailure::Reverted(_)) => Ok(Bytes::new()),
            Err(other) => Err(ChainError::from(other).into()),
        }
    }

    /// Who may make more of a token, where it says so.
    pub(crate) async fn token_owner(&self, token: Address) -> Result<Option<Address>, ChainError> {
        let request = CallRequest::view(token, self.backend.token_question(TokenQuestion::Owner));
        match self.node.read::<_, Bytes>("eth_call", (request, "latest")).await {
            Ok(answer) => Ok(word(&answer).map(|owner| Address::from_word(owner.into()))),
            Err(RpcFailure::Reverted(_)) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    async fn require_code(&self, token: Address) -> Result<(), TokenError> {
        let code: Bytes = self
            .node
            .read("eth_getCode", (token, "latest"))
            .await
            .map_err(ChainError::from)?;
        match code.is_empty() {
            true => Err(TokenError::NoContract(token)),
            false => Ok(()),
        }
    }
}

/// The number that an answer is.
pub(crate) fn word(answer: &[u8]) -> Option<U256> {
    (answer.len() == 32).then(|| U256::from_be_slice(answer))
}

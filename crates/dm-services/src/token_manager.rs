//! The tokens that the node supports.

use alloy_primitives::{Address, U256};
use dm_core::{
    clock::now_ms,
    idempotency::IdempotencyKey,
    operation::OperationId,
    order::{Order, OrderRecord, Purpose, TokenRecord},
    ports::ChainError,
    token::{NATIVE_TOKEN, TokenInfo},
};

use super::{OrderExecutor, ServiceError};

mod abi;

/// Longest name or symbol of a token that is issued here, in characters.
const MAX_NAME: usize = 64;

/// A token that is to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Full name, 1 to 64 characters.
    pub name: String,
    /// Short name, 1 to 64 characters.
    pub symbol: String,
    /// Decimal places.
    pub decimals: u8,
    /// What the operator account has of it at first, in the smallest unit.
    pub initial_supply: U256,
}

/// Lists, adds and issues tokens, and reads balances; cheap to clone.
#[derive(Clone)]
pub struct TokenManager {
    executor: OrderExecutor,
}

impl TokenManager {
    /// A manager whose orders this executor carries out.
    pub fn new(executor: OrderExecutor) -> Self {
        Self { executor }
    }

    /// All supported tokens, the native coin first.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, ServiceError> {
        let ports = self.executor.ports();
        let native = TokenInfo {
            address: self.executor.settings().native_alias,
            ..ports.chain.native_token()
        };
        let others = ports.supported.tokens().await?;
        Ok(std::iter::once(native)
            .chain(others.into_iter().map(|token| token.info))
            .collect())
    }

    /// The account that acts and pays on the chain.
    pub fn operator(&self) -> Address {
        self.executor.operator()
    }

    /// What an account has of a token, in the token's smallest unit.
    ///
    /// # Errors
    /// [`ServiceError::Rejected`] for a token that is not supported,
    /// [`ServiceError::Unavailable`] where the chain does not answer.
    pub async fn balance(&self, account: Address, token: Address) -> Result<U256, ServiceError> {
        let ports = self.executor.ports();
        if token == NATIVE_TOKEN || token == self.executor.settings().native_alias {
            return Ok(ports.chain.native_balance(account).await?);
        }
        self.supported(token).await?;
        Ok(ports.tokens.balance_of(token, account).await?)
    }

    /// Supports a token that is on the chain. `abi` is its interface in
    /// Solidity's JSON form; a standard ERC-20 token needs none.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for an ABI that is none or not that of an
    /// ERC-20 token, [`ServiceError::Rejected`] where the address has no contract
    /// or one that does not answer as ERC-20.
    pub async fn add(&self, address: Address, abi: Option<&str>) -> Result<TokenInfo, ServiceError> {
        if let Some(abi) = abi {
            abi::check(abi)?;
        }
        if address == NATIVE_TOKEN || address == self.executor.settings().native_alias {
            return Err(ServiceError::rejected(
                "address",
                "is the chain's own coin, which is always supported",
            ));
        }
        let ports = self.executor.ports();
        let record = TokenRecord {
            info: ports.tokens.describe(address).await?,
            issued: false,
            added_at: now_ms(),
        };
        ports.supported.add_token(&record).await?;
        Ok(record.info)
    }

    /// Asks a supported token again what it is, and keeps the answer.
    ///
    /// # Errors
    /// [`ServiceError::Rejected`] for a token that is not supported, or that no longer
    /// answers as ERC-20, [`ServiceError::Unavailable`] where the chain does not
    /// answer; then everything stays as it was.
    pub async fn refresh(&self, token: Address) -> Result<TokenInfo, ServiceError> {
        self.supported(token).await?;
        let ports = self.executor.ports();
        let facts = ports.tokens.describe(token).await?;
        ports.supported.update_token(&facts).await?;
        Ok(facts)
    }

    /// Deploys a token that the operator account owns, and supports it. The
    /// same idempotency key again gives the same token.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a name or supply out of bounds, and what
    /// keeps the operator account from deploying it.
    pub async fn issue(
        &self,
        token: NewToken,
        key: Option<IdempotencyKey>,
    ) -> Result<OrderRecord, ServiceError> {
        for (field, text) in [("name", &token.name), ("symbol", &token.symbol)] {
            if text.trim().is_empty() || text.chars().count() > MAX_NAME || text.chars().any(char::is_control)
            {
                return Err(ServiceError::invalid(
                    field,
                    "must have 1 to 64 printable characters",
                ));
            }
        }
        let order = Order::IssueToken {
            name: token.name,
            symbol: token.symbol,
            decimals: token.decimals,
            initial_supply: token.initial_supply,
        };
        self.order(order, key).await
    }

    /// Makes more of a token that was issued here.
    ///
    /// # Errors
    /// [`ServiceError::Rejected`] for other tokens.
    pub async fn mint(
        &self,
        token: Address,
        to: Address,
        amount: U256,
        key: Option<IdempotencyKey>,
    ) -> Result<OrderRecord, ServiceError> {
        if !self.supported(token).await?.issued {
            return Err(ServiceError::rejected("token", "was not issued by this node"));
        }
        self.order(Order::Mint { token, to, amount }, key).await
    }

    /// Lets another account, such as a node that sells data, take up to
    /// `amount` of a token from the operator account; 0 takes that back. A token that
    /// demands that an allowance is taken back before another is given has it so.
    ///
    /// # Errors
    /// [`ServiceError::Rejected`] for a token that is not supported.
    pub async fn approve(
        &self,
        token: Address,
        spender: Address,
        amount: U256,
        key: Option<IdempotencyKey>,
    ) -> Result<OrderRecord, ServiceError> {
        self.supported(token).await?;
        let order = Order::Approve {
            token,
            spender,
            amount,
        };
        self.order(order, key).await
    }

    async fn order(&self, order: Order, key: Option<IdempotencyKey>) -> Result<OrderRecord, ServiceError> {
        if let Some(kept) = self.executor.repeated(key.as_ref(), &order).await? {
            return self.executor.continue_with(kept.id).await;
        }
        match self.executor.check(&order).await {
            Ok(()) => {}
            Err(ChainError::Reverted(reason)) => return Err(ServiceError::TransactionFailed(reason)),
            Err(error) => return Err(error.into()),
        }
        self.executor
            .carry_out(OperationId::random(), order, Purpose::Request, key)
            .await
    }

    async fn supported(&self, token: Address) -> Result<TokenRecord, ServiceError> {
        let known = self.executor.ports().supported.token(token).await?;
        known.ok_or_else(|| ServiceError::rejected("token", "is not supported by this node"))
    }
}

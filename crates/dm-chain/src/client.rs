//! The client of a chain: an account that reads, sends and anchors.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, U64, U256};
use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    ports::{Chain, ChainError, ChainHead, KeyValueStore, Signer},
    token::TokenInfo,
};
use tokio::sync::RwLock;

use crate::{
    access::ChainAccess,
    accounts::Accounts,
    backend::EvmBackend,
    config::ClientConfig,
    deployment::Deployment,
    head_watch::HeadWatch,
    reader::AnchorReader,
    rpc::{EndpointState, InvalidUrl, Node, SwitchFailure},
    transactions::{AccountDeps, TransactionReading},
    wire::BlockHeader,
};

/// What a client needs beside its configuration.
#[non_exhaustive]
pub struct ClientDeps {
    /// How the chain is reached.
    pub chain: ChainAccess,
    /// The account that sends and anchors.
    pub signer: Arc<dyn Signer>,
    /// Keeps the operations that are not concluded.
    pub journal: Arc<dyn KeyValueStore>,
}

impl ClientDeps {
    /// A chain, the account on it, and the store of what the account has begun.
    pub fn new(
        chain: impl Into<ChainAccess>,
        signer: Arc<dyn Signer>,
        journal: Arc<dyn KeyValueStore>,
    ) -> Self {
        Self {
            chain: chain.into(),
            signer,
            journal,
        }
    }
}

/// Why a client stays with the URLs that it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwitchError {
    /// A URL is none.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// One of the endpoints does not answer, or belongs to another chain.
    #[error(transparent)]
    Chain(ChainError),
}

/// An EVM chain and the operator account on it. Implements the ports
/// [`Chain`], [`dm_core::ports::Anchors`], [`dm_core::ports::Tokens`],
/// [`dm_core::ports::Operations`] and [`dm_core::ports::HealthCheck`].
pub struct EvmClient {
    pub(crate) node: Arc<Node>,
    pub(crate) backend: &'static dyn EvmBackend,
    pub(crate) reader: AnchorReader,
    pub(crate) accounts: Accounts,
    /// Held by those who anchor; nobody does while the log changes hands.
    pub(crate) hand_over: RwLock<()>,
    pub(crate) deployment: Deployment,
    pub(crate) head_watch: HeadWatch,
    /// How long the head may stand still, where the chain makes blocks by itself.
    pub(crate) stall_after: Option<Duration>,
    native_token: TokenInfo,
}

impl EvmClient {
    /// Starts a client. Nothing is sent yet: the chain may be away. What the journal has
    /// kept is gone on with. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub fn start(config: ClientConfig, deps: ClientDeps) -> Result<Self, InvalidUrl> {
        let (node, backend) = deps.chain.open(&config)?;
        let node = Arc::new(node);
        let account = AccountDeps {
            node: node.clone(),
            backend,
            signer: deps.signer,
            journal: deps.journal,
            meter: Arc::default(),
        };
        Ok(Self {
            reader: AnchorReader::new(node.clone(), backend),
            native_token: config.native_token.clone(),
            stall_after: config.stall_after,
            head_watch: HeadWatch::default(),
            accounts: Accounts::start(config, account),
            hand_over: RwLock::default(),
            deployment: Deployment::default(),
            node,
            backend,
        })
    }

    /// How the transactions of all accounts get on.
    pub async fn transactions(&self) -> TransactionReading {
        self.accounts.transactions().await
    }

    /// Moves to other URLs of the same chain, once each of them has answered with
    /// its id. What is queued or waits for a block goes on there.
    ///
    /// # Errors
    /// [`SwitchError`]; then everything stays as it was.
    pub async fn switch<U: AsRef<str>>(&self, urls: &[U]) -> Result<(), SwitchError> {
        self.node.switch(urls).await.map_err(|failure| match failure {
            SwitchFailure::Url(error) => SwitchError::Url(error),
            SwitchFailure::Chain(failure) => SwitchError::Chain(failure.into()),
        })
    }

    /// The endpoints in the order of their preference, and what is wrong with
    /// those that are not used at present.
    pub fn endpoints(&self) -> Vec<EndpointState> {
        self.node.report()
    }

    /// The account that sends and anchors.
    pub fn account(&self) -> Address {
        self.accounts.current().account()
    }

    /// Number of the newest block.
    pub(crate) async fn height(&self) -> Result<u64, ChainError> {
        let number: U64 = self.node.read("eth_blockNumber", ()).await?;
        Ok(number.to())
    }
}

#[async_trait]
impl Chain for EvmClient {
    async fn chain_id(&self) -> Result<u64, ChainError> {
        Ok(self.node.chain_id().await?)
    }

    async fn head(&self) -> Result<ChainHead, ChainError> {
        let block: BlockHeader = self.node.read("eth_getBlockByNumber", ("latest", false)).await?;
        let head = ChainHead {
            number: block.number.to(),
            timestamp: block.timestamp.to(),
        };
        self.head_watch.note(head, now_ms());
        Ok(head)
    }

    fn native_token(&self) -> TokenInfo {
        self.native_token.clone()
    }

    async fn native_balance(&self, account: Address) -> Result<U256, ChainError> {
        Ok(self.node.read("eth_getBalance", (account, "latest")).await?)
    }
}

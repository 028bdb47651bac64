//! The client of a chain: an account that reads, sends and anchors.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, U64, U256},
    rpc::client::RpcClient,
};
use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    ports::{Chain, ChainError, ChainHead, KeyValueStore, Signer},
    token::TokenInfo,
};
use tokio::sync::RwLock;

use crate::{
    accounts::Accounts,
    config::ClientConfig,
    deployment::Deployment,
    health::HeadWatch,
    library::Alloy,
    reader::AnchorReader,
    rpc::{Connection, EndpointState, InvalidUrl, Node, SwitchFailure},
    wire::BlockHeader,
};

/// Why a client stays with the URLs that it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// A URL is none.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// One of the endpoints does not answer, or belongs to another chain.
    #[error(transparent)]
    Chain(ChainError),
}

/// An EVM chain and the operator's account on it. Implements the ports
/// [`Chain`], [`dm_core::ports::Anchors`], [`dm_core::ports::Tokens`],
/// [`dm_core::ports::Operations`] and [`dm_core::ports::HealthCheck`].
pub struct EvmClient {
    pub(crate) node: Arc<Node>,
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
    /// A client of the chain at these http, https, ws or wss URLs, of which the
    /// first that answers is used. Nothing is sent yet: the chain may be away.
    /// `journal` keeps the operations that are not concluded; what it has kept is
    /// gone on with. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub fn connect<U: AsRef<str>>(
        urls: &[U],
        signer: Arc<dyn Signer>,
        journal: Arc<dyn KeyValueStore>,
        config: ClientConfig,
    ) -> Result<Self, InvalidUrl> {
        Ok(Self::new(
            Node::at(urls, &Alloy, &config)?,
            signer,
            journal,
            config,
        ))
    }

    /// A client over any of alloy's transports, such as that of the embedded
    /// chain. Must be called within a tokio runtime.
    pub fn over(
        client: RpcClient,
        signer: Arc<dyn Signer>,
        journal: Arc<dyn KeyValueStore>,
        config: ClientConfig,
    ) -> Self {
        let node = Node::over(Connection::Ready(client), &Alloy, &config);
        Self::new(node, signer, journal, config)
    }

    /// As [`EvmClient::connect`], by ethers-rs, which knows http and https alone,
    /// follows redirects, and reads answers of any length.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    #[cfg(feature = "ethers")]
    pub fn connect_with_ethers<U: AsRef<str>>(
        urls: &[U],
        signer: Arc<dyn Signer>,
        journal: Arc<dyn KeyValueStore>,
        config: ClientConfig,
    ) -> Result<Self, InvalidUrl> {
        let node = Node::at(urls, &crate::library::ethers::Ethers, &config)?;
        Ok(Self::new(node, signer, journal, config))
    }

    /// A client by ethers-rs of a chain in this process, such as the embedded
    /// one. Must be called within a tokio runtime.
    #[cfg(feature = "ethers")]
    pub fn within_with_ethers(
        chain: Arc<dyn dm_core::ports::JsonRpc>,
        signer: Arc<dyn Signer>,
        journal: Arc<dyn KeyValueStore>,
        config: ClientConfig,
    ) -> Self {
        let connection = Connection::Ethers(crate::rpc::EthersConnection::Within(chain));
        let node = Node::over(connection, &crate::library::ethers::Ethers, &config);
        Self::new(node, signer, journal, config)
    }

    fn new(
        node: Node,
        signer: Arc<dyn Signer>,
        journal: Arc<dyn KeyValueStore>,
        config: ClientConfig,
    ) -> Self {
        let node = Arc::new(node);
        Self {
            reader: AnchorReader::new(node.clone()),
            native_token: config.native_token.clone(),
            stall_after: config.stall_after,
            head_watch: HeadWatch::default(),
            accounts: Accounts::new(node.clone(), signer, journal, config),
            hand_over: RwLock::default(),
            deployment: Deployment::default(),
            node,
        }
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

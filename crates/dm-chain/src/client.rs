//! The client of a chain: an account that reads, sends and anchors.

use std::sync::Arc;

use alloy::{
    primitives::{Address, U64, U256},
    rpc::client::RpcClient,
};
use async_trait::async_trait;
use dm_core::{
    ports::{Chain, ChainError, ChainHead, Signer},
    token::TokenInfo,
};

use crate::{
    config::ClientConfig,
    deployment::Deployment,
    reader::AnchorReader,
    rpc::{Connection, InvalidUrl, Node},
    transactions::Transactions,
    wire::BlockHeader,
};

/// An EVM chain and the operator's account on it. Implements the ports
/// [`Chain`] and [`dm_core::ports::Anchors`].
pub struct EvmClient {
    pub(crate) node: Arc<Node>,
    pub(crate) reader: AnchorReader,
    pub(crate) transactions: Transactions,
    pub(crate) deployment: Deployment,
    native_token: TokenInfo,
}

impl EvmClient {
    /// A client of the chain at an http, https, ws or wss URL. Nothing is sent
    /// yet: the chain may be away. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub fn connect(url: &str, signer: Arc<dyn Signer>, config: ClientConfig) -> Result<Self, InvalidUrl> {
        Ok(Self::new(Connection::to_url(url)?, signer, config))
    }

    /// A client over any of alloy's transports, such as that of the embedded
    /// chain. Must be called within a tokio runtime.
    pub fn over(client: RpcClient, signer: Arc<dyn Signer>, config: ClientConfig) -> Self {
        Self::new(Connection::Ready(client), signer, config)
    }

    fn new(connection: Connection, signer: Arc<dyn Signer>, config: ClientConfig) -> Self {
        let node = Arc::new(Node::new(connection, &config));
        Self {
            reader: AnchorReader::new(node.clone()),
            transactions: Transactions::start(node.clone(), signer, &config),
            deployment: Deployment::default(),
            native_token: config.native_token,
            node,
        }
    }

    /// The account that sends and anchors.
    pub fn account(&self) -> Address {
        self.transactions.account()
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
        Ok(ChainHead {
            number: block.number.to(),
            timestamp: block.timestamp.to(),
        })
    }

    fn native_token(&self) -> TokenInfo {
        self.native_token.clone()
    }

    async fn native_balance(&self, account: Address) -> Result<U256, ChainError> {
        Ok(self.node.read("eth_getBalance", (account, "latest")).await?)
    }
}

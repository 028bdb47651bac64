//! The ways to a chain, and the library that goes with each.

#[cfg(feature = "ethers")]
use std::sync::Arc;

use alloy::rpc::client::RpcClient;
#[cfg(feature = "ethers")]
use dm_core::ports::JsonRpc;

#[cfg(feature = "ethers")]
use crate::{backend::EthersBackend, rpc::EthersConnection};
use crate::{
    backend::{AlloyBackend, EvmBackend},
    config::ClientConfig,
    embedded::EmbeddedChain,
    rpc::{Connection, InvalidUrl, Node},
};

/// How a chain is reached.
#[derive(Clone)]
#[non_exhaustive]
pub enum ChainAccess {
    /// At these http, https, ws or wss URLs, of which the first that answers is used.
    Urls(Vec<String>),
    /// Over any of alloy's transports.
    Transport(RpcClient),
    /// By ethers-rs, at these http or https URLs. It follows redirects, and reads
    /// answers of any length.
    #[cfg(feature = "ethers")]
    EthersUrls(Vec<String>),
    /// By ethers-rs, in this process.
    #[cfg(feature = "ethers")]
    EthersInProcess(Arc<dyn JsonRpc>),
}

impl ChainAccess {
    /// At these http, https, ws or wss URLs, of which the first that answers is used.
    pub fn urls<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::Urls(owned(urls))
    }

    /// By ethers-rs, at these http or https URLs.
    #[cfg(feature = "ethers")]
    pub fn ethers_urls<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::EthersUrls(owned(urls))
    }

    /// The chain, and what encodes, decodes and signs for it. Nothing is sent yet.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub(crate) fn open(self, config: &ClientConfig) -> Result<(Node, &'static dyn EvmBackend), InvalidUrl> {
        Ok(match self {
            Self::Urls(urls) => (Node::at(&urls, Connection::to_url, config)?, &AlloyBackend),
            Self::Transport(client) => {
                let node = Node::over(Connection::Ready(client), Connection::to_url, config);
                (node, &AlloyBackend)
            }
            #[cfg(feature = "ethers")]
            Self::EthersUrls(urls) => {
                let node = Node::at(&urls, Connection::to_url_with_ethers, config)?;
                (node, &EthersBackend)
            }
            #[cfg(feature = "ethers")]
            Self::EthersInProcess(chain) => {
                let connection = Connection::Ethers(EthersConnection::Within(chain));
                let node = Node::over(connection, Connection::to_url_with_ethers, config);
                (node, &EthersBackend)
            }
        })
    }
}

fn owned<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Vec<String> {
    urls.into_iter().map(|url| url.as_ref().to_owned()).collect()
}

impl From<RpcClient> for ChainAccess {
    fn from(client: RpcClient) -> Self {
        Self::Transport(client)
    }
}

impl From<&EmbeddedChain> for ChainAccess {
    fn from(chain: &EmbeddedChain) -> Self {
        Self::Transport(chain.client())
    }
}

//! The chain of the node: the embedded one, or one behind URLs.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_chain::{
    ChainAccess, ClientConfig, ClientDeps, EvmClient, SwitchError,
    embedded::{EmbeddedChain, Genesis},
};
use dm_core::{
    Address,
    config::NodeConfig,
    ports::{ChainControl, ChainSwitchError, KeyValueStore, OperatorKeys},
    secret::SecretString,
};
use dm_keys::NodeKeys;
use dm_services::{OperatorChange, OperatorChangeError};
use dm_storage::Storage;

use crate::namespaces::Namespace;

/// Wei in a gwei.
const GWEI: u128 = 1_000_000_000;

/// Connects to the chain of the configuration; nothing is sent yet. `journal` keeps what the
/// accounts have begun, and `storage` the embedded chain.
///
/// # Errors
/// Where a URL is none, or the embedded chain cannot be opened.
pub(crate) async fn connect(
    config: &NodeConfig,
    keys: &NodeKeys,
    storage: &Storage,
    journal: Arc<dyn KeyValueStore>,
) -> anyhow::Result<(EvmClient, Option<EmbeddedChain>)> {
    let (client, chain) = open(config, keys, storage, journal).await?;
    for former in keys.former_operators() {
        client.go_on_with(former);
    }
    Ok((client, chain))
}

async fn open(
    config: &NodeConfig,
    keys: &NodeKeys,
    storage: &Storage,
    journal: Arc<dyn KeyValueStore>,
) -> anyhow::Result<(EvmClient, Option<EmbeddedChain>)> {
    let mut client_config = client_config(config, keys);
    if !config.uses_devnet() {
        let urls = ChainAccess::urls(config.blockchain_urls());
        let deps = ClientDeps::new(urls, keys.operator(), journal);
        return Ok((EvmClient::start(client_config, deps)?, None));
    }
    let genesis = Genesis::funding([keys.signer().address()]);
    let chain = EmbeddedChain::open(storage.namespace(Namespace::Chain.name()), genesis).await?;
    // Its blocks are never taken back, and made on demand.
    client_config.confirmations = 0;
    client_config.stall_after = None;
    let deps = ClientDeps::new(&chain, keys.operator(), journal);
    Ok((EvmClient::start(client_config, deps)?, Some(chain)))
}

fn client_config(config: &NodeConfig, keys: &NodeKeys) -> ClientConfig {
    let mut client = ClientConfig::default();
    client.log = Some(keys.signer().address());
    client.confirmations = config.chain.confirmations;
    client.max_fee_per_gas = u128::from(config.chain.max_fee_gwei).saturating_mul(GWEI);
    client.replace_after = Duration::from_secs(config.chain.replace_after_secs);
    client.max_unmined = config.chain.max_in_flight as u64;
    client.stall_after = Some(config.chain.stall_after_secs)
        .filter(|secs| *secs > 0)
        .map(Duration::from_secs);
    client
}

/// Moves the client to other endpoints, or to another account.
pub(crate) struct ChainSwitch {
    client: Arc<EvmClient>,
    is_embedded: bool,
    operator: OperatorChange,
}

impl ChainSwitch {
    /// A switch for this client.
    pub(crate) fn new(client: Arc<EvmClient>, is_embedded: bool, operator: OperatorChange) -> Self {
        Self {
            client,
            is_embedded,
            operator,
        }
    }

    async fn use_endpoints(&self, urls: &[String]) -> Result<(), ChainSwitchError> {
        if self.is_embedded {
            return Err(ChainSwitchError::Url(
                "cannot be changed: this node runs on its embedded chain".to_owned(),
            ));
        }
        self.client.switch(urls).await.map_err(|error| match error {
            SwitchError::Url(reason) => ChainSwitchError::Url(reason.to_string()),
            SwitchError::Chain(error) => error.into(),
            other => ChainSwitchError::Url(other.to_string()),
        })?;
        tracing::info!(
            endpoints = urls.len(),
            "the node uses other endpoints of its chain"
        );
        Ok(())
    }
}

#[async_trait]
impl ChainControl for ChainSwitch {
    async fn switch(
        &self,
        urls: &[String],
        private_key: Option<&SecretString>,
    ) -> Result<Address, ChainSwitchError> {
        if let Some(key) = private_key {
            self.operator.check_key(key).map_err(key_refused)?;
        }
        if !urls.is_empty() {
            self.use_endpoints(urls).await?;
        }
        match private_key {
            Some(key) => self.operator.change_to(key).await.map_err(key_refused),
            None => Ok(self.client.account()),
        }
    }
}

fn key_refused(error: OperatorChangeError) -> ChainSwitchError {
    match error {
        OperatorChangeError::Key(reason) => ChainSwitchError::Key(reason.to_string()),
        OperatorChangeError::Chain(error) => ChainSwitchError::HandOver(error),
        OperatorChangeError::Log(error) => ChainSwitchError::Log(error),
    }
}

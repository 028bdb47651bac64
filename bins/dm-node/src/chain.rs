//! The chain of the node: the embedded one, or one behind URLs.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_chain::{
    ClientConfig, EvmClient, SwitchError,
    embedded::{EmbeddedChain, Genesis},
};
use dm_core::{
    Address,
    config::NodeConfig,
    ports::{ChainControl, ChainSwitchError, Signer},
    secret::SecretString,
};
use dm_keys::{NodeKeys, OperatorAccount};
use dm_storage::Storage;

/// Wei in a gwei.
const GWEI: u128 = 1_000_000_000;

/// Connects to the chain of the configuration; nothing is sent yet.
///
/// # Errors
/// Where a URL is none, or the embedded chain cannot be opened.
pub(crate) async fn connect(
    config: &NodeConfig,
    keys: &NodeKeys,
    storage: &Storage,
) -> anyhow::Result<(EvmClient, Option<EmbeddedChain>)> {
    let journal = storage.namespace("transactions");
    if !config.uses_devnet() {
        let urls = config.blockchain_urls();
        let client = EvmClient::connect(&urls, keys.signer(), journal, client_config(config))?;
        return Ok((client, None));
    }
    let genesis = Genesis {
        funded: vec![keys.signer().address()],
        ..Genesis::default()
    };
    let chain = EmbeddedChain::open(storage.namespace("chain"), genesis).await?;
    // Its blocks are never taken back.
    let client_config = ClientConfig {
        confirmations: 0,
        ..client_config(config)
    };
    let client = EvmClient::over(chain.client(), keys.signer(), journal, client_config);
    Ok((client, Some(chain)))
}

fn client_config(config: &NodeConfig) -> ClientConfig {
    ClientConfig {
        confirmations: config.chain.confirmations,
        max_fee_per_gas: u128::from(config.chain.max_fee_gwei).saturating_mul(GWEI),
        replace_after: Duration::from_secs(config.chain.replace_after_secs),
        max_unmined: config.chain.max_in_flight as u64,
        ..ClientConfig::default()
    }
}

/// Moves the client to other endpoints.
pub(crate) struct ChainSwitch {
    client: Arc<EvmClient>,
    is_embedded: bool,
}

impl ChainSwitch {
    /// A switch for this client.
    pub(crate) fn new(client: Arc<EvmClient>, is_embedded: bool) -> Self {
        Self { client, is_embedded }
    }
}

#[async_trait]
impl ChainControl for ChainSwitch {
    async fn switch(
        &self,
        urls: &[String],
        private_key: Option<&SecretString>,
    ) -> Result<(), ChainSwitchError> {
        if self.is_embedded {
            return Err(ChainSwitchError::Url(
                "cannot be changed: this node runs on its embedded chain".to_owned(),
            ));
        }
        if let Some(key) = private_key {
            ensure_operator(self.client.account(), key)?;
        }
        self.client.switch(urls).await.map_err(|error| match error {
            SwitchError::Url(reason) => ChainSwitchError::Url(reason.to_string()),
            SwitchError::Chain(error) => error.into(),
        })?;
        tracing::info!(
            endpoints = urls.len(),
            "the node uses other endpoints of its chain"
        );
        Ok(())
    }
}

/// The log, the objects and the grants of a node belong to its account.
fn ensure_operator(operator: Address, key: &SecretString) -> Result<(), ChainSwitchError> {
    match OperatorAccount::from_private_key(key).map(|account| account.address()) {
        Ok(account) if account == operator => Ok(()),
        Ok(account) => Err(ChainSwitchError::Key(format!(
            "is that of {account}; the log and the objects of this node belong to {operator}"
        ))),
        Err(_) => Err(ChainSwitchError::Key("must be 64 hexadecimal digits".to_owned())),
    }
}

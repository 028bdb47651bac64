//! `dm-node init`: makes the keys and the configuration of a new node.

use std::path::Path;

use anyhow::bail;
use dm_core::{
    api_key::{Rights, Scope},
    config::NodeConfig,
    instance::InstanceId,
};
use serde_json::json;

use crate::{
    catalog,
    cli::InitArgs,
    commands::api_key,
    data_dir::{self, CONFIG_FILE},
    data_dir_lock::DataDirLock,
    home, instance,
    output::{self, cell},
    settings::{self, DEFAULT_FILE, LoadedConfig, Sources, parsed},
};

pub(crate) async fn run(args: InitArgs, as_json: bool) -> anyhow::Result<()> {
    let flags = [
        (
            "data_dir",
            args.data_dir.map(|dir| dir.to_string_lossy().into_owned()),
        ),
        ("blockchain_url", args.blockchain_url),
    ];
    let loaded = settings::load(Sources {
        file: args.config.as_deref(),
        flags: flags
            .into_iter()
            .filter_map(|(name, value)| Some(parsed(name.to_owned(), &value?)))
            .collect(),
        ..Sources::default()
    })?;
    let mut lock = DataDirLock::make(&loaded.config.data_dir)?;
    refuse_existing(&loaded.config).await?;
    let document = make(&loaded, args.config.as_deref()).await?;
    lock.keep();
    output::print(as_json, &document, describe)
}

async fn refuse_existing(config: &NodeConfig) -> anyhow::Result<()> {
    let file = config.data_dir.join(CONFIG_FILE);
    let has_keys = home::keys_exist(config).await?;
    if has_keys && config.catalog_url.is_some() {
        bail!(
            "the database of catalog_url holds a node already; nothing was changed. `dm-node run` runs it \
             with this data directory"
        );
    }
    if has_keys || file.exists() {
        bail!(
            "{} holds a node already; nothing was changed",
            config.data_dir.display()
        );
    }
    Ok(())
}

/// Makes the node, and a configuration where none was given.
async fn make(loaded: &LoadedConfig, given: Option<&Path>) -> anyhow::Result<serde_json::Value> {
    let config = &loaded.config;
    let keys = home::create_keys(config).await?;
    let catalog = catalog::open_for_node(config, keys.signer().address()).await?;
    if config.catalog_url.is_some() {
        instance::remember(config, InstanceId::random())?;
    }
    let key = api_key::create(&catalog, "first", Rights::of(Scope::ALL), None).await?;
    catalog.close().await?;
    data_dir::mark_made_by_init(&config.data_dir)?;
    let made = config.data_dir.join(CONFIG_FILE);
    if given.is_none() {
        data_dir::write_private(&made, &config_file(loaded))?;
    }
    let start = match given {
        Some(file) => format!("dm-node run --config {}", file.display()),
        None => format!("dm-node run --data-dir {}", config.data_dir.display()),
    };
    Ok(json!({
        "data_dir": config.data_dir,
        "config": given.unwrap_or(&made),
        "start": start,
        "chain": loaded.names_chain.then(|| chain_name(config)),
        "address": keys.signer().address().to_string(),
        "api_key": key.key,
    }))
}

/// The chain as it is shown: an endpoint's URL may hold a secret.
fn chain_name(config: &NodeConfig) -> &'static str {
    if config.uses_devnet() {
        "the embedded one (devnet)"
    } else {
        "that of blockchain_url"
    }
}

/// The default file, with the data directory and the chain of this node.
fn config_file(loaded: &LoadedConfig) -> String {
    let config = &loaded.config;
    let data_dir = config.data_dir.to_string_lossy();
    let file = DEFAULT_FILE.replace(
        "# data_dir = \"dm-data\"",
        &format!("data_dir = {}", json!(data_dir)),
    );
    if !loaded.names_chain {
        return file;
    }
    file.replace(
        "# blockchain_url = \"devnet\"",
        &format!("blockchain_url = {}", json!(config.blockchain_url)),
    )
}

fn describe(document: &serde_json::Value) -> String {
    let next = if document["chain"].is_null() {
        "Set blockchain_url in the configuration: the JSON-RPC endpoints of its chain, or `devnet`.\nThen start it"
    } else {
        "Start it"
    };
    format!(
        "A new node is in {}.\n\n\
         operator account  {}\n\
         chain             {}\n\
         configuration     {}\n\
         API key           {}   (shown only now)\n\n\
         {next} with `{}` and the same KEY_MASTER_PASSWORD.",
        cell(&document["data_dir"]),
        cell(&document["address"]),
        cell(&document["chain"]),
        cell(&document["config"]),
        cell(&document["api_key"]),
        cell(&document["start"]),
    )
}

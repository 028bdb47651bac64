//! `dm-node init`: makes the keys and the configuration of a new node.

use anyhow::bail;
use dm_core::{
    api_key::{Rights, Scope},
    config::NodeConfig,
};
use serde_json::json;

use crate::{
    cli::InitArgs,
    commands::api_key,
    home::{self, CONFIG_FILE, FreshDir},
    output::{self, cell},
    settings::{self, DEFAULT_FILE, Sources, parsed},
};

pub(crate) async fn run(args: InitArgs, as_json: bool) -> anyhow::Result<()> {
    let config = settings::load(Sources {
        flags: args
            .data_dir
            .map(|dir| parsed("data_dir".to_owned(), &dir.to_string_lossy()))
            .into_iter()
            .collect(),
        ..Sources::default()
    })?;
    refuse_existing(&config)?;
    let fresh = FreshDir::watch(&config.data_dir);
    let document = make(&config).await?;
    fresh.keep();
    output::print(as_json, &document, describe)
}

fn refuse_existing(config: &NodeConfig) -> anyhow::Result<()> {
    let file = config.data_dir.join(CONFIG_FILE);
    if dm_keys::NodeKeys::exist(&config.data_dir)? || file.exists() {
        bail!(
            "{} holds a node already; nothing was changed",
            config.data_dir.display()
        );
    }
    Ok(())
}

async fn make(config: &NodeConfig) -> anyhow::Result<serde_json::Value> {
    let keys = home::create_keys(config).await?;
    let catalog = dm_storage::SqliteCatalog::open(config.catalog_file()).await?;
    let key = api_key::create(&catalog, "first", Rights::of(Scope::ALL), None).await?;
    catalog.close().await?;
    let file = config.data_dir.join(CONFIG_FILE);
    home::write_private(&file, &config_file(config))?;
    Ok(json!({
        "data_dir": config.data_dir,
        "config": file,
        "address": keys.signer().address().to_string(),
        "api_key": key.key,
    }))
}

/// The default file, with the data directory of this node.
fn config_file(config: &NodeConfig) -> String {
    let data_dir = config.data_dir.to_string_lossy();
    DEFAULT_FILE.replace(
        "# data_dir = \"dm-data\"",
        &format!("data_dir = {}", json!(data_dir)),
    )
}

fn describe(document: &serde_json::Value) -> String {
    format!(
        "A new node is in {}.\n\n\
         operator account  {}\n\
         configuration     {}\n\
         API key           {}   (shown only now)\n\n\
         Start it with `dm-node run --data-dir {}` and the same KEY_MASTER_PASSWORD.",
        cell(&document["data_dir"]),
        cell(&document["address"]),
        cell(&document["config"]),
        cell(&document["api_key"]),
        cell(&document["data_dir"]),
    )
}

//! `dm-node devnet`: the embedded chain as a JSON-RPC server of its own.

use std::{net::TcpListener, sync::Arc};

use anyhow::Context;
use dm_chain::embedded::{DEV_ACCOUNTS, EmbeddedChain, Genesis};
use dm_core::config::{LogConfig, StorageConfig};
use dm_storage::Storage;
use serde_json::json;

use crate::{
    cli::DevnetArgs,
    data_dir_lock::DataDirLock,
    logging,
    namespaces::Namespace,
    output::{self, cell},
    stop_signal::StopSignal,
};

pub(crate) async fn run(args: DevnetArgs, as_json: bool) -> anyhow::Result<()> {
    logging::start(&LogConfig {
        filter: "warn".to_owned(),
        ..LogConfig::default()
    })?;
    let mut stop = StopSignal::catch()?;
    let listener = TcpListener::bind(("127.0.0.1", args.port))
        .with_context(|| format!("cannot listen on 127.0.0.1:{}", args.port))?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut lock = DataDirLock::make(&args.data_dir)?;
    let data_dir = args.data_dir.clone();
    let storage =
        tokio::task::spawn_blocking(move || Storage::open(&data_dir, &StorageConfig::default())).await??;
    let chain = EmbeddedChain::open(storage.namespace(Namespace::Chain.name()), Genesis::default()).await?;
    let server = dm_api::serve_json_rpc(listener, Arc::new(chain.clone()))?;
    lock.keep();
    let document = json!({"url": url, "chain_id": chain.chain_id(), "accounts": DEV_ACCOUNTS.map(|account| account.to_string())});
    output::print(as_json, &document, |document| {
        format!(
            "The embedded chain answers JSON-RPC at {}, chain id {}.\n\
             Funded accounts, as anvil and hardhat have them:\n{}\n\nCtrl-C ends it.",
            cell(&document["url"]),
            cell(&document["chain_id"]),
            DEV_ACCOUNTS.map(|account| format!("  {account}")).join("\n"),
        )
    })?;
    stop.wait().await;
    server.stop().await;
    chain.close().await;
    Ok(storage.close().await?)
}

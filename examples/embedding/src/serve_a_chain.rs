//! Serves a chain in this process over HTTP, as wallets and tools expect it, and asks it as one
//! of them would.

use std::{error::Error, net::TcpListener, sync::Arc};

use dm_api::serve_json_rpc;
use dm_chain::{
    ChainAccess, ClientConfig, ReceiptVerifier,
    embedded::{DEV_CHAIN_ID, EmbeddedChain, Genesis},
};
use dm_core::config::StorageConfig;
use dm_storage::Storage;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let storage = Storage::open(folder.path(), &StorageConfig::default())?;
    let chain = EmbeddedChain::open(storage.namespace("chain"), Genesis::funding([])).await?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = serve_json_rpc(listener, Arc::new(chain.clone()))?;

    let client = ReceiptVerifier::new(&ClientConfig::default(), ChainAccess::urls([url.clone()]))?;
    assert_eq!(client.chain_id().await?, DEV_CHAIN_ID);
    println!("chain {DEV_CHAIN_ID} answers at {url}");

    server.stop().await;
    chain.close().await;
    storage.close().await?;
    Ok(())
}

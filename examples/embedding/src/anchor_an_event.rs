//! Records an event in a log on the disk, anchors it on a chain in this process, and verifies
//! its receipt as a third party would. The code is that of the README of `dm-compliance`.

use std::{error::Error, sync::Arc, time::Duration};

use dm_chain::{
    ClientConfig, ClientDeps, EvmClient, ReceiptVerifier,
    embedded::{EmbeddedChain, Genesis},
};
use dm_compliance::{ComplianceManager, ReceiptFlaw, verify_offline};
use dm_core::{
    Address,
    bus::EventBus,
    config::{ComplianceConfig, StorageConfig},
    event::NewEvent,
    hash::DataHash,
    ports::{ComplianceLog, Signer},
    span::Tracer,
    tasks::Supervisor,
};
use dm_keys::LocalAccount;
use dm_storage::{SqliteCatalog, Storage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let storage = Storage::open(&folder.path().join("objects"), &StorageConfig::default())?;
    let catalog = Arc::new(SqliteCatalog::open(folder.path().join("catalog.sqlite")).await?);

    // The account that anchors pays for the gas.
    let account = Arc::new(LocalAccount::random());
    let address = account.address();
    let genesis = Genesis::funding([address]);
    let chain = EmbeddedChain::open(storage.namespace("chain"), genesis).await?;
    let mut config = ClientConfig::default();
    // The embedded chain never takes a block back. For another chain, keep the default, and
    // pass `ChainAccess::urls([…])` in the place of `&chain`.
    config.confirmations = 0;
    let deps = ClientDeps::new(&chain, account, storage.namespace("transactions"));
    let anchors = Arc::new(EvmClient::start(config.clone(), deps)?);

    let tasks = Supervisor::new();
    let log = ComplianceManager::start(
        address,
        catalog,
        anchors,
        ComplianceConfig::default(),
        EventBus::new(),
        Tracer::default(),
        &tasks,
    )
    .await?;
    let share = NewEvent::data_share(DataHash::of(b"hello"), Address::repeat_byte(2));
    let recorded = log.record(share).await?;
    log.wait_for_anchor(recorded.index, Duration::from_secs(30))
        .await?
        .ok_or("no anchor within 30 seconds")?;
    let mut receipt = log.receipt(recorded.index).await?.ok_or("no receipt")?;

    // The holder of the receipt needs the chain alone: neither the node nor an account.
    let verifier = ReceiptVerifier::new(&config, &chain)?;
    let leaf_hash = verify_offline(&receipt)?;
    assert!(verifier.proves(&receipt, leaf_hash).await?);
    println!(
        "event {} is anchored in block {}",
        recorded.index, receipt.anchor.block
    );

    // A receipt that was changed proves nothing.
    receipt.event.recipient = Some(Address::repeat_byte(3));
    assert_eq!(verify_offline(&receipt), Err(ReceiptFlaw::NotIncluded));

    tasks.shut_down(Duration::from_secs(5)).await;
    chain.close().await;
    storage.close().await?;
    Ok(())
}

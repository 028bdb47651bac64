//! Backs up keys, catalog and objects while they are in use, and verifies the backup. The code
//! is that of the README of `dm-backup`.

use std::{error::Error, sync::Arc};

use dm_backup::{BackupMaker, BackupPorts, verify_backup};
use dm_core::{config::StorageConfig, ports::Backups, secret::SecretString};
use dm_keys::NodeKeys;
use dm_storage::{SqliteCatalog, Storage};
use futures::TryStreamExt;
use tokio::sync::RwLock;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let password = SecretString::new("correct horse battery staple");
    let keys = NodeKeys::create(&folder.path().join("keys"), Some(&password), None)?;
    let storage = Storage::open(&folder.path().join("objects"), &StorageConfig::default())?;
    let catalog = SqliteCatalog::open(folder.path().join("catalog.sqlite")).await?;

    let maker = BackupMaker::new(BackupPorts {
        catalog: Arc::new(catalog),
        namespaces: storage.namespaces(),
        namespace_names: vec!["notes"],
        objects: storage.objects(),
        signer: keys.signer(),
        keys: Arc::new(keys),
        // Whoever encrypts stored data under another key holds it for reading meanwhile.
        rekeying: Arc::new(Arc::new(RwLock::new(()))),
        scratch: folder.path().to_owned(),
    });
    // A program with much data writes the pieces to a file as they come.
    let pieces: Vec<_> = maker.begin().await?.try_collect().await?;
    let (_, summary) = verify_backup(pieces.concat().as_slice())?;
    println!("the backup holds a catalog of {} bytes", summary.catalog_bytes);

    storage.close().await?;
    Ok(())
}

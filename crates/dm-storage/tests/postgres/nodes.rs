//! One process runs the node of a database.

use std::path::Path;

use dm_core::ports::{CatalogError, ShareCatalog};
use dm_storage::{PostgresOptions, SqliteCatalog};
use dm_testing::catalog::samples::{address, data_hash, share};
use tempfile::tempdir;

use super::server::Database;

fn node(database: &Database, account: u8, data_dir: &Path) -> PostgresOptions {
    database
        .options()
        .for_node(address(account), data_dir.join("process"))
}

async fn open(options: PostgresOptions) -> SqliteCatalog {
    SqliteCatalog::open_postgres(options).await.unwrap()
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_has_ended() {
    let (database, first, second) = (Database::new().await, tempdir().unwrap(), tempdir().unwrap());
    let catalog = open(node(&database, 1, first.path())).await;
    let refused = SqliteCatalog::open_postgres(node(&database, 1, second.path())).await;
    assert!(
        matches!(&refused, Err(CatalogError::Unavailable(why)) if why.contains("another process")),
        "{:?}",
        refused.err()
    );
    // A command beside the node is no node.
    let beside = open(database.options()).await;
    beside.commit_share(&share(1, 1).into()).await.unwrap();
    catalog.commit_share(&share(2, 1).into()).await.unwrap();
    catalog.close().await.unwrap();
    open(node(&database, 1, second.path())).await;
}

/// As where it was killed, or suspended and replaced.
#[tokio::test]
async fn who_was_replaced_on_its_data_directory_changes_nothing_any_more() {
    let (database, data_dir) = (Database::new().await, tempdir().unwrap());
    let before = open(node(&database, 1, data_dir.path())).await;
    before.commit_share(&share(1, 1).into()).await.unwrap();
    let after = open(node(&database, 1, data_dir.path())).await;
    for n in [2, 3] {
        let refused = before.commit_share(&share(n, 1).into()).await;
        assert!(
            matches!(refused, Err(CatalogError::Unavailable(_))),
            "{refused:?}"
        );
        assert!(after.share(&data_hash(n), address(1)).await.unwrap().is_none());
    }
    before.close().await.unwrap();
    after.commit_share(&share(4, 1).into()).await.unwrap();
}

#[tokio::test]
async fn the_database_of_another_account_is_refused() {
    let (database, first, second) = (Database::new().await, tempdir().unwrap(), tempdir().unwrap());
    let catalog = open(node(&database, 1, first.path())).await;
    catalog.close().await.unwrap();
    let refused = SqliteCatalog::open_postgres(node(&database, 2, second.path())).await;
    assert!(
        matches!(refused, Err(CatalogError::Conflict(_))),
        "{:?}",
        refused.err()
    );
}

//! Several instances open one database.

use dm_core::ports::{CatalogError, ShareCatalog};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::samples::{address, data_hash, share};
use futures::future::{join_all, try_join_all};

use super::server::Database;

#[tokio::test]
async fn instances_that_begin_at_once_make_the_schema_once() {
    let database = Database::new().await;
    let opened = join_all((0..6).map(|_| SqliteCatalog::open_postgres(database.options()))).await;
    let catalogs: Vec<SqliteCatalog> = opened.into_iter().map(Result::unwrap).collect();
    let shares: Vec<_> = (0..).zip(&catalogs).collect();
    let written = shares
        .iter()
        .map(|(n, catalog)| async move { catalog.commit_share(&share(*n, 1).into()).await });
    try_join_all(written).await.unwrap();
    for (n, _) in &shares {
        for catalog in &catalogs {
            assert!(catalog.share(&data_hash(*n), address(1)).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let database = Database::new().await;
    let catalog = SqliteCatalog::open_postgres(database.options()).await.unwrap();
    catalog.close().await.unwrap();
    sqlx::query("INSERT INTO catalog_versions (version) VALUES (9999)")
        .execute(&mut database.raw().await)
        .await
        .unwrap();
    let refused = SqliteCatalog::open_postgres(database.options()).await;
    assert!(
        matches!(&refused, Err(CatalogError::Corrupt(why)) if why.contains("newer version")),
        "{:?}",
        refused.err()
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let database = Database {
        port,
        name: "nowhere".to_owned(),
    };
    let refused = SqliteCatalog::open_postgres(database.options()).await;
    assert!(
        matches!(refused, Err(CatalogError::Unavailable(_))),
        "{:?}",
        refused.err()
    );
}

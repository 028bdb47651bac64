//! Shares of a version that did not list them.

use dm_core::{
    ports::{SentCatalog, ShareCatalog},
    sent::{SentQuery, SentState},
};
use dm_testing::catalog::samples::{address, data_hash, share};

use super::{SqliteCatalog, open};

#[tokio::test]
async fn shares_of_an_earlier_version_are_listed_with_what_is_known_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = SqliteCatalog::open(path.clone()).await.unwrap();
    for (n, recipient) in [(1, 2), (2, 3), (3, 2)] {
        catalog.commit_share(&share(n, recipient).into()).await.unwrap();
    }
    catalog.close().await.unwrap();
    let (mut connection, file) = open::writing(&path).await.unwrap();
    sqlx::query("DROP TABLE sent; DROP TABLE sent_terms; DELETE FROM _sqlx_migrations WHERE version = 25")
        .execute(&mut connection)
        .await
        .unwrap();
    drop((connection, file));

    let catalog = SqliteCatalog::open(path).await.unwrap();
    let query = SentQuery {
        recipient: Some(address(2)),
        states: [SentState::Shared].into(),
        limit: 9,
        ..SentQuery::default()
    };
    let found = catalog.sent_shares(&query).await.unwrap();
    let hashes: Vec<_> = found.iter().map(|(_, share)| share.data_hash).collect();
    assert_eq!(hashes, [data_hash(3), data_hash(1)]);
    let (_, first) = &found[1];
    assert_eq!(first.created_at, share(1, 2).created_at);
    assert_eq!((&first.descriptor, first.granted_at), (&None, None));
    catalog.commit_share(&share(4, 2).into()).await.unwrap();
    assert_eq!(catalog.sent_shares(&query).await.unwrap().len(), 3);
}

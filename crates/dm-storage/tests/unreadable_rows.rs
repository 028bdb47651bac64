//! A row that cannot be read costs that row: the work on all others goes on, and the
//! catalog's health names it.

use std::path::PathBuf;

use dm_core::{
    api_key::ApiKeyRecord,
    health::Finding,
    order::OrderRecord,
    ports::{
        ApiKeyCatalog, AuthorizedUsers, BegunKeyChange, CatalogError, ErasureCause, Erasures, EventLog,
        HealthCheck, KeyChange, KeyChanges, OrderCatalog, PeerCatalog, ReadableObjects, Revocations,
        ShareCatalog, TokenCatalog,
    },
    share::NewShare,
};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::{
    order_samples,
    samples::{
        address, api_key, checkpoint, data_hash, entries, event, object_id, peer, readable, share, user,
    },
};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

struct Damaged {
    catalog: SqliteCatalog,
    path: PathBuf,
    _folder: TempDir,
}

impl Damaged {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        Self {
            catalog: SqliteCatalog::open(&path).await.unwrap(),
            path,
            _folder: folder,
        }
    }

    /// Runs a statement as another program would.
    async fn damage(&self, statement: &'static str) {
        let options = SqliteConnectOptions::new().filename(&self.path);
        let mut connection: SqliteConnection = options.connect().await.unwrap();
        let done = sqlx::query(statement).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{statement}");
    }

    async fn assert_degraded_by(&self, rows: &str) {
        let found = self.catalog.check().await;
        assert!(
            matches!(&found, Finding::Degraded(trouble) if trouble.reason.contains(rows)),
            "{found:?} names not {rows}"
        );
    }
}

#[tokio::test]
async fn pages_go_on_behind_shares_that_cannot_be_read() {
    let node = Damaged::new().await;
    let catalog = &node.catalog;
    for n in 1..=9 {
        let new = NewShare {
            object: Some(readable(n, address(1))),
            grant_owed: true,
            ..NewShare::from(share(n, 2))
        };
        catalog.commit_share(&new).await.unwrap();
    }
    node.damage("UPDATE shares SET kind = 'nonsense' WHERE id = 1")
        .await;
    node.damage("UPDATE shares SET data_hash = x'00' WHERE id = 2")
        .await;
    node.damage("UPDATE shares SET request = x'00' WHERE id = 3")
        .await;
    node.damage("UPDATE shares SET created_at = -1 WHERE id = 5")
        .await;

    let (mut after, mut read) = (0, Vec::new());
    loop {
        let page = catalog.unrecorded_shares(after, 2).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        assert_eq!(page, catalog.owed_grants(address(2), after, 2).await.unwrap());
        after = *last;
        read.extend(page.into_iter().map(|(_, share)| share));
    }
    let whole = [4, 6, 7, 8, 9].map(|n| share(n, 2));
    assert_eq!(read, whole);
    node.assert_degraded_by("4 rows").await;
    node.assert_degraded_by("shares with id 1, shares with id 2, shares with id 3, and 1 more")
        .await;

    // Who asks for one of them learns why there is no answer.
    let error = catalog.share(&data_hash(1), address(2)).await.unwrap_err();
    assert!(matches!(error, CatalogError::Corrupt(_)), "{error}");

    // What is mended counts no more.
    for statement in [
        "UPDATE shares SET kind = 'data_share' WHERE id = 1",
        "UPDATE shares SET request = NULL WHERE id = 3",
        "UPDATE shares SET created_at = 1 WHERE id = 5",
        "DELETE FROM shares WHERE id = 2",
    ] {
        node.damage(statement).await;
    }
    assert_eq!(catalog.unrecorded_shares(0, 100).await.unwrap().len(), 8);
    node.assert_degraded_by("1 row of the catalog").await;
}

#[tokio::test]
async fn receipts_are_spread_behind_one_whose_share_cannot_be_read() {
    let node = Damaged::new().await;
    let catalog = &node.catalog;
    for n in 1..=3 {
        let new = NewShare {
            object: Some(readable(n, address(1))),
            ..NewShare::from(share(n, 2))
        };
        catalog.commit_share(&new).await.unwrap();
        let entry = entries(n - 1, [event(dm_core::event::EventKind::DataShare, n, 2)]);
        catalog.append(&entry, &[]).await.unwrap();
        catalog
            .set_replicas(&object_id(n, address(1)), 1, 1)
            .await
            .unwrap();
    }
    node.damage("UPDATE shares SET kind = 'nonsense' WHERE id = 1")
        .await;
    let due = catalog.receipts_to_spread(0..9, 2).await.unwrap();
    assert_eq!(due, [(1, share(2, 2)), (2, share(3, 2))]);
    node.assert_degraded_by("shares with id 1").await;
}

#[tokio::test]
async fn objects_with_too_few_copies_are_found_behind_one_that_cannot_be_read() {
    let node = Damaged::new().await;
    let catalog = &node.catalog;
    for n in 1..=3 {
        catalog.put_readable(&readable(n, address(1))).await.unwrap();
    }
    node.damage("UPDATE readable_objects SET chunk_list = x'00' WHERE id = 1")
        .await;
    let rest = [readable(2, address(1)), readable(3, address(1))];
    assert_eq!(
        catalog.under_replicated(address(1), 3, None, 2).await.unwrap(),
        rest
    );
    assert_eq!(catalog.wrapped_before(u32::MAX, None, 2).await.unwrap(), rest);
    let mut own = catalog.objects_of(address(1), None, 2).await.unwrap();
    own.sort_by_key(|object| object.data_hash != data_hash(2));
    assert_eq!(own, rest);
    node.assert_degraded_by("readable_objects with id 1").await;
}

#[tokio::test]
async fn data_ends_behind_data_whose_end_cannot_be_read() {
    let node = Damaged::new().await;
    let catalog = &node.catalog;
    for n in 1..=3 {
        catalog.schedule_erasure(&data_hash(n), Some(n)).await.unwrap();
    }
    node.damage("UPDATE expiries SET data_hash = x'00' WHERE expires_at = 1")
        .await;
    let due = catalog.due_erasures(9, None, 2).await.unwrap();
    assert_eq!(due, [(2, data_hash(2)), (3, data_hash(3))]);
    let locator = data_hash(1).locator().to_string();
    node.assert_degraded_by(&format!("expiries with locator {locator}"))
        .await;

    for n in 1..=3 {
        catalog
            .begin_erasure(&data_hash(n), ErasureCause::Ordered)
            .await
            .unwrap();
        catalog
            .begin_revocation(&data_hash(n + 3), address(1))
            .await
            .unwrap();
    }
    node.damage("UPDATE erasures SET data_hash = x'00' WHERE locator = (SELECT min(locator) FROM erasures)")
        .await;
    assert_eq!(catalog.unfinished_erasures(None, 2).await.unwrap().len(), 2);
    node.damage(
        "UPDATE revocations SET data_hash = x'00' WHERE locator = (SELECT min(locator) FROM revocations)",
    )
    .await;
    assert_eq!(catalog.unfinished_revocations(None, 2).await.unwrap().len(), 2);
    node.assert_degraded_by("3 rows").await;
}

#[tokio::test]
async fn orders_are_carried_out_behind_one_that_cannot_be_read() {
    let node = Damaged::new().await;
    let catalog = &node.catalog;
    for n in 1..=3 {
        let payment = order_samples::payment(n, n, 2);
        catalog.insert_order(&payment).await.unwrap();
    }
    node.damage("UPDATE orders SET state = '{' WHERE number = 1")
        .await;
    let ids = |page: Vec<(u64, OrderRecord)>| -> Vec<_> { page.iter().map(|(number, _)| *number).collect() };
    assert_eq!(ids(catalog.open_orders(0, 2).await.unwrap()), [2, 3]);
    let undelivered = catalog.undelivered_payments(u64::MAX, None, 2).await.unwrap();
    assert_eq!(ids(undelivered), [2, 3]);
    assert_eq!(ids(catalog.orders(None, 9).await.unwrap()), [3, 2]);
    node.assert_degraded_by("orders with number 1").await;
}

#[tokio::test]
async fn a_list_is_complete_but_for_what_cannot_be_read() {
    let node = Damaged::new().await;
    let catalog = &node.catalog;
    for n in 1..=2 {
        let name = format!("id{n}");
        catalog.insert_api_key(&api_key(&name, n)).await.unwrap();
        catalog.insert_user(&user(&name, n)).await.unwrap();
        catalog.put_peers(&[peer(&name, n)]).await.unwrap();
        catalog.add_token(&order_samples::token(n as u8)).await.unwrap();
        catalog.put_checkpoint(&checkpoint(n, false)).await.unwrap();
        let change = BegunKeyChange {
            id: [n as u8; 16],
            change: KeyChange::KeyEncryptionKey { newest: 1 },
            events: n,
        };
        catalog.begin_key_change(&change).await.unwrap();
    }
    for statement in [
        "UPDATE api_keys SET scopes = 'nonsense' WHERE id = 'id1'",
        "UPDATE authorized_users SET kind = 'nonsense' WHERE id = 'id1'",
        "UPDATE peers SET addresses = '[' WHERE peer_id = 'id1'",
        "UPDATE tokens SET kind = 'nonsense' WHERE ordinal = 1",
        "UPDATE checkpoints SET root = x'00' WHERE size = 1",
        "UPDATE key_changes SET change = '{' WHERE events = 1",
    ] {
        node.damage(statement).await;
    }
    let keys: Vec<ApiKeyRecord> = catalog.api_keys().await.unwrap();
    assert_eq!(keys, [api_key("id2", 2)]);
    assert_eq!(catalog.users(None, 9).await.unwrap(), [user("id2", 2)]);
    assert_eq!(catalog.peers().await.unwrap(), [peer("id2", 2)]);
    assert_eq!(catalog.tokens().await.unwrap(), [order_samples::token(2)]);
    assert_eq!(catalog.open_checkpoints().await.unwrap(), [checkpoint(2, false)]);
    assert_eq!(catalog.begun_key_changes().await.unwrap().len(), 1);
    node.assert_degraded_by("6 rows").await;
    let error = catalog.api_key("id1").await.unwrap_err();
    assert!(matches!(error, CatalogError::Corrupt(_)), "{error}");
}

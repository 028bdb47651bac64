//! Orders in the catalog's file: what was there before them, and damage.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use dm_core::{
    B256,
    api_key::Rights,
    order::{OrderRecord, OrderState, Purpose, Tries},
    ports::{ApiKeyCatalog, CatalogError, EventLog, OrderCatalog, OrderInsert, ShareCatalog, TokenCatalog},
    share::ShareRecord,
};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::{
    order_samples::{operation_id, payment, refund, request, token, transfer_event},
    samples::{address, api_key, data_hash, entries, share, unrecorded},
};
use sqlx::{
    Connection, SqlSafeStr, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    (folder, path)
}

async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// Runs a statement on a catalog that nobody has open.
async fn tamper(path: &Path, sql: &'static str) {
    let mut database = raw(path).await;
    sqlx::query(sql).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
}

/// A catalog as the version before orders has left it: a share, a key, and an
/// event that names operation 1.
async fn catalog_without_orders(path: &Path) {
    let mut database = raw(path).await;
    let first = include_str!("../migrations/0001_catalog.sql").into_sql_str();
    let first = Migration::new(1, "catalog".into(), MigrationType::Simple, first, false);
    Migrator::with_migrations(vec![first])
        .run_direct(None, &mut database, false)
        .await
        .unwrap();
    let share = share(1, 1);
    sqlx::query(
        "INSERT INTO shares (locator, data_hash, recipient, created_at, event_index) VALUES (?, ?, ?, ?, 0)",
    )
    .bind(share.data_hash.locator().as_bytes().to_vec())
    .bind(share.data_hash.as_bytes().to_vec())
    .bind(share.recipient.to_vec())
    .bind(share.created_at as i64)
    .execute(&mut database)
    .await
    .unwrap();
    let event = transfer_event(1);
    sqlx::query("INSERT INTO events VALUES (0, 1, 'transfer', ?, NULL, ?, ?, ?, ?)")
        .bind(event.log.to_vec())
        .bind(event.recipient.unwrap().to_vec())
        .bind(event.timestamp as i64)
        .bind(event.nonce.to_vec())
        .bind(serde_json::to_string(&event.details).unwrap())
        .execute(&mut database)
        .await
        .unwrap();
    let key = api_key("a", 1);
    sqlx::query("INSERT INTO api_keys VALUES (1, 'a', 'key a', ?, 'share,read', 1, 2, NULL)")
        .bind(key.secret_hash.to_vec())
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_catalog_from_before_orders_keeps_what_it_has() {
    let (_folder, path) = folder();
    catalog_without_orders(&path).await;
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    let before = ShareRecord::new(data_hash(1), address(1), share(1, 1).created_at);
    assert_eq!(
        catalog.share(&data_hash(1), address(1)).await.unwrap(),
        Some(before)
    );
    assert_eq!(unrecorded(&catalog, 9).await, []);
    assert_eq!(
        catalog.event(0).await.unwrap().as_ref(),
        entries(0, [transfer_event(1)]).first()
    );
    // Keys could not be narrowed then.
    let mut key = api_key("a", 1);
    key.rights = Arc::new(Rights::of(key.rights.scopes.iter().copied()));
    assert_eq!(catalog.api_keys().await.unwrap(), [key]);
    assert_eq!(catalog.api_key_generation().await.unwrap(), 1);

    // The new tables know what was there before them.
    let new = payment(1, 1, 1);
    assert_eq!(catalog.insert_order(&new).await.unwrap(), OrderInsert::Inserted);
    assert_eq!(catalog.order(new.id).await.unwrap().unwrap().event_index, Some(0));
    assert_eq!(catalog.undelivered_payments(u64::MAX, None, 9).await.unwrap(), []);
    assert!(catalog.add_token(&token(1)).await.unwrap());
    assert_eq!(catalog.tokens().await.unwrap(), [token(1)]);
}

/// A catalog as the version before refunds were tried again has left it, with refunds in
/// these states (status, state, whether it is closed), each of a completed payment.
async fn catalog_with_refunds(path: &Path, refunds: &[(&str, &str, bool)]) {
    let mut database = raw(path).await;
    let versions = [
        include_str!("../migrations/0001_catalog.sql"),
        include_str!("../migrations/0002_orders.sql"),
        include_str!("../migrations/0003_moved_anchors.sql"),
        include_str!("../migrations/0004_erasures.sql"),
        include_str!("../migrations/0005_key_versions.sql"),
        include_str!("../migrations/0006_authorized_users.sql"),
        include_str!("../migrations/0007_api_key_limits.sql"),
        include_str!("../migrations/0008_revocations.sql"),
        include_str!("../migrations/0009_expiries.sql"),
        include_str!("../migrations/0010_retired_keys.sql"),
    ];
    let names = [
        "catalog",
        "orders",
        "moved anchors",
        "erasures",
        "key versions",
        "authorized users",
        "api key limits",
        "revocations",
        "expiries",
        "retired keys",
    ];
    let versions = (1..).zip(names).zip(versions).map(|((number, name), sql)| {
        let sql = sql.into_sql_str();
        Migration::new(number, name.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(versions.collect())
        .run_direct(None, &mut database, false)
        .await
        .unwrap();
    for (n, (status, state, closed)) in (0_u64..).zip(refunds) {
        for (order, status, state, closed) in [
            (payment(2 * n, n, 1), "completed", "", true),
            (refund(2 * n + 1, 2 * n), *status, *state, *closed),
        ] {
            let state = match state {
                "" => serde_json::to_string(&order.state).unwrap(),
                state => state.to_owned(),
            };
            let share = match order.purpose {
                Purpose::Payment { data_hash, recipient } => Some((data_hash, recipient)),
                _ => None,
            };
            let refund_of = match order.purpose {
                Purpose::Refund { of } => Some(of.as_bytes().to_vec()),
                _ => None,
            };
            sqlx::query(
                "INSERT INTO orders (id, content, purpose, locator, data_hash, recipient, refund_of,
                    created_at, state, status, is_closed, undelivered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(order.id.as_bytes().to_vec())
            .bind(serde_json::to_string(&order.order).unwrap())
            .bind(order.purpose.as_str())
            .bind(share.map(|(hash, _)| hash.locator().as_bytes().to_vec()))
            .bind(share.map(|(hash, _)| hash.as_bytes().to_vec()))
            .bind(share.map(|(_, recipient)| recipient.to_vec()))
            .bind(refund_of)
            .bind(order.created_at as i64)
            .bind(state)
            .bind(status)
            .bind(closed)
            .bind(share.is_some())
            .execute(&mut database)
            .await
            .unwrap();
        }
    }
    database.close().await.unwrap();
}

#[tokio::test]
async fn refunds_that_earlier_versions_gave_up_are_taken_up_again() {
    let tx_hash = B256::repeat_byte(7);
    let undone = format!(r#"{{"status":"failed","tx_hash":"{tx_hash}","reason":"undone"}}"#);
    let restored = r#"{"status":"failed","tx_hash":null,"reason":"it was under way when the backup was made from which"}"#;
    let completed = serde_json::to_string(&payment(1, 1, 1).state).unwrap();
    let (_folder, path) = folder();
    let refunds = [
        (
            "failed",
            r#"{"status":"failed","tx_hash":null,"reason":"too dear"}"#,
            true,
        ),
        ("failed", undone.as_str(), true),
        ("failed", undone.as_str(), false),
        ("failed", restored, true),
        ("completed", completed.as_str(), true),
        ("accepted", r#"{"status":"accepted"}"#, false),
    ];
    catalog_with_refunds(&path, &refunds).await;
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    let tries = |spent, reason: &str| Tries {
        failed: 1,
        spent,
        reason: Some(reason.to_owned()),
        ..Tries::default()
    };
    let expected = [
        (OrderState::Accepted, tries(0, "too dear"), true),
        // Its operation is used up.
        (OrderState::Accepted, tries(1, "undone"), true),
        // It may still be mined in another block.
        (OrderState::Sent { tx_hash }, Tries::default(), true),
        (serde_json::from_str(restored).unwrap(), Tries::default(), false),
        (payment(1, 1, 1).state, Tries::default(), false),
        (OrderState::Accepted, Tries::default(), true),
    ];
    let open = catalog.open_orders(0, 99).await.unwrap();
    let open: Vec<_> = open.into_iter().map(|(_, order)| order.id).collect();
    for (n, (state, tries, is_open)) in (0..).zip(expected) {
        let id = operation_id(2 * n + 1);
        let kept = catalog.order(id).await.unwrap().unwrap();
        assert_eq!((&kept.state, &kept.tries), (&state, &tries), "{n}");
        assert_eq!(open.contains(&id), is_open, "{n}");
    }
    assert_eq!(catalog.undelivered_payments(u64::MAX, None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn orders_and_tokens_are_there_after_reopening() {
    let (_folder, path) = folder();
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    for order in [request(1), payment(2, 2, 1), payment(3, 3, 1), refund(4, 3)] {
        catalog.insert_order(&order).await.unwrap();
    }
    let state = payment(1, 1, 1).state;
    catalog.set_order_state(operation_id(1), &state).await.unwrap();
    catalog.close_order(operation_id(4)).await.unwrap();
    let logged = entries(0, [transfer_event(1)]);
    catalog.append(&logged, &[]).await.unwrap();
    catalog.add_token(&token(1)).await.unwrap();
    catalog.close().await.unwrap();

    let catalog = SqliteCatalog::open(&path).await.unwrap();
    let first = OrderRecord {
        state,
        event_index: Some(0),
        ..request(1)
    };
    let open = [(1, first), (2, payment(2, 2, 1)), (3, payment(3, 3, 1))];
    assert_eq!(catalog.open_orders(0, 9).await.unwrap(), open);
    assert_eq!(
        catalog.undelivered_payments(u64::MAX, None, 9).await.unwrap(),
        [(2, payment(2, 2, 1))]
    );
    assert_eq!(catalog.tokens().await.unwrap(), [token(1)]);
}

#[tokio::test]
async fn a_damaged_row_is_reported_as_such() {
    for damage in [
        "UPDATE orders SET content = '{\"kind\":\"gift\"}'",
        "UPDATE orders SET content = '{'",
        "UPDATE orders SET state = '{}'",
        "UPDATE orders SET purpose = 'request'",
        "UPDATE orders SET purpose = 'gift'",
        "UPDATE orders SET data_hash = NULL",
        "UPDATE orders SET recipient = x'00'",
        "UPDATE orders SET created_at = -1",
        "UPDATE orders SET event_index = -1",
        "UPDATE orders SET tries = '{'",
    ] {
        let (_folder, path) = folder();
        let catalog = SqliteCatalog::open(&path).await.unwrap();
        catalog.insert_order(&payment(1, 1, 1)).await.unwrap();
        catalog.insert_order(&refund(2, 9)).await.unwrap();
        catalog.close().await.unwrap();
        tamper(&path, damage).await;
        let catalog = SqliteCatalog::open(&path).await.unwrap();
        let id = operation_id(1);
        for result in [
            catalog.order(id).await.map(|_| ()),
            catalog.insert_order(&request(1)).await.map(|_| ()),
        ] {
            assert!(
                matches!(&result, Err(CatalogError::Corrupt(why)) if why.contains("restore a backup")),
                "{damage}: {result:?}"
            );
        }
        // What is damaged does not take down what is not.
        let page = catalog.orders(None, 9).await.unwrap();
        assert!(page.iter().all(|(_, order)| order.id != id), "{damage}");
        catalog.insert_order(&request(3)).await.unwrap();
        assert_eq!(catalog.order(operation_id(3)).await.unwrap(), Some(request(3)));
    }
}

#[tokio::test]
async fn a_damaged_token_is_reported_as_such() {
    for damage in [
        "UPDATE tokens SET kind = 'gift'",
        "UPDATE tokens SET decimals = 256",
        "UPDATE tokens SET added_at = -1",
    ] {
        let (_folder, path) = folder();
        let catalog = SqliteCatalog::open(&path).await.unwrap();
        catalog.add_token(&token(1)).await.unwrap();
        catalog.close().await.unwrap();
        tamper(&path, damage).await;
        let catalog = SqliteCatalog::open(&path).await.unwrap();
        let result = catalog.token(address(1)).await;
        assert!(
            matches!(result, Err(CatalogError::Corrupt(_))),
            "{damage}: {result:?}"
        );
        assert_eq!(catalog.tokens().await.unwrap(), [], "{damage}");
    }
}

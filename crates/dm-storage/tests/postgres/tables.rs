//! The tables of a catalog arrive in the other database as they were, whenever the copy is broken off.

use std::path::{Path, PathBuf};

use dm_core::ports::CatalogError;
use dm_storage::{CatalogTables, SqliteCatalog, TableTotals};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::server::Database;

/// Rows of each table: more than are read at a time.
const ROWS: i64 = 600;
/// Tables, without those that belong to a process or a database.
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
    AND name NOT IN ('_sqlx_migrations', 'leases', 'instances', 'namespaces') ORDER BY rowid";
const COLUMNS: &str = "SELECT name, type, \"notnull\", pk FROM pragma_table_info(?)";

async fn catalog_file(folder: &TempDir, name: &str) -> PathBuf {
    let file = folder.path().join(name);
    SqliteCatalog::open(&file).await.unwrap().close().await.unwrap();
    file
}

async fn raw(file: &Path) -> SqliteConnection {
    SqliteConnection::connect(&file.display().to_string())
        .await
        .unwrap()
}

async fn execute(file: &Path, statement: &str) {
    let mut connection = raw(file).await;
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
    done.execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    connection.close().await.unwrap();
}

/// What a column has in row `n`; every third row has no value where it needs none. The same text
/// and bytes are in all tables, so that what refers to a row finds it.
fn value(table: &str, kind: &str, may_be_null: bool) -> String {
    let value = match kind {
        // No key version that anything is wrapped with is retired.
        "INTEGER" if table == "retired_key_versions" => "n + 1000000",
        "INTEGER" => "n",
        "TEXT" => "'text ' || n || ' \u{e9}'",
        "BLOB" => "CAST(printf('bytes %d', n) || char(0) AS BLOB)",
        other => panic!("{other}"),
    };
    match may_be_null {
        true => format!("iif(n % 3 = 0, NULL, {value})"),
        false => value.to_owned(),
    }
}

/// Gives every table of a catalog rows, and takes the last ones of the inbox away.
async fn fill(file: &Path) {
    let mut connection = raw(file).await;
    let tables: Vec<String> = sqlx::query_scalar(TABLES)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(tables.len() > 25, "{tables:?}");
    let mut statements = Vec::new();
    for table in &tables {
        let columns = sqlx::query(COLUMNS).bind(table).fetch_all(&mut connection).await;
        let columns: Vec<(String, String)> = columns
            .unwrap()
            .iter()
            .map(|column| {
                let may_be_null = column.get::<i64, _>(2) == 0 && column.get::<i64, _>(3) == 0;
                let (name, kind): (String, String) = (column.get(0), column.get(1));
                (format!("\"{name}\""), value(table, &kind, may_be_null))
            })
            .collect();
        if columns[0].0 == "\"only\"" {
            continue;
        }
        let (names, values): (Vec<String>, Vec<String>) = columns.into_iter().unzip();
        statements.push(format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})
             INSERT INTO \"{table}\" ({}) SELECT {} FROM numbers",
            names.join(", "),
            values.join(", ")
        ));
    }
    connection.close().await.unwrap();
    statements.push(format!("DELETE FROM inbox WHERE number > {}", ROWS - 5));
    for statement in statements {
        execute(file, &statement).await;
    }
}

async fn in_file(file: &Path) -> CatalogTables {
    CatalogTables::in_file(file).await.unwrap()
}

async fn in_database(database: &Database) -> CatalogTables {
    CatalogTables::in_database(&database.options()).await.unwrap()
}

/// Copies, compares, and closes both.
async fn copy(mut source: CatalogTables, mut target: CatalogTables) -> TableTotals {
    let copied = target.take_from(&mut source, &mut |_| {}).await.unwrap();
    let compared = target.compare_with(&mut source, &mut |_| {}).await.unwrap();
    assert_eq!(copied, compared);
    source.close().await.unwrap();
    target.close().await.unwrap();
    copied
}

async fn number_of_next_item(database: &Database) -> i64 {
    sqlx::query_scalar(
        "INSERT INTO inbox (locator, owner, data_hash, size, descriptor, sequence, shared_at, received_at, state, anchored)
         VALUES ('new', 'new', '', 0, '', 0, 0, 0, 0, 0) RETURNING number",
    )
    .fetch_one(&mut database.raw().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_row_arrives_in_the_database_and_back_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (first, back) = (
        catalog_file(&folder, "first").await,
        catalog_file(&folder, "back").await,
    );
    fill(&first).await;
    let database = Database::new().await;
    let there = copy(in_file(&first).await, in_database(&database).await).await;
    assert!(there.rows > 25 * 2 * ROWS as u64 / 3, "{there:?}");
    assert_eq!(
        copy(in_database(&database).await, in_file(&back).await).await,
        there
    );
    assert_eq!(copy(in_file(&first).await, in_file(&back).await).await, there);
    // What is numbered by the database goes on behind what was there once.
    assert_eq!(number_of_next_item(&database).await, ROWS + 1);
    let mut file = raw(&back).await;
    let last: i64 = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'inbox'")
        .fetch_one(&mut file)
        .await
        .unwrap();
    assert_eq!(last, ROWS);
}

#[tokio::test]
async fn the_order_of_a_transfer_is_found_in_the_database_by_its_operation() {
    let folder = tempfile::tempdir().unwrap();
    let file = catalog_file(&folder, "catalog").await;
    let event = r#"INSERT INTO events (position, version, kind, log, timestamp, nonce, details)
        VALUES (0, 1, 'transfer', x'00', 1, x'01', '{"operation":"0xabc","to":"x"}')"#;
    execute(&file, event).await;
    let database = Database::new().await;
    copy(in_file(&file).await, in_database(&database).await).await;
    let operation: String = sqlx::query_scalar("SELECT operation FROM events")
        .fetch_one(&mut database.raw().await)
        .await
        .unwrap();
    assert_eq!(operation, "0xabc");
}

#[tokio::test]
async fn a_copy_that_is_broken_off_anywhere_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = catalog_file(&folder, "catalog").await;
    fill(&file).await;
    let database = Database::new().await;
    for broken_off_after in (500..20_000).step_by(1_700) {
        let (mut source, mut target) = (in_file(&file).await, in_database(&database).await);
        let moment = Notify::new();
        let mut told = |rows: u64| {
            if rows > broken_off_after {
                moment.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = moment.notified() => {}
            done = target.take_from(&mut source, &mut told) => {
                done.unwrap();
            }
        }
    }
    copy(in_file(&file).await, in_database(&database).await).await;
}

#[tokio::test]
async fn what_differs_is_found_and_nothing_of_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = catalog_file(&folder, "catalog").await;
    fill(&file).await;
    for change in [
        "UPDATE peers SET successes = successes + 1 WHERE peer_id = (SELECT max(peer_id) FROM peers)",
        "INSERT INTO erasures VALUES ('\\xff', '\\x00')",
        "UPDATE shares SET client = NULL WHERE id = 1",
        "UPDATE journal_identity SET id = '\\x0102030405060708'",
        "DELETE FROM tree_nodes WHERE position = 300",
    ] {
        let database = Database::new().await;
        copy(in_file(&file).await, in_database(&database).await).await;
        let mut connection = database.raw().await;
        sqlx::raw_sql(change).execute(&mut connection).await.unwrap();
        let (mut source, mut target) = (in_file(&file).await, in_database(&database).await);
        let compared = target.compare_with(&mut source, &mut |_| {}).await;
        let Err(CatalogError::Conflict(why)) = compared else {
            panic!("{change}: {compared:?}");
        };
        let table = change
            .split(' ')
            .find(|word| why.contains(&format!("table {word} ")));
        assert!(table.is_some(), "{change}: {why}");
        if !change.contains("journal_identity") {
            let (mut source, mut target) = (in_file(&file).await, in_database(&database).await);
            let copied = target.take_from(&mut source, &mut |_| {}).await;
            assert!(matches!(copied, Err(CatalogError::Conflict(_))), "{copied:?}");
        }
    }
}

#[tokio::test]
async fn uploads_that_are_not_complete_are_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = catalog_file(&folder, "catalog").await;
    for (id, hash) in [("01", "NULL"), ("02", "x'ff'")] {
        execute(
            &file,
            &format!(
                "INSERT INTO uploads (id, key_id, length, received, created_at, expires_at, terms, data_hash)
                 VALUES (x'{id}', 'key', 1, 0, 0, 0, x'', {hash});
                 INSERT INTO upload_shares VALUES (x'{id}', x'00', x'00')"
            ),
        )
        .await;
    }
    let database = Database::new().await;
    copy(in_file(&file).await, in_database(&database).await).await;
    let mut connection = database.raw().await;
    for table in ["SELECT id FROM uploads", "SELECT upload FROM upload_shares"] {
        let ids: Vec<Vec<u8>> = sqlx::query_scalar(table)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert_eq!(ids, [[2]]);
    }
}

#[tokio::test]
async fn a_copy_needs_no_statements_that_stay_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let file = catalog_file(&folder, "catalog").await;
    fill(&file).await;
    let database = Database::new().await;
    let options = database.options().through_pooler();
    let target = CatalogTables::in_database(&options).await.unwrap();
    copy(in_file(&file).await, target).await;
}

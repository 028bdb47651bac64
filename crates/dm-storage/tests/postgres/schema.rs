//! The schemas of both databases say the same.

use std::collections::BTreeSet;

use dm_storage::SqliteCatalog;
use sqlx::{Connection, SqliteConnection};

use super::server::Database;

/// Each column with its kind, and whether it may be NULL.
const OF_SQLITE: &str = "SELECT t.name || '.' || c.name || ' '
        || CASE c.type WHEN 'INTEGER' THEN 'bigint' WHEN 'BLOB' THEN 'bytea' ELSE lower(c.type) END
        || iif(c.\"notnull\" OR c.pk, '', ' or null')
    FROM sqlite_schema t JOIN pragma_table_info(t.name) c
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations'";
/// Without what PostgreSQL alone needs.
const OF_POSTGRES: &str = "SELECT table_name || '.' || column_name || ' ' || data_type
        || CASE is_nullable WHEN 'YES' THEN ' or null' ELSE '' END
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name NOT IN
            ('catalog_head', 'catalog_versions', 'object_entries', 'object_head', 'writers')
        AND (table_name, column_name) <> ('events', 'operation')";
const INDEXES_OF_SQLITE: &str = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL";
/// Without those that a constraint makes.
const INDEXES_OF_POSTGRES: &str =
    "SELECT c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relnamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = c.oid)";

#[tokio::test]
async fn both_databases_have_the_same_columns_and_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    SqliteCatalog::open(&path).await.unwrap().close().await.unwrap();
    let mut sqlite = SqliteConnection::connect(&path.display().to_string())
        .await
        .unwrap();
    let database = Database::new().await;
    let catalog = SqliteCatalog::open_postgres(database.options()).await.unwrap();
    catalog.close().await.unwrap();
    let mut postgres = database.raw().await;
    for (of_sqlite, of_postgres) in [(OF_SQLITE, OF_POSTGRES), (INDEXES_OF_SQLITE, INDEXES_OF_POSTGRES)] {
        let expected: Vec<String> = sqlx::query_scalar(of_sqlite)
            .fetch_all(&mut sqlite)
            .await
            .unwrap();
        let found: Vec<String> = sqlx::query_scalar(of_postgres)
            .fetch_all(&mut postgres)
            .await
            .unwrap();
        assert!(!expected.is_empty());
        assert_eq!(BTreeSet::from_iter(found), BTreeSet::from_iter(expected));
    }
}

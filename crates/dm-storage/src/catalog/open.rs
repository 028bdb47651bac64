//! Opening the database file: permissions, settings, schema.

use std::{fs::File, io, path::Path, time::Duration};

use dm_core::ports::CatalogError;
use sqlx::{
    ConnectOptions, SqlSafeStr, SqliteConnection, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::error::{corrupt, from_migration, from_sqlx, is_busy};

/// `application_id` in the database's header: "dmnd".
const APPLICATION_ID: i64 = 1_684_893_284;
/// How long a statement waits for another process's transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pages in the write-ahead log before they are moved into the database:
/// 32 MiB. A page that many shares touch is moved once.
const CHECKPOINT_PAGES: &str = "8192";
/// What the log's file keeps after that, in bytes.
const LOG_SIZE_LIMIT: &str = "33554432";
/// Page cache of the writer, in KiB (a negative number, as SQLite wants it).
const WRITER_CACHE: &str = "-8192";
/// Page cache of each reader, in KiB; the system's file cache is behind it.
const READER_CACHE: &str = "-1024";
/// Prepared statements that a connection keeps: enough for the writer's, of
/// which each bulk statement has seven.
const STATEMENTS: usize = 128;
/// Connections that read.
pub(super) const READERS: u32 = 4;
/// How often opening is tried while another process makes the same database.
const ATTEMPTS: u32 = 20;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The connection that writes, on a database of this program's schema, and the
/// database's file. That must not be closed before the last connection of this
/// process is: the system would drop their locks with it.
pub(super) async fn writing(path: &Path) -> Result<(SqliteConnection, File), CatalogError> {
    let (file, is_new) = create_private(path)
        .await
        .map_err(|error| cannot_open(path, &error))?;
    let mut attempt = 1;
    let connection = loop {
        match connect_and_migrate(path).await {
            Err(Attempt::Again(_)) if attempt < ATTEMPTS => tokio::time::sleep(PAUSE).await,
            Err(Attempt::Again(error) | Attempt::Failed(error)) => return Err(error),
            Ok(connection) => break connection,
        }
        attempt += 1;
    };
    if is_new {
        sync_folder(path)
            .await
            .map_err(|error| cannot_open(path, &error))?;
    }
    Ok((connection, file))
}

/// Another connection that writes, to a database that this process has open.
pub(super) async fn writing_again(path: &Path) -> Result<SqliteConnection, CatalogError> {
    let mut connection = writer_settings(path).connect().await.map_err(from_sqlx)?;
    // Its first look at the write-ahead log, before the connection that it replaces is closed:
    // a log that nobody has open is recovered, with whatever a failed commit has left there.
    sqlx::query("SELECT count(*) FROM sqlite_schema")
        .execute(&mut connection)
        .await
        .map_err(from_sqlx)?;
    Ok(connection)
}

/// One connection that reads what was committed when it begins.
pub(super) async fn reading_once(path: &Path) -> Result<SqliteConnection, CatalogError> {
    reader_settings(path).connect().await.map_err(from_sqlx)
}

/// The connections that read, opened when they are needed.
pub(super) fn reading(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(0)
        .idle_timeout(Duration::from_secs(60))
        .test_before_acquire(false)
        .connect_lazy_with(reader_settings(path))
}

/// Why an attempt to open did not succeed.
enum Attempt {
    /// Another process may be making the database at this moment.
    Again(CatalogError),
    /// Trying again would not help.
    Failed(CatalogError),
}

async fn connect_and_migrate(path: &Path) -> Result<SqliteConnection, Attempt> {
    let mut connection = writer_settings(path)
        .connect()
        .await
        .map_err(|error| attempt(error, path))?;
    refuse_foreign(&mut connection, path).await?;
    match schema().run_direct(None, &mut connection, false).await {
        Ok(()) => Ok(connection),
        Err(
            error @ (sqlx::migrate::MigrateError::Execute(_)
            | sqlx::migrate::MigrateError::ExecuteMigration(..)),
        ) => match from_migration(error, path) {
            error @ (CatalogError::Failed(_) | CatalogError::Conflict(_) | CatalogError::Unavailable(_)) => {
                Err(Attempt::Again(error))
            }
            other => Err(Attempt::Failed(other)),
        },
        Err(error) => Err(Attempt::Failed(from_migration(error, path))),
    }
}

/// A database of another program is left alone.
async fn refuse_foreign(connection: &mut SqliteConnection, path: &Path) -> Result<(), Attempt> {
    // The tables first: who makes the database now marks it in the commit that makes them.
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE name <> '_sqlx_migrations' AND name NOT LIKE 'sqlite_%'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(|error| attempt(error, path))?;
    let id: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(connection)
        .await
        .map_err(|error| attempt(error, path))?;
    if id == APPLICATION_ID || (id == 0 && tables == 0) {
        return Ok(());
    }
    Err(Attempt::Failed(corrupt(format_args!(
        "{} is a database of another program",
        path.display()
    ))))
}

fn attempt(error: sqlx::Error, path: &Path) -> Attempt {
    if is_busy(&error) {
        return Attempt::Again(from_sqlx(error));
    }
    Attempt::Failed(match from_sqlx(error) {
        CatalogError::Corrupt(why) => CatalogError::Corrupt(format!("{}: {why}", path.display())),
        other => other,
    })
}

fn settings(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .thread_name(|id| format!("catalog-{id}"))
        .disable_statement_logging()
}

fn writer_settings(path: &Path) -> SqliteConnectOptions {
    settings(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "ON")
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG_SIZE_LIMIT)
        .pragma("cache_size", WRITER_CACHE)
}

fn reader_settings(path: &Path) -> SqliteConnectOptions {
    settings(path).read_only(true).pragma("cache_size", READER_CACHE)
}

/// Every version of the schema, oldest first. A published one never changes.
pub(super) fn schema() -> Migrator {
    Migrator::with_migrations(vec![
        version(1, "catalog", include_str!("../../migrations/0001_catalog.sql")),
        version(2, "orders", include_str!("../../migrations/0002_orders.sql")),
        version(
            3,
            "moved anchors",
            include_str!("../../migrations/0003_moved_anchors.sql"),
        ),
        version(4, "erasures", include_str!("../../migrations/0004_erasures.sql")),
        version(
            5,
            "key versions",
            include_str!("../../migrations/0005_key_versions.sql"),
        ),
        version(
            6,
            "authorized users",
            include_str!("../../migrations/0006_authorized_users.sql"),
        ),
        version(
            7,
            "api key limits",
            include_str!("../../migrations/0007_api_key_limits.sql"),
        ),
        version(
            8,
            "revocations",
            include_str!("../../migrations/0008_revocations.sql"),
        ),
        version(9, "expiries", include_str!("../../migrations/0009_expiries.sql")),
        version(
            10,
            "retired keys",
            include_str!("../../migrations/0010_retired_keys.sql"),
        ),
        version(
            11,
            "whole shares",
            include_str!("../../migrations/0011_whole_shares.sql"),
        ),
        version(12, "refunds", include_str!("../../migrations/0012_refunds.sql")),
        version(
            14,
            "key changes",
            include_str!("../../migrations/0014_key_changes.sql"),
        ),
        version(20, "contacts", include_str!("../../migrations/0020_contacts.sql")),
        version(21, "inbox", include_str!("../../migrations/0021_inbox.sql")),
        version(22, "journal", include_str!("../../migrations/0022_journal.sql")),
        version(
            23,
            "subscriptions",
            include_str!("../../migrations/0023_subscriptions.sql"),
        ),
        version(
            24,
            "deliveries",
            include_str!("../../migrations/0024_deliveries.sql"),
        ),
        version(25, "sent", include_str!("../../migrations/0025_sent.sql")),
        version(26, "uploads", include_str!("../../migrations/0026_uploads.sql")),
        version(
            27,
            "missed events",
            include_str!("../../migrations/0027_missed_events.sql"),
        ),
        version(
            28,
            "upload shares",
            include_str!("../../migrations/0028_upload_shares.sql"),
        ),
        version(
            29,
            "arrival sequences",
            include_str!("../../migrations/0029_arrival_sequences.sql"),
        ),
        version(30, "leases", include_str!("../../migrations/0030_leases.sql")),
        version(
            32,
            "namespaces",
            include_str!("../../migrations/0032_namespaces.sql"),
        ),
        version(33, "traces", include_str!("../../migrations/0033_traces.sql")),
    ])
}

fn version(number: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(
        number,
        name.into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )
}

/// Makes the file where there is none, and takes it away from other users;
/// SQLite gives the files beside it the same permissions. The file, and whether it is new.
async fn create_private(path: &Path) -> io::Result<(File, bool)> {
    let is_new = !tokio::fs::try_exists(path).await?;
    let mut options = tokio::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    let file = options.open(path).await?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
            .await?;
    }
    Ok((file.into_std().await, is_new))
}

/// Makes the new file's entry in its folder durable.
async fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    tokio::fs::File::open(folder.unwrap_or(Path::new(".")))
        .await?
        .sync_all()
        .await
}

fn cannot_open(path: &Path, error: &io::Error) -> CatalogError {
    CatalogError::Failed(
        io::Error::new(error.kind(), format!("cannot open {}: {error}", path.display())).into(),
    )
}

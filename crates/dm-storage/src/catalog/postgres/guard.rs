//! One node process at a time, by a row of its account in `writers`.
//!
//! The row counts the processes that have held the database. Each transaction of a process
//! looks whether it is still the newest one, so that one which was suspended and replaced
//! changes nothing when it wakes. Nothing of this is a lock of the server's session.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dm_core::{Address, ports::CatalogError};
use sqlx::{Connection, PgConnection};

use super::super::{
    error::{from_sqlx, unavailable},
    sql::PostgresPool,
};
use crate::{disk::write_state::WriteState, objects::files::sync_folder};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(5);
/// Locks the head like every writer, so that no transaction is under way meanwhile.
const LOCK: &str = "SELECT 1 FROM catalog_head WHERE catalog_head.only = 1 FOR UPDATE";
/// Ids of accounts have 20 bytes, those of other writers 16.
const OTHER_ACCOUNT: &str = "SELECT id FROM writers WHERE length(id) = 20 AND id <> $1";
/// Takes the database where nobody has it, or whoever has it has given no sign for 20 s,
/// or was an earlier process on this data directory.
const TAKE: &str = "INSERT INTO writers (id, batch, at) VALUES ($1, 1, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET batch = writers.batch + 1, at = excluded.at
    WHERE writers.at < clock_timestamp() - INTERVAL '20 s' OR writers.batch = $2
    RETURNING batch";
const GIVE_SIGN: &str = "UPDATE writers SET at = clock_timestamp() WHERE id = $1 AND batch = $2";
const RELEASE: &str = "UPDATE writers SET at = 'epoch' WHERE id = $1 AND batch = $2";

const LOST: &str = "another process of this node has taken the database over";

/// The node that a process runs with a database.
#[derive(Clone)]
pub(super) struct NodeProcess {
    pub(super) account: Address,
    /// File in which the data directory keeps the number of its newest process.
    pub(super) memory: PathBuf,
}

/// That this process holds the database for its node.
pub(crate) struct Guard {
    account: Vec<u8>,
    /// The number of this process.
    number: i64,
    is_lost: AtomicBool,
}

impl Guard {
    /// Takes the database for a node.
    ///
    /// # Errors
    /// [`CatalogError::Unavailable`] where another process has it, and
    /// [`CatalogError::Conflict`] where it belongs to another account.
    pub(super) async fn take(
        connection: &mut PgConnection,
        node: &NodeProcess,
    ) -> Result<Arc<Self>, CatalogError> {
        let account = node.account.as_slice().to_vec();
        let mut transaction = connection.begin().await.map_err(from_sqlx)?;
        sqlx::query(LOCK)
            .persistent(false)
            .execute(&mut *transaction)
            .await
            .map_err(from_sqlx)?;
        let other: Option<Vec<u8>> = sqlx::query_scalar(OTHER_ACCOUNT)
            .bind(&account)
            .persistent(false)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(from_sqlx)?;
        if let Some(other) = other {
            return Err(CatalogError::Conflict(format!(
                "the database belongs to the node of the account 0x{}",
                hex::encode(other)
            )));
        }
        let number: Option<i64> = sqlx::query_scalar(TAKE)
            .bind(&account)
            .bind(remembered(&node.memory).await)
            .persistent(false)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(from_sqlx)?;
        let number = number.ok_or_else(|| {
            unavailable(
                "another process of this node uses the database: stop it, or wait for 20 s after it has ended",
            )
        })?;
        transaction.commit().await.map_err(from_sqlx)?;
        remember(node.memory.clone(), number).await.map_err(|error| {
            CatalogError::Unavailable(format!("cannot write {}: {error}", node.memory.display()))
        })?;
        Ok(Arc::new(Self {
            account,
            number,
            is_lost: AtomicBool::new(false),
        }))
    }

    pub(super) fn account(&self) -> &[u8] {
        &self.account
    }

    pub(super) fn number(&self) -> i64 {
        self.number
    }

    /// # Errors
    /// Where another process has taken the database over.
    pub(super) fn check(&self) -> Result<(), CatalogError> {
        if self.is_lost.load(Ordering::Relaxed) {
            return Err(unavailable(LOST));
        }
        Ok(())
    }

    /// Another process has taken the database over.
    pub(super) fn lose(&self) -> CatalogError {
        if !self.is_lost.swap(true, Ordering::Relaxed) {
            tracing::error!("{LOST}; this one changes nothing any more");
        }
        unavailable(LOST)
    }

    /// Lets the next process have the database at once.
    pub(super) async fn release(&self, connection: &mut PgConnection) -> Result<(), CatalogError> {
        self.run(RELEASE, connection).await.map(|_| ())
    }

    /// Gives signs of life until the catalog is closed or nobody has it any more.
    pub(in super::super) async fn keep(
        self: Arc<Self>,
        pool: PostgresPool,
        state: WriteState,
        is_in_use: impl Fn() -> bool,
    ) {
        while !pool.pool.is_closed() && is_in_use() && self.check().is_ok() {
            tokio::time::sleep(BEAT).await;
            // A database that is away is told later.
            if let Ok(mut connection) = pool.pool.acquire().await
                && let Ok(false) = self.run(GIVE_SIGN, &mut connection).await
            {
                state.failed(&self.lose());
            }
        }
    }

    /// Whether the row is still that of this process. In a transaction, since a pooler may
    /// give each statement another connection outside of one.
    async fn run(
        &self,
        statement: &'static str,
        connection: &mut PgConnection,
    ) -> Result<bool, CatalogError> {
        let mut transaction = connection.begin().await.map_err(from_sqlx)?;
        let changed = sqlx::query(statement)
            .bind(&self.account)
            .bind(self.number)
            .persistent(false)
            .execute(&mut *transaction)
            .await
            .map_err(from_sqlx)?;
        transaction.commit().await.map_err(from_sqlx)?;
        Ok(changed.rows_affected() > 0)
    }
}

/// The number of the newest process on this data directory.
async fn remembered(memory: &Path) -> Option<i64> {
    let text = tokio::fs::read_to_string(memory).await.ok()?;
    text.trim().parse().ok()
}

async fn remember(memory: PathBuf, number: i64) -> io::Result<()> {
    let writing = move || {
        let fresh = memory.with_extension("new");
        let mut file = std::fs::File::create(&fresh)?;
        io::Write::write_all(&mut file, format!("{number}\n").as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &memory)?;
        sync_folder(memory.parent().unwrap_or(Path::new(".")))
    };
    tokio::task::spawn_blocking(writing)
        .await
        .map_err(io::Error::other)?
}

//! Wipes destroyed keys from the write-ahead log: nobody learns that a key is
//! destroyed while a file still holds it.

use std::time::{Duration, Instant};

use dm_core::ports::CatalogError;
use sqlx::{SqliteConnection, SqlitePool};

use super::{
    change::Outcome,
    error::{from_sqlx, unavailable},
    open::{BUSY_TIMEOUT, READERS},
    writer::{Reply, answer},
};

/// How long the readers of this process are waited for.
const READER_PATIENCE: Duration = Duration::from_millis(500);
/// How long who destroys a key waits until no file holds it.
const WIPE_PATIENCE: Duration = Duration::from_secs(15);

/// Who waits until no file holds a destroyed key.
pub(super) struct Wiping {
    /// The log may hold a destroyed key.
    owed: bool,
    waiting: Vec<(Reply, Outcome, Instant)>,
}

impl Wiping {
    /// As it is when a database is opened: a process that was killed may have left a key.
    pub(super) fn owed() -> Self {
        Self {
            owed: true,
            waiting: Vec::new(),
        }
    }

    /// Whether the log may hold a destroyed key.
    pub(super) fn is_owed(&self) -> bool {
        self.owed
    }

    /// Whether somebody waits.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Keys were destroyed; who did so is answered when no file holds them.
    pub(super) fn wait(&mut self, destroyed: Vec<(Reply, Outcome)>) {
        self.owed = true;
        let until = Instant::now() + WIPE_PATIENCE;
        let waiting = destroyed
            .into_iter()
            .map(|(reply, outcome)| (reply, outcome, until));
        self.waiting.extend(waiting);
    }

    /// The log is empty.
    pub(super) fn done(&mut self) {
        self.owed = false;
        for (reply, outcome, _) in self.waiting.drain(..) {
            answer(reply, Ok(outcome));
        }
    }

    /// Tells those who have waited long enough that it is not done yet.
    pub(super) fn give_up_late(&mut self, error: &CatalogError) {
        let now = Instant::now();
        for (reply, _, _) in self.waiting.extract_if(.., |(_, _, until)| *until <= now) {
            let why = format!("the key is deleted, but a file of the catalog still holds it ({error})");
            answer(reply, Err(CatalogError::Unsettled(why)));
        }
    }
}

/// Moves the write-ahead log into the database and cuts it to nothing. Waits
/// for this process's readers, and lets none in meanwhile.
///
/// # Errors
/// [`CatalogError::Unavailable`] where a reader of another program, or a copy that
/// is being made, uses the log.
pub(super) async fn empty_log(
    connection: &mut SqliteConnection,
    readers: &SqlitePool,
) -> Result<(), CatalogError> {
    if try_to_empty(connection).await.is_ok() {
        return Ok(());
    }
    let held = tokio::time::timeout(READER_PATIENCE, hold(readers)).await;
    // Readers that take longer may still be done with the log by now.
    let emptied = try_to_empty(connection).await;
    drop(held);
    emptied
}

/// All connections that read, so that nobody else reads.
async fn hold(readers: &SqlitePool) -> Vec<sqlx::pool::PoolConnection<sqlx::Sqlite>> {
    let mut held = Vec::new();
    while held.len() < READERS as usize
        && let Ok(connection) = readers.acquire().await
    {
        held.push(connection);
    }
    held
}

/// Empties the log where nobody uses it; waits for nobody.
async fn try_to_empty(connection: &mut SqliteConnection) -> Result<(), CatalogError> {
    set_busy_timeout(connection, 0).await?;
    let emptied = checkpoint(connection).await;
    set_busy_timeout(connection, BUSY_TIMEOUT.as_millis()).await?;
    emptied
}

async fn checkpoint(connection: &mut SqliteConnection) -> Result<(), CatalogError> {
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(connection)
        .await
        .map_err(from_sqlx)?;
    if busy == 0 {
        Ok(())
    } else {
        Err(unavailable("a reader is using the write-ahead log"))
    }
}

async fn set_busy_timeout(connection: &mut SqliteConnection, millis: u128) -> Result<(), CatalogError> {
    let statement = sqlx::AssertSqlSafe(format!("PRAGMA busy_timeout = {millis}"));
    let set = sqlx::raw_sql(statement).execute(connection).await;
    set.map(|_| ()).map_err(from_sqlx)
}

//! The tables in a PostgreSQL database, which several instances share.
//!
//! All four are parts of `object_entries`. Each transaction locks the one row of
//! `object_head` before it reads, so that what it has read still holds at its commit.

mod session;

use std::{
    ops::ControlFlow,
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Instant,
};

use bytes::Bytes;
use dm_core::ports::{CatalogError, StoreError};
use sqlx::PgConnection;
use tokio::runtime::Handle;

use self::session::Session;
use super::{Change, Engine, Entry, Snapshot, Table, Work};
use crate::{
    blocking::Background,
    catalog::{
        PostgresOptions,
        error::from_sqlx,
        postgres::{
            answers::{FIRST_PAUSE, Failure, LONGEST_PAUSE, PATIENCE, Transactions, answered, run},
            writer,
        },
        sql::{self, Pool, Row},
    },
    error::failed,
    key_range::first_behind,
};

/// Threads that wait for the server.
const THREADS: usize = 2;

/// As that of the catalog, with a lock of its own.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL lock_timeout = '10s';
    SET LOCAL idle_in_transaction_session_timeout = '10s';
    SELECT 1 FROM object_head WHERE object_head.only = 1 FOR UPDATE";
const GET: &str = "SELECT value FROM object_entries WHERE part = ? AND key = ?";
const SCAN: &str = "SELECT key, value FROM object_entries WHERE part = ? AND key >= ? ORDER BY key LIMIT ?";
const SCAN_BEFORE: &str = "SELECT key, value FROM object_entries
    WHERE part = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?";

/// The shared tables.
pub(crate) struct PostgresEngine {
    reads: Pool,
    writing: Mutex<Writing>,
    place: String,
    /// Last, so that it outlives what uses it.
    runtime: Background,
}

/// What came of a transaction.
type Made = Result<(), StoreError>;

/// The connection that writes, where there is one.
struct Writing {
    transactions: Transactions,
    connection: Option<PgConnection>,
}

impl PostgresEngine {
    /// Connects to the database, and brings it to this program's schema.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the server cannot be reached.
    pub(crate) fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let runtime = Background::start("dm-storage-index", THREADS)?;
        let opened = options.clone();
        let opening = async move {
            let (transactions, connection) = writer(&opened, BEGIN).await?;
            Ok((transactions, connection, opened.pool()))
        };
        let (transactions, connection, pool) = wait(&runtime.handle(), opening)?.map_err(store_error)?;
        Ok(Self {
            reads: pool.into(),
            writing: Mutex::new(Writing {
                transactions,
                connection: Some(connection),
            }),
            place: options.place(),
            runtime,
        })
    }

    fn read(&self, query: sql::Query) -> Result<Vec<Row>, StoreError> {
        let reads = self.reads.clone();
        let rows = wait(
            &self.runtime.handle(),
            async move { query.fetch_all(&reads).await },
        )?;
        rows.map_err(|error| store_error(from_sqlx(error)))
    }

    /// Makes one transaction, or says why not.
    fn attempt(&self, writing: &mut Writing, work: &mut Work<'_>) -> ControlFlow<Made, StoreError> {
        writing.transactions.count();
        let begun = self.begin(writing);
        let session = match begun {
            Ok(session) => session,
            Err(error @ StoreError::Unavailable(_)) => return ControlFlow::Continue(error),
            Err(error) => return ControlFlow::Break(Err(error)),
        };
        let made = work(&session).and_then(|changes| {
            let is_change = !changes.is_empty();
            session.write(changes).map(|()| is_change)
        });
        match (made, session.into_connection()) {
            (Ok(true), Some(begun)) => self.finish(writing, begun),
            (Ok(true), None) => ControlFlow::Continue(lost()),
            // The connection is given up, and with it what it has begun.
            (Err(error @ StoreError::Unavailable(_)), _) => ControlFlow::Continue(error),
            (made, begun) => {
                writing.connection = begun.and_then(|begun| self.undo(begun));
                ControlFlow::Break(made.map(|_| ()))
            }
        }
    }

    /// Begins a transaction with the lock of all who write.
    fn begin(&self, writing: &mut Writing) -> Result<Session, StoreError> {
        let (transactions, kept) = (writing.transactions.clone(), writing.connection.take());
        let statements = transactions.statements();
        let begun = wait(&self.runtime.handle(), async move {
            let mut connection = match kept {
                Some(connection) => connection,
                None => transactions.connect().await?,
            };
            answered(transactions.begin(&mut connection)).await?;
            Ok(connection)
        });
        let connection = begun?.map_err(store_error)?;
        Ok(Session::new(self.runtime.handle(), connection, statements))
    }

    fn finish(&self, writing: &mut Writing, begun: PgConnection) -> ControlFlow<Made, StoreError> {
        let transactions = writing.transactions.clone();
        let committed = wait(
            &self.runtime.handle(),
            async move { transactions.commit(begun).await },
        );
        match committed {
            Ok(Ok(connection)) => {
                writing.connection = Some(connection);
                ControlFlow::Break(Ok(()))
            }
            Ok(Err(Failure::Again(error))) => ControlFlow::Continue(store_error(error)),
            Ok(Err(Failure::Refused(error))) => ControlFlow::Break(Err(store_error(error))),
            Ok(Err(Failure::Unanswered(error))) => {
                ControlFlow::Break(Err(StoreError::Unsettled(error.to_string())))
            }
            Err(error) => ControlFlow::Break(Err(StoreError::Unsettled(error.to_string()))),
        }
    }

    /// Takes back what was begun; the connection, where it can be used again.
    fn undo(&self, mut begun: PgConnection) -> Option<PgConnection> {
        let undone = wait(&self.runtime.handle(), async move {
            let undone = answered(run(&mut begun, "ROLLBACK")).await;
            undone.is_ok().then_some(begun)
        });
        undone.ok().flatten()
    }
}

impl Engine for PostgresEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let rows = self.read(sql::query(GET).bind(part(table)).bind(key.to_vec()))?;
        let value = rows.first().map(|row| row.get::<Vec<u8>>(0)).transpose();
        Ok(value
            .map_err(|error| store_error(from_sqlx(error)))?
            .map(Bytes::from))
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = match first_behind(prefix) {
            Some(end) => sql::query(SCAN_BEFORE)
                .bind(part(table))
                .bind(start.to_vec())
                .bind(end),
            None => sql::query(SCAN).bind(part(table)).bind(start.to_vec()),
        };
        let rows = self.read(query.bind(limit))?;
        let entry = |row: &Row| Ok((row.get::<Vec<u8>>(0)?.into(), row.get::<Vec<u8>>(1)?.into()));
        let entries = rows.iter().map(entry).collect::<Result<_, _>>();
        entries.map_err(|error| store_error(from_sqlx(error)))
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Err(StoreError::Unavailable(format!(
            "{} makes its own copies, with the programs of its server",
            self.place
        )))
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.transact(&mut |_| Ok(changes.iter().map(Change::clone_shallow).collect()))
    }

    fn transact(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(&mut writing, work) {
                ControlFlow::Break(done) => return done,
                ControlFlow::Continue(error) if Instant::now() < until => {
                    tracing::debug!(%error, "the object store tries a transaction again");
                    thread::sleep(pause);
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                ControlFlow::Continue(error) => return Err(error),
            }
        }
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// The number of a table in the column `part`.
fn part(table: Table) -> i64 {
    table as i64
}

/// Waits for work on the threads of the engine. The caller's thread may be an async one.
fn wait<T: Send + 'static>(
    handle: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, StoreError> {
    let (reply, outcome) = mpsc::sync_channel(1);
    handle.spawn(async move {
        // Somebody waits.
        let _ = reply.send(work.await);
    });
    outcome
        .recv()
        .map_err(|_| failed("the threads that wait for the database have ended"))
}

/// That the connection of a transaction is gone.
fn lost() -> StoreError {
    StoreError::Unavailable("the connection to the database is lost".to_owned())
}

/// The error of the store for one of the database.
fn store_error(error: CatalogError) -> StoreError {
    match error {
        CatalogError::Full => StoreError::Full,
        CatalogError::Corrupt(what) => StoreError::Corrupt(what),
        CatalogError::Unavailable(why) => StoreError::Unavailable(why),
        CatalogError::Unsettled(why) => StoreError::Unsettled(why),
        CatalogError::Failed(source) => StoreError::Failed(source),
        other => failed(other.to_string()),
    }
}

//! Commits groups of changes to PostgreSQL, and finds out what became of a commit whose
//! answer was lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dm_core::ports::CatalogError;
use sqlx::PgConnection;

use super::{
    super::{
        batch::{self, Made},
        change::Change,
        error::{from_sqlx, is_of_medium, unavailable},
        sql::{Connection, PostgresConnection, Statements},
    },
    ANSWER_PATIENCE, PostgresOptions, connect,
    guard::Guard,
};
use crate::disk::write_state::WriteState;

/// How long a group is tried again where the database is away, or another writer was in
/// its way.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is tried to learn what became of a commit.
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(30);
/// Between the first two attempts; each further pause is twice as long, up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Begins with the lock that every writer takes first, so that what is read before the
/// writes still holds. A writer that is suspended loses its transaction, and with it the lock.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL lock_timeout = '10s';
    SET LOCAL idle_in_transaction_session_timeout = '10s';
    SELECT 1 FROM catalog_head WHERE catalog_head.only = 1 FOR UPDATE";
/// Notes nothing where the process of a node is not the newest one.
const NOTE_BATCH: &str = "INSERT INTO writers (id, batch, at) SELECT $1, $2, now()
    WHERE $3 IS NULL OR EXISTS (SELECT 1 FROM writers WHERE id = $3 AND batch = $4)
    ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, at = excluded.at";
const LAST_BATCH: &str = "SELECT batch FROM writers WHERE id = $1";
/// Writers that have ended long ago; not the node whose database it is.
const FORGET_WRITERS: &str = "DELETE FROM writers WHERE at < now() - INTERVAL '1 day' AND length(id) <> 20";

/// Why a transaction was not made.
enum Failure {
    /// A change is at fault.
    Refused(CatalogError),
    /// Nothing of it was made; it may be tried again.
    Again(CatalogError),
    /// Its commit was asked for, and the answer did not come.
    Unanswered(CatalogError),
}

/// The connection that writes.
pub(in super::super) struct Committing {
    options: PostgresOptions,
    connection: Option<PgConnection>,
    /// Tells the transactions of this writer from those of others.
    id: [u8; 16],
    /// The number of its newest transaction.
    batch: i64,
    state: WriteState,
    /// Where this process runs the node.
    guard: Option<Arc<Guard>>,
}

impl Committing {
    /// Takes over a connection to a database of this program's schema.
    ///
    /// # Errors
    /// Where the database fails.
    pub(in super::super) async fn new(
        options: PostgresOptions,
        mut connection: PgConnection,
        state: WriteState,
    ) -> Result<Self, CatalogError> {
        // Made by the server, whose random numbers differ from instance to instance.
        let id: Vec<u8> = sqlx::query_scalar("SELECT uuid_send(gen_random_uuid())")
            .persistent(false)
            .fetch_one(&mut connection)
            .await
            .map_err(from_sqlx)?;
        let id = <[u8; 16]>::try_from(id).map_err(|_| unavailable("the server makes no ids"))?;
        run(&mut connection, FORGET_WRITERS).await?;
        let guard = match options.node() {
            Some(node) => Some(Guard::take(&mut connection, node).await?),
            None => None,
        };
        Ok(Self {
            options,
            connection: Some(connection),
            id,
            batch: 0,
            state,
            guard,
        })
    }

    /// What keeps other processes of the node from the database.
    pub(in super::super) fn guard(&self) -> Option<Arc<Guard>> {
        self.guard.clone()
    }

    /// Makes the changes in one transaction; they are durable when it returns.
    ///
    /// # Errors
    /// Then none of them is made, and none will be, except where the error is
    /// [`CatalogError::Unsettled`].
    pub(in super::super) async fn commit(&mut self, changes: &[&Change]) -> Result<Made, CatalogError> {
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.attempt(changes).await {
                Ok(made) => {
                    self.state.succeeded();
                    return Ok(made);
                }
                Err(Failure::Refused(error)) if !is_of_medium(&error) => return Err(error),
                Err(Failure::Refused(error)) => error,
                Err(Failure::Again(error)) if Instant::now() < until => {
                    tracing::debug!(%error, "the catalog tries a transaction again");
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(Duration::from_secs(1));
                    continue;
                }
                Err(Failure::Again(error)) => error,
                Err(Failure::Unanswered(error)) => CatalogError::Unsettled(error.to_string()),
            };
            self.state.failed(&error);
            return Err(error);
        }
    }

    /// Tries whether the database takes writes again, where the last one failed.
    pub(in super::super) async fn probe(&mut self) {
        if self.state.fault().is_some() {
            match self.attempt(&[]).await {
                Ok(_) => self.state.succeeded(),
                Err(Failure::Refused(error) | Failure::Again(error) | Failure::Unanswered(error)) => {
                    self.state.failed(&error);
                }
            }
        }
    }

    pub(in super::super) async fn close(self) -> Result<(), CatalogError> {
        use sqlx::Connection as _;
        let Some(mut connection) = self.connection else {
            return Ok(());
        };
        if let Some(guard) = &self.guard
            && let Err(error) = guard.release(&mut connection).await
        {
            tracing::warn!(%error, "another data directory has to wait before it can use the database");
        }
        connection.close().await.map_err(from_sqlx)
    }

    async fn attempt(&mut self, changes: &[&Change]) -> Result<Made, Failure> {
        self.check_guard()?;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.options.server()).await.map_err(Failure::Again)?,
        };
        self.batch += 1;
        match answered(self.make(&mut connection, changes)).await {
            Ok(made) => {
                let committed = answered(run(&mut connection, "COMMIT")).await;
                self.settle(connection, committed).await.map(|()| made)
            }
            Err(error) if self.check_guard().is_err() => Err(Failure::Refused(error)),
            // The connection is given up, and with it what it has begun.
            Err(error) if is_passing(&error) => Err(Failure::Again(error)),
            Err(error) => {
                if answered(run(&mut connection, "ROLLBACK")).await.is_ok() {
                    self.connection = Some(connection);
                }
                Err(Failure::Refused(error))
            }
        }
    }

    async fn make(&self, connection: &mut PgConnection, changes: &[&Change]) -> Result<Made, CatalogError> {
        run(connection, BEGIN).await?;
        let statements = self.options.server().statements;
        let guard = self.guard.as_deref();
        let noted = sqlx::query(NOTE_BATCH)
            .bind(&self.id[..])
            .bind(self.batch)
            .bind(guard.map(Guard::account))
            .bind(guard.map(Guard::number))
            .persistent(statements == Statements::Kept)
            .execute(&mut *connection)
            .await
            .map_err(from_sqlx)?;
        if let Some(guard) = guard.filter(|_| noted.rows_affected() == 0) {
            return Err(guard.lose());
        }
        let mut connection = Connection::Postgres(PostgresConnection {
            connection,
            statements,
        });
        batch::make(&mut connection, changes).await
    }

    fn check_guard(&self) -> Result<(), Failure> {
        let guard = self.guard.as_ref();
        guard
            .map_or(Ok(()), |guard| guard.check())
            .map_err(Failure::Refused)
    }

    /// Learns what came of a commit.
    async fn settle(
        &mut self,
        connection: PgConnection,
        committed: Result<(), CatalogError>,
    ) -> Result<(), Failure> {
        let Err(error) = committed else {
            self.connection = Some(connection);
            return Ok(());
        };
        drop(connection);
        tracing::warn!(%error, "the answer to a commit of the catalog was lost; looking it up");
        let until = Instant::now() + LOOK_UP_PATIENCE;
        loop {
            match self.was_committed().await {
                Ok(true) => return Ok(()),
                Ok(false) if is_passing(&error) => return Err(Failure::Again(error)),
                Ok(false) => return Err(Failure::Refused(error)),
                Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(250)).await,
                Err(_) => return Err(Failure::Unanswered(error)),
            }
        }
    }

    /// Whether the newest transaction was made. It holds the lock of all writers until
    /// its end, so that whoever has that lock sees what became of it.
    async fn was_committed(&mut self) -> Result<bool, CatalogError> {
        let mut connection = connect(self.options.server()).await?;
        answered(run(&mut connection, BEGIN)).await?;
        let last: Option<i64> = answered(async {
            sqlx::query_scalar(LAST_BATCH)
                .bind(&self.id[..])
                .persistent(false)
                .fetch_optional(&mut connection)
                .await
                .map_err(from_sqlx)
        })
        .await?;
        answered(run(&mut connection, "COMMIT")).await?;
        self.connection = Some(connection);
        Ok(last == Some(self.batch))
    }
}

async fn run(connection: &mut PgConnection, statements: &'static str) -> Result<(), CatalogError> {
    let done = sqlx::raw_sql(statements).execute(connection).await;
    done.map(|_| ()).map_err(from_sqlx)
}

/// Whether the same may succeed a moment later.
fn is_passing(error: &CatalogError) -> bool {
    matches!(error, CatalogError::Unavailable(_))
}

/// What the server answers, in time.
async fn answered<T>(asked: impl Future<Output = Result<T, CatalogError>>) -> Result<T, CatalogError> {
    match tokio::time::timeout(ANSWER_PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(unavailable("the database's server does not answer")),
    }
}

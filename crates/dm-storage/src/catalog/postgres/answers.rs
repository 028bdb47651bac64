//! What became of a transaction, also where the answer to its commit was lost.

use std::time::{Duration, Instant};

use dm_core::ports::CatalogError;
use sqlx::{Decode, PgConnection, Postgres, Row, Type};

use super::{
    super::{
        error::{from_sqlx, unavailable},
        sql::Statements,
    },
    ANSWER_PATIENCE, connect,
    options::Server,
};

/// How long a transaction is tried again where the database is away, or another writer was
/// in its way.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is tried to learn what became of a commit.
const LOOK_UP_PATIENCE: Duration = Duration::from_secs(30);
/// Between the first two attempts; each further pause is twice as long, up to a second.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between two attempts.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const NOTE_BATCH: &str = "INSERT INTO writers (id, batch, at) VALUES ($1, $2, now())
    ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, at = excluded.at";
const LAST_BATCH: &str = "SELECT batch FROM writers WHERE id = $1";

/// Why a transaction was not made.
pub(crate) enum Failure {
    /// A change is at fault.
    Refused(CatalogError),
    /// Nothing of it was made; it may be tried again.
    Again(CatalogError),
    /// Its commit was asked for, and the answer did not come.
    Unanswered(CatalogError),
}

/// The transactions of one writer, each of which has a number that it writes itself.
#[derive(Clone)]
pub(crate) struct Transactions {
    server: Server,
    /// Begins a transaction with the lock that its writers take first, so that what is read
    /// before the writes still holds.
    begin: &'static str,
    /// Tells the transactions of this writer from those of others.
    id: [u8; 16],
    /// The number of its newest transaction.
    newest: i64,
}

impl Transactions {
    /// Those of a new writer.
    ///
    /// # Errors
    /// Where the database fails.
    pub(super) async fn new(
        server: Server,
        begin: &'static str,
        connection: &mut PgConnection,
    ) -> Result<Self, CatalogError> {
        // Made by the server, whose random numbers differ from instance to instance.
        let id: Vec<u8> = value(connection, "SELECT uuid_send(gen_random_uuid())").await?;
        let id = <[u8; 16]>::try_from(id).map_err(|_| unavailable("the server makes no ids"))?;
        Ok(Self {
            server,
            begin,
            id,
            newest: 0,
        })
    }

    /// How statements reach the server.
    pub(crate) fn statements(&self) -> Statements {
        self.server.statements
    }

    /// Another connection.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub(crate) async fn connect(&self) -> Result<PgConnection, CatalogError> {
        connect(&self.server).await
    }

    /// The next transaction has a number of its own.
    pub(crate) fn count(&mut self) {
        self.newest += 1;
    }

    /// Begins the transaction that was counted last.
    ///
    /// # Errors
    /// Where the database fails.
    pub(crate) async fn begin(&self, connection: &mut PgConnection) -> Result<(), CatalogError> {
        run(connection, self.begin).await?;
        sqlx::query(NOTE_BATCH)
            .bind(&self.id[..])
            .bind(self.newest)
            .persistent(self.statements() == Statements::Kept)
            .execute(&mut *connection)
            .await
            .map_err(from_sqlx)?;
        Ok(())
    }

    /// Commits, and learns what came of it. The connection, where it can be used again.
    pub(crate) async fn commit(&self, mut connection: PgConnection) -> Result<PgConnection, Failure> {
        let Err(error) = answered(run(&mut connection, "COMMIT")).await else {
            return Ok(connection);
        };
        drop(connection);
        tracing::warn!(%error, "the answer to a commit of the catalog was lost; looking it up");
        let until = Instant::now() + LOOK_UP_PATIENCE;
        loop {
            match self.was_committed().await {
                Ok((true, connection)) => return Ok(connection),
                Ok((false, _)) if is_passing(&error) => return Err(Failure::Again(error)),
                Ok((false, _)) => return Err(Failure::Refused(error)),
                Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(250)).await,
                Err(_) => return Err(Failure::Unanswered(error)),
            }
        }
    }

    /// Whether the newest transaction was made. It holds the lock of its writers until
    /// its end, so that whoever has that lock sees what became of it.
    async fn was_committed(&self) -> Result<(bool, PgConnection), CatalogError> {
        let mut connection = self.connect().await?;
        answered(run(&mut connection, self.begin)).await?;
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
        Ok((last == Some(self.newest), connection))
    }
}

/// Runs statements without parameters.
///
/// # Errors
/// Where the database fails.
pub(crate) async fn run(connection: &mut PgConnection, statements: &'static str) -> Result<(), CatalogError> {
    let done = sqlx::raw_sql(statements).execute(connection).await;
    done.map(|_| ()).map_err(from_sqlx)
}

/// The value that a statement without parameters gives, outside a transaction. It is one message: a
/// pooler may send a second one to another connection of the server.
///
/// # Errors
/// Where the database fails.
pub(super) async fn value<T>(
    connection: &mut PgConnection,
    statement: &'static str,
) -> Result<T, CatalogError>
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres>,
{
    let row = sqlx::raw_sql(statement).fetch_one(connection).await;
    row.and_then(|row| row.try_get(0)).map_err(from_sqlx)
}

/// Whether the same may succeed a moment later.
pub(crate) fn is_passing(error: &CatalogError) -> bool {
    matches!(error, CatalogError::Unavailable(_))
}

/// What the server answers, in time.
pub(crate) async fn answered<T>(
    asked: impl Future<Output = Result<T, CatalogError>>,
) -> Result<T, CatalogError> {
    match tokio::time::timeout(ANSWER_PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(unavailable("the database's server does not answer")),
    }
}

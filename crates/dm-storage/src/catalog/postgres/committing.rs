//! Commits groups of changes to PostgreSQL.

use std::time::Instant;

use dm_core::ports::CatalogError;
use sqlx::PgConnection;

use super::{
    super::{
        batch::{self, Made},
        change::Change,
        error::{from_sqlx, is_of_medium},
        sql::{Connection, PostgresConnection},
    },
    PostgresOptions,
    answers::{FIRST_PAUSE, Failure, LONGEST_PAUSE, PATIENCE, Transactions, answered, is_passing, run},
    claim,
};
use crate::disk::write_state::WriteState;

/// Begins with the lock that every writer takes first, so that what is read before the
/// writes still holds. A writer that is suspended loses its transaction, and with it the lock.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL lock_timeout = '10s';
    SET LOCAL idle_in_transaction_session_timeout = '10s';
    SELECT 1 FROM catalog_head WHERE catalog_head.only = 1 FOR UPDATE";
/// Writers that have ended long ago; not the account whose database it is.
const FORGET_WRITERS: &str = "DELETE FROM writers WHERE at < now() - INTERVAL '1 day' AND length(id) <> 20";

/// The connection that writes.
pub(in super::super) struct Committing {
    transactions: Transactions,
    connection: Option<PgConnection>,
    state: WriteState,
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
        let transactions = Transactions::new(options.server().clone(), BEGIN, &mut connection).await?;
        run(&mut connection, FORGET_WRITERS).await?;
        if let Some(account) = options.account() {
            claim::claim(&mut connection, account).await?;
        }
        Ok(Self {
            transactions,
            connection: Some(connection),
            state,
        })
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
                    pause = (2 * pause).min(LONGEST_PAUSE);
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
        match self.connection {
            Some(connection) => connection.close().await.map_err(from_sqlx),
            None => Ok(()),
        }
    }

    async fn attempt(&mut self, changes: &[&Change]) -> Result<Made, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.transactions.connect().await.map_err(Failure::Again)?,
        };
        self.transactions.count();
        match answered(self.make(&mut connection, changes)).await {
            Ok(made) => {
                self.connection = Some(self.transactions.commit(connection).await?);
                Ok(made)
            }
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
        self.transactions.begin(connection).await?;
        let mut connection = Connection::Postgres(PostgresConnection {
            connection,
            statements: self.transactions.statements(),
        });
        batch::make(&mut connection, changes).await
    }
}

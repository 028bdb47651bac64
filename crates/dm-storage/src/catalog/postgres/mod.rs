//! The catalog in a PostgreSQL database, which several instances of a node may share.

pub(crate) mod answers;
mod claim;
mod committing;
mod follow;
mod options;
mod schema;

pub use self::options::PostgresOptions;
pub(super) use self::{committing::Committing, follow::follow_journal};

use std::time::Duration;

use dm_core::ports::CatalogError;
use sqlx::{ConnectOptions, PgConnection};

use self::{answers::Transactions, options::Server};
use super::error::{from_sqlx, unavailable};

/// How long an answer of the server is waited for.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);

/// A connection whose database has this program's schema; the server is told about what
/// weakens its promises.
pub(super) async fn prepare(options: &PostgresOptions) -> Result<PgConnection, CatalogError> {
    let mut connection = connect(options.server()).await?;
    schema::bring_up(&mut connection).await?;
    warn_of_weak_settings(&mut connection).await?;
    Ok(connection)
}

/// A writer beside the catalog, whose transactions begin in this way, and its connection.
pub(crate) async fn writer(
    options: &PostgresOptions,
    begin: &'static str,
) -> Result<(Transactions, PgConnection), CatalogError> {
    let mut connection = connect(options.server()).await?;
    schema::bring_up(&mut connection).await?;
    let transactions = Transactions::new(options.server().clone(), begin, &mut connection).await?;
    Ok((transactions, connection))
}

async fn connect(server: &Server) -> Result<PgConnection, CatalogError> {
    let connecting = tokio::time::timeout(ANSWER_PATIENCE, server.connect.connect()).await;
    connecting
        .map_err(|_| unavailable("the database's server does not answer"))?
        .map_err(from_sqlx)
}

async fn warn_of_weak_settings(connection: &mut PgConnection) -> Result<(), CatalogError> {
    for setting in ["SHOW synchronous_commit", "SHOW fsync"] {
        let value: String = answers::value(connection, setting).await?;
        if value == "off" {
            tracing::warn!(
                setting = setting.trim_start_matches("SHOW "),
                "the database may lose what was acknowledged: switch the setting on"
            );
        }
    }
    Ok(())
}

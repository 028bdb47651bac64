//! What SQLite's errors mean to the callers of the catalog.

use std::path::Path;

use dm_core::ports::CatalogError;
#[cfg(feature = "postgres")]
use sqlx::postgres::PgDatabaseError;
use sqlx::{error::DatabaseError, migrate::MigrateError, sqlite::SqliteError};

/// Primary result codes of SQLite (<https://www.sqlite.org/rescode.html>).
mod code {
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    pub(super) const NO_MEMORY: u32 = 7;
    pub(super) const READ_ONLY: u32 = 8;
    pub(super) const IO_ERROR: u32 = 10;
    pub(super) const CORRUPT: u32 = 11;
    pub(super) const FULL: u32 = 13;
    pub(super) const CANNOT_OPEN: u32 = 14;
    pub(super) const PROTOCOL: u32 = 15;
    pub(super) const NOT_A_DATABASE: u32 = 26;
    /// An extended code: a trigger refuses a row.
    pub(super) const REFUSED_BY_TRIGGER: u32 = 1811;
}

const HOW_TO_RECOVER: &str =
    "stop the node, move the database aside, a file with its -wal and -shm files, and restore a backup";

/// The port's error for a failure of the database.
pub(crate) fn from_sqlx(error: sqlx::Error) -> CatalogError {
    #[cfg(feature = "postgres")]
    if let Some(meant) = from_postgres(&error) {
        return meant;
    }
    match &error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => corrupt(&error),
        sqlx::Error::Database(database)
            if database.is_unique_violation() || extended_code(&error) == Some(code::REFUSED_BY_TRIGGER) =>
        {
            CatalogError::Conflict(database.message().to_owned())
        }
        _ => match primary_code(&error) {
            Some(code::FULL) => CatalogError::Full,
            Some(code::CORRUPT | code::NOT_A_DATABASE) => corrupt(&error),
            Some(
                code::BUSY
                | code::LOCKED
                | code::NO_MEMORY
                | code::READ_ONLY
                | code::IO_ERROR
                | code::CANNOT_OPEN
                | code::PROTOCOL,
            ) => CatalogError::Unavailable(error.to_string()),
            None if matches!(
                error,
                sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolTimedOut
            ) =>
            {
                CatalogError::Unavailable(error.to_string())
            }
            _ => CatalogError::Failed(Box::new(error)),
        },
    }
}

/// What an error of PostgreSQL means, by its class
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
#[cfg(feature = "postgres")]
fn from_postgres(error: &sqlx::Error) -> Option<CatalogError> {
    let database: &PgDatabaseError = error.as_database_error()?.try_downcast_ref()?;
    let (code, said) = (database.code(), database.message().to_owned());
    match (code.get(..2)?, code) {
        // What is to be unique is there, or a trigger of ours refuses a row.
        (_, "23505" | "DM001") => Some(CatalogError::Conflict(said)),
        (_, "53100") => Some(CatalogError::Full),
        // A password or a right is wrong, or there is no such database.
        ("28" | "3D", _) => Some(CatalogError::Failed(said.into())),
        // Damaged data.
        ("XX", "XX001" | "XX002") => Some(CatalogError::Corrupt(said)),
        // The connection, a transaction that another one was in the way of, a server that
        // is short of something, is told to stop, or only reads since another one leads.
        ("08" | "40" | "53" | "57" | "58", _) | (_, "55P03" | "25006" | "25P03") => {
            Some(CatalogError::Unavailable(said))
        }
        _ => None,
    }
}

/// The port's error for a database at `path` that cannot be brought to this
/// program's schema.
pub(super) fn from_migration(error: MigrateError, path: &Path) -> CatalogError {
    let path = path.display();
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => from_sqlx(error),
        MigrateError::VersionMissing(version) => CatalogError::Corrupt(format!(
            "{path} was written by a newer version of this program (schema {version}); run that version"
        )),
        other => CatalogError::Corrupt(format!("{path}: {other}; {HOW_TO_RECOVER}")),
    }
}

/// That a stored value is not what was once written.
pub(super) fn corrupt(what: impl std::fmt::Display) -> CatalogError {
    CatalogError::Corrupt(format!("{what}; {HOW_TO_RECOVER}"))
}

/// A failure that is no error of the database.
pub(super) fn failed(what: &'static str) -> CatalogError {
    CatalogError::Failed(what.into())
}

/// That the catalog cannot do this at the moment.
pub(super) fn unavailable(why: &str) -> CatalogError {
    CatalogError::Unavailable(why.to_owned())
}

/// Whether the medium refused, and would refuse any other write as well.
pub(super) fn is_of_medium(error: &CatalogError) -> bool {
    matches!(
        error,
        CatalogError::Full | CatalogError::Unavailable(_) | CatalogError::Unsettled(_)
    )
}

/// Whether another process held the database for too long.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(code::BUSY)
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    extended_code(error).map(|code| code & 0xff)
}

fn extended_code(error: &sqlx::Error) -> Option<u32> {
    let error: &SqliteError = error.as_database_error()?.try_downcast_ref()?;
    error.code()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_wrong_type_is_damage_with_a_way_out() {
        let error = from_sqlx(sqlx::Error::Decode("not a blob".into()));
        assert!(matches!(error, CatalogError::Corrupt(why) if why.contains("restore a backup")));
    }

    #[test]
    fn a_newer_schema_asks_for_the_newer_program() {
        let error = from_migration(MigrateError::VersionMissing(7), Path::new("catalog.db"));
        assert!(matches!(error, CatalogError::Corrupt(why) if why.contains("newer version")));
    }
}

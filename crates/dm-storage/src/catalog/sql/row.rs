//! Rows of either database.

#[cfg(feature = "postgres")]
use sqlx::postgres::PgRow;
use sqlx::{Column, Error, Row as _, TypeInfo, ValueRef, sqlite::SqliteRow};

/// A row of either database.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    #[cfg(feature = "postgres")]
    Postgres(PgRow),
}

/// The name of a column, or its place.
pub(crate) trait ColumnIndex: sqlx::ColumnIndex<SqliteRow> + PostgresIndex + Copy {}

#[cfg(feature = "postgres")]
pub(crate) trait PostgresIndex: sqlx::ColumnIndex<PgRow> {}
#[cfg(feature = "postgres")]
impl<T: sqlx::ColumnIndex<PgRow>> PostgresIndex for T {}

#[cfg(not(feature = "postgres"))]
pub(crate) trait PostgresIndex {}
#[cfg(not(feature = "postgres"))]
impl<T> PostgresIndex for T {}

impl ColumnIndex for &str {}
impl ColumnIndex for usize {}

/// What a column can be read as.
pub(crate) trait FromColumn<'r>: Sized {
    fn from_column(row: &'r Row, column: impl ColumnIndex) -> Result<Self, Error>;
}

impl Row {
    /// The value of a column.
    ///
    /// # Errors
    /// Where it is of another kind.
    pub(crate) fn get<'r, T: FromColumn<'r>>(&'r self, column: impl ColumnIndex) -> Result<T, Error> {
        T::from_column(self, column)
    }

    /// The value of a column as text, whatever its kind.
    pub(crate) fn text_of(&self, column: &str) -> Option<String> {
        match self.kind_of(column)?.as_str() {
            "INTEGER" | "INT8" => self.get::<i64>(column).ok().map(|key| key.to_string()),
            "TEXT" => self.get::<String>(column).ok(),
            "BLOB" | "BYTEA" => self.get::<Vec<u8>>(column).ok().map(hex::encode),
            _ => None,
        }
    }

    fn kind_of(&self, column: &str) -> Option<String> {
        fn kind<R: sqlx::Row>(row: &R, column: &str) -> Option<String>
        where
            usize: sqlx::ColumnIndex<R>,
        {
            let index = row.columns().iter().position(|other| other.name() == column)?;
            Some(row.try_get_raw(index).ok()?.type_info().name().to_owned())
        }
        match self {
            Self::Sqlite(row) => kind(row, column),
            #[cfg(feature = "postgres")]
            Self::Postgres(row) => kind(row, column),
        }
    }
}

macro_rules! from_column {
    ($($kind:ty),*) => {
        $(
            impl<'r> FromColumn<'r> for $kind {
                fn from_column(row: &'r Row, column: impl ColumnIndex) -> Result<Self, Error> {
                    match row {
                        Row::Sqlite(row) => row.try_get(column),
                        #[cfg(feature = "postgres")]
                        Row::Postgres(row) => row.try_get(column),
                    }
                }
            }
        )*
    };
}

from_column!(
    i64,
    Option<i64>,
    String,
    Option<String>,
    &'r str,
    Option<&'r str>,
    Vec<u8>,
    Option<Vec<u8>>,
    &'r [u8],
    Option<&'r [u8]>
);

/// Kept as 0 and 1; what PostgreSQL computes is a truth value of its own.
impl<'r> FromColumn<'r> for bool {
    fn from_column(row: &'r Row, column: impl ColumnIndex) -> Result<Self, Error> {
        Option::from_column(row, column)?.ok_or_else(|| Error::Decode("NULL is no truth value".into()))
    }
}

impl<'r> FromColumn<'r> for Option<bool> {
    fn from_column(row: &'r Row, column: impl ColumnIndex) -> Result<Self, Error> {
        match row {
            Row::Sqlite(row) => row.try_get(column),
            #[cfg(feature = "postgres")]
            Row::Postgres(row) => row.try_get(column).or_else(|_| {
                let number: Option<i64> = row.try_get(column)?;
                Ok(number.map(|number| number != 0))
            }),
        }
    }
}

//! The text of a statement for each database.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// One statement in the words of each database. Both have the parameters of SQLite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialects {
    pub(crate) sqlite: &'static str,
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "one source for both databases")
    )]
    pub(crate) postgres: &'static str,
}

impl From<&'static str> for Dialects {
    fn from(both: &'static str) -> Self {
        Self {
            sqlite: both,
            postgres: both,
        }
    }
}

/// What a query runs.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    /// A text of the program.
    Fixed(Dialects),
    /// A text that was put together of fixed parts, for both databases.
    Built(Arc<str>),
    /// One over many rows; see [`super::super::bulk`].
    Bulk {
        sqlite: Arc<str>,
        #[cfg(feature = "postgres")]
        postgres: Arc<str>,
        #[cfg(feature = "postgres")]
        columns: usize,
    },
}

impl Statement {
    /// The text for SQLite.
    pub(crate) fn sqlite(&self) -> SqlStr {
        match self {
            Self::Fixed(text) => SqlStr::from_static(text.sqlite),
            // Safe: nothing but fixed parts and question marks.
            Self::Built(text) | Self::Bulk { sqlite: text, .. } => {
                AssertSqlSafe(Arc::clone(text)).into_sql_str()
            }
        }
    }
}

impl From<&'static str> for Statement {
    fn from(both: &'static str) -> Self {
        Self::Fixed(both.into())
    }
}

/// A text that was put together of fixed parts.
impl From<&Arc<str>> for Statement {
    fn from(both: &Arc<str>) -> Self {
        Self::Built(Arc::clone(both))
    }
}

impl From<Dialects> for Statement {
    fn from(dialects: Dialects) -> Self {
        Self::Fixed(dialects)
    }
}

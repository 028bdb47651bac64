//! The clock of the database, by which all instances go.

/// A query whose first column, `now`, is the time in milliseconds since the Unix epoch; the
/// given text follows. It is the time of the statement, not of the beginning of its
/// transaction, which may have waited long for its lock.
macro_rules! with_now {
    ($rest:literal) => {
        $crate::catalog::sql::Dialects {
            sqlite: concat!(
                "SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER) AS now",
                $rest
            ),
            postgres: concat!(
                "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now",
                $rest
            ),
        }
    };
}

pub(super) use with_now;

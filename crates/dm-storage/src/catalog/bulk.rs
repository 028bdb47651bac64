//! Statements over many rows: one hand-over to SQLite's thread and one run of
//! its interpreter for up to 64 rows instead of one for each.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

/// Rows in the longest statement, as a power of two.
const LARGEST: u32 = 6;

/// A statement with a list of rows in its middle. It is prepared for 1, 2, 4,
/// … 64 rows, so that few prepared statements serve any number of rows.
pub(super) struct BulkStatement {
    by_power: Vec<Arc<str>>,
}

impl BulkStatement {
    /// The statement `head`, rows of `columns` parameters, `tail`.
    pub(super) fn new(head: &str, columns: usize, tail: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(", "));
        let by_power = (0..=LARGEST)
            .map(|power| {
                let rows = vec![row.as_str(); 1 << power].join(", ");
                format!("{head} {rows} {tail}").into()
            })
            .collect();
        Self { by_power }
    }

    /// Splits rows into runs for which there is a statement, each with it.
    pub(super) fn runs<'a, T>(
        &'a self,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (AssertSqlSafe<Arc<str>>, &'a [T])> {
        std::iter::from_fn(move || {
            let power = rows.len().checked_ilog2()?.min(LARGEST) as usize;
            let (run, rest) = rows.split_at(1 << power);
            rows = rest;
            // Safe: nothing but the fixed parts and question marks.
            Some((AssertSqlSafe(Arc::clone(self.by_power.get(power)?)), run))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(rows: usize) -> Vec<usize> {
        let statement = BulkStatement::new("INSERT INTO t VALUES", 2, "");
        statement
            .runs(&vec![(); rows])
            .map(|(_, run)| run.len())
            .collect()
    }

    #[test]
    fn any_number_of_rows_is_split_into_prepared_lengths() {
        assert_eq!(lengths(0), [0; 0]);
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(200), [64, 64, 64, 8]);
        assert_eq!(lengths(63), [32, 16, 8, 4, 2, 1]);
    }

    #[test]
    fn a_statement_has_one_parameter_for_each_column_of_each_row() {
        let statement = BulkStatement::new("INSERT INTO t VALUES", 2, "RETURNING a");
        let rows = [(); 2];
        let (sql, _) = statement.runs(&rows).next().unwrap();
        assert_eq!(&*sql.0, "INSERT INTO t VALUES (?, ?), (?, ?) RETURNING a");
    }
}

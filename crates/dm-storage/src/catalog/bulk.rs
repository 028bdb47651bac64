//! Statements over many rows: one hand-over to SQLite's thread and one run of
//! its interpreter for up to 64 rows instead of one for each. The hand-over,
//! with its two thread switches, is what costs.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

/// Rows in the longest statement, as a power of two.
const LARGEST: u32 = 6;

/// A statement that reads its rows from a list of them. It is prepared for 1,
/// 2, 4, … 64 rows, so that few prepared statements serve any number of rows:
/// parameters that are left unbound are NULL, and rows of them do not count.
pub(super) struct BulkStatement {
    by_power: Vec<Arc<str>>,
}

impl BulkStatement {
    /// The statement `head (rows) WHERE … tail`, whose rows have this number of
    /// columns, `column1` and so on, of which the first is never NULL.
    pub(super) fn new(head: &str, columns: usize, tail: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(", "));
        let by_power = (0..=LARGEST)
            .map(|power| {
                let rows = vec![row.as_str(); 1 << power].join(", ");
                format!("{head} (VALUES {rows}) WHERE column1 IS NOT NULL {tail}").into()
            })
            .collect();
        Self { by_power }
    }

    /// Splits rows into runs of at most 64, each with the shortest statement
    /// that has room for it.
    pub(super) fn runs<'a, T>(
        &'a self,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (AssertSqlSafe<Arc<str>>, &'a [T])> {
        std::iter::from_fn(move || {
            if rows.is_empty() {
                return None;
            }
            let (run, rest) = rows.split_at(rows.len().min(1 << LARGEST));
            rows = rest;
            let power = run.len().next_power_of_two().ilog2() as usize;
            // Safe: nothing but the fixed parts and question marks.
            Some((AssertSqlSafe(Arc::clone(self.by_power.get(power)?)), run))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each run its rows, and those that its statement has room for.
    fn lengths(rows: usize) -> Vec<(usize, usize)> {
        let statement = BulkStatement::new("INSERT INTO t SELECT * FROM", 1, "");
        statement
            .runs(&vec![(); rows])
            .map(|(sql, run)| (run.len(), sql.0.matches('?').count()))
            .collect()
    }

    #[test]
    fn any_number_of_rows_fits_into_prepared_lengths() {
        assert_eq!(lengths(0), [(0, 0); 0]);
        assert_eq!(lengths(1), [(1, 1)]);
        assert_eq!(lengths(5), [(5, 8)]);
        assert_eq!(lengths(63), [(63, 64)]);
        assert_eq!(lengths(200), [(64, 64), (64, 64), (64, 64), (8, 8)]);
    }

    #[test]
    fn a_statement_has_one_parameter_for_each_column_of_each_row() {
        let statement = BulkStatement::new("INSERT INTO t SELECT * FROM", 2, "RETURNING a");
        let rows = [(); 2];
        let (sql, _) = statement.runs(&rows).next().unwrap();
        assert_eq!(
            &*sql.0,
            "INSERT INTO t SELECT * FROM (VALUES (?, ?), (?, ?)) WHERE column1 IS NOT NULL RETURNING a"
        );
    }
}

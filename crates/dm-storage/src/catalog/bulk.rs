//! Statements over many rows: one hand-over to SQLite's thread and one run of
//! its interpreter for up to 64 rows instead of one for each. The hand-over,
//! with its two thread switches, is what costs.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use super::sql::{Dialects, Statement};

/// Rows in the longest statement, as a power of two.
const LARGEST: u32 = 6;

/// A statement that reads its rows from a list of them. It is prepared for 1,
/// 2, 4, … 64 rows, so that few prepared statements serve any number of rows:
/// parameters that are left unbound are NULL, and rows of them do not count.
pub(super) struct BulkStatement {
    by_power: Vec<Arc<str>>,
    /// For PostgreSQL one statement serves any number of rows: each column is a list.
    #[cfg(feature = "postgres")]
    postgres: Arc<str>,
    #[cfg(feature = "postgres")]
    columns: usize,
}

impl BulkStatement {
    /// The statement `head (rows) WHERE … tail`, whose rows have this number of
    /// columns, `column1` and so on, of which the first is never NULL.
    pub(super) fn new(head: impl Into<Dialects>, columns: usize, tail: &str) -> Self {
        let head = head.into();
        let row = format!("({})", vec!["?"; columns].join(", "));
        let by_power = (0..=LARGEST)
            .map(|power| {
                let rows = vec![row.as_str(); 1 << power].join(", ");
                format!("{} (VALUES {rows}) WHERE column1 IS NOT NULL {tail}", head.sqlite).into()
            })
            .collect();
        Self {
            by_power,
            #[cfg(feature = "postgres")]
            postgres: lists(head.postgres, columns, tail).into(),
            #[cfg(feature = "postgres")]
            columns,
        }
    }

    /// Splits rows into runs of at most 64, each with the shortest statement
    /// that has room for it.
    pub(super) fn runs<'a, T>(&'a self, mut rows: &'a [T]) -> impl Iterator<Item = (Statement, &'a [T])> {
        std::iter::from_fn(move || {
            if rows.is_empty() {
                return None;
            }
            let (run, rest) = rows.split_at(rows.len().min(1 << LARGEST));
            rows = rest;
            let power = run.len().next_power_of_two().ilog2() as usize;
            let statement = Statement::Bulk {
                sqlite: Arc::clone(self.by_power.get(power)?),
                #[cfg(feature = "postgres")]
                postgres: Arc::clone(&self.postgres),
                #[cfg(feature = "postgres")]
                columns: self.columns,
            };
            Some((statement, run))
        })
    }
}

/// The statement for PostgreSQL, whose rows are lists of the values of each column.
#[cfg(feature = "postgres")]
fn lists(head: &str, columns: usize, tail: &str) -> String {
    let names: Vec<String> = (1..=columns).map(|column| format!("column{column}")).collect();
    let (lists, names) = (vec!["?"; columns].join(", "), names.join(", "));
    format!("{head} unnest({lists}) AS listed ({names}) WHERE column1 IS NOT NULL {tail}")
}

/// Of rows with the same key the last one, in the order of the rows: one statement must
/// not put the same row twice.
pub(super) fn last_of_each<'a, T, K: Eq + Hash>(
    rows: impl IntoIterator<Item = &'a T, IntoIter: DoubleEndedIterator>,
    key: impl Fn(&'a T) -> K,
) -> Vec<&'a T> {
    let mut seen = HashSet::new();
    let mut last: Vec<&T> = rows
        .into_iter()
        .rev()
        .filter(|row| seen.insert(key(row)))
        .collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each run its rows, and those that its statement has room for.
    fn lengths(rows: usize) -> Vec<(usize, usize)> {
        let statement = BulkStatement::new("INSERT INTO t SELECT * FROM", 1, "");
        statement
            .runs(&vec![(); rows])
            .map(|(sql, run)| (run.len(), sql.sqlite().as_str().matches('?').count()))
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
            sql.sqlite().as_str(),
            "INSERT INTO t SELECT * FROM (VALUES (?, ?), (?, ?)) WHERE column1 IS NOT NULL RETURNING a"
        );
    }
}

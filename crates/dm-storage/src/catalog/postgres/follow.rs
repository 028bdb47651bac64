//! Learns what other instances write into the journal.

use std::time::Duration;

use tokio::sync::watch;

use super::super::{
    columns::Columns,
    journal,
    sql::{self, Pool},
};

/// Between two looks at the end of the journal.
const PAUSE: Duration = Duration::from_millis(250);

/// Says how far the journal goes, whoever has written to it, until the catalog is closed
/// or nobody has it any more.
pub(in super::super) async fn follow_journal(
    reads: Pool,
    growth: watch::Sender<u64>,
    is_in_use: impl Fn() -> bool,
) {
    while !reads.is_closed() && is_in_use() {
        tokio::time::sleep(PAUSE).await;
        if growth.receiver_count() == 0 {
            continue;
        }
        // A database that is away is seen again later.
        if let Ok(row) = sql::query(journal::LAST).fetch_one(&reads).await
            && let Ok(last) = row.number("last")
        {
            growth.send_if_modified(|end| {
                let has_grown = last > *end;
                *end = last.max(*end);
                has_grown
            });
        }
    }
}

//! The lines of the history with their transactions.

use dm_core::ports::{AnchoredCheckpoint, ComplianceError, HistoryEntry, LogEntry};

use super::ComplianceManager;

impl ComplianceManager {
    /// Adds to each entry of a page, newest first, the transaction that anchored
    /// it. Looks up one checkpoint for all entries that it was the first to cover.
    pub(super) async fn with_transactions(
        &self,
        page: Vec<LogEntry>,
    ) -> Result<Vec<HistoryEntry>, ComplianceError> {
        let mut lines = Vec::with_capacity(page.len());
        let mut covering: Option<AnchoredCheckpoint> = None;
        // From the oldest: the first checkpoint that covers an event is also the
        // first for all later events that it covers.
        for LogEntry { index, event } in page.into_iter().rev() {
            let is_covered = covering.is_some_and(|found| index < found.checkpoint.size);
            if !is_covered {
                covering = match index < self.board.anchored() {
                    true => self.covering(index).await?,
                    false => None,
                };
            }
            lines.push(HistoryEntry {
                index,
                event,
                tx_hash: covering.map(|found| found.anchor.tx_hash),
            });
        }
        lines.reverse();
        Ok(lines)
    }
}

//! The lines of the history with their transactions.

use dm_core::ports::{ComplianceError, HistoryEntry, LogEntry};

use super::ComplianceManager;

impl ComplianceManager {
    /// Adds to each entry of a page the transaction that anchored it, with one look-up for
    /// all of them.
    pub(super) async fn with_transactions(
        &self,
        page: Vec<LogEntry>,
    ) -> Result<Vec<HistoryEntry>, ComplianceError> {
        let anchored = self.board.anchored();
        let indexes = page
            .iter()
            .map(|entry| entry.index)
            .filter(|index| *index < anchored);
        let indexes: Vec<u64> = indexes.collect();
        let covering = self.log.events().checkpoints_covering(&indexes).await?;
        let with_transaction = |LogEntry { index, event }| HistoryEntry {
            index,
            event,
            tx_hash: covering.get(&index).map(|found| found.anchor.tx_hash),
        };
        Ok(page.into_iter().map(with_transaction).collect())
    }
}

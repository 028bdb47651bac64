//! The lines of the history with their transactions.

use std::collections::BTreeMap;

use dm_core::{
    ports::{ComplianceError, HistoryEntry, LogEntry},
    receipt::Anchor,
};

use super::ComplianceManager;

impl ComplianceManager {
    /// Adds to each entry of a page the transaction that anchored it, with one look-up for
    /// all of them.
    pub(super) async fn with_transactions(
        &self,
        page: Vec<LogEntry>,
    ) -> Result<Vec<HistoryEntry>, ComplianceError> {
        let indexes: Vec<u64> = page.iter().map(|entry| entry.index).collect();
        let anchors = self.anchors_of_events(&indexes).await?;
        let with_transaction = |LogEntry { index, event, .. }| HistoryEntry {
            index,
            event,
            tx_hash: anchors.get(&index).map(|anchor| anchor.tx_hash),
        };
        Ok(page.into_iter().map(with_transaction).collect())
    }

    /// The anchors of those of these events that have one.
    pub(super) async fn anchors_of_events(
        &self,
        indexes: &[u64],
    ) -> Result<BTreeMap<u64, Anchor>, ComplianceError> {
        let anchored = self.board.anchored();
        let indexes: Vec<u64> = indexes
            .iter()
            .copied()
            .filter(|index| *index < anchored)
            .collect();
        let covering = self.log.events().checkpoints_covering(&indexes).await?;
        Ok(covering
            .into_iter()
            .map(|(index, found)| (index, found.anchor))
            .collect())
    }
}

//! The local log's tree: fetches the stored nodes that [`NodePlan`] asks for.

use std::sync::Arc;

use dm_core::{
    B256,
    ports::{AnchorRequest, CatalogError, ComplianceError, EventLog},
    receipt::Checkpoint,
};

use crate::tree::{NodePlan, RightEdge};

/// Reads the tree of the local log; cheap to clone.
#[derive(Clone)]
pub(crate) struct LocalLog {
    events: Arc<dyn EventLog>,
}

impl LocalLog {
    /// The tree that this event log keeps.
    pub(crate) fn new(events: Arc<dyn EventLog>) -> Self {
        Self { events }
    }

    /// The events themselves and the checkpoints.
    pub(crate) fn events(&self) -> &dyn EventLog {
        &*self.events
    }

    /// What is needed to append.
    pub(crate) async fn right_edge(&self) -> Result<RightEdge, ComplianceError> {
        let size = self.events.event_count().await?;
        let peaks = self.events.tree_nodes(&RightEdge::positions(size)).await?;
        RightEdge::restore(size, peaks).ok_or_else(|| incomplete(size))
    }

    /// The checkpoint at a size that the log has reached; not 0.
    pub(crate) async fn checkpoint(&self, size: u64) -> Result<Checkpoint, ComplianceError> {
        let root = self.hashes(NodePlan::root(size), size).await?.pop();
        let root = root.ok_or_else(|| incomplete(size))?;
        Ok(Checkpoint { size, root })
    }

    /// The request that brings the contract from its present checkpoint to `size`.
    pub(crate) async fn anchor_request(
        &self,
        previous: Option<Checkpoint>,
        size: u64,
    ) -> Result<AnchorRequest, ComplianceError> {
        let proof = match previous {
            Some(previous) => NodePlan::consistency(previous.size, size),
            None => Some(NodePlan::default()),
        };
        let plan = proof
            .zip(NodePlan::root(size))
            .map(|(proof, root)| proof.and(root));
        let mut consistency_proof = self.hashes(plan, size).await?;
        let root = consistency_proof.pop().ok_or_else(|| incomplete(size))?;
        Ok(AnchorRequest {
            previous,
            next: Checkpoint { size, root },
            consistency_proof,
        })
    }

    /// The inclusion proof of an event in the checkpoint of this size.
    pub(crate) async fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<B256>, ComplianceError> {
        self.hashes(NodePlan::inclusion(index, size), size).await
    }

    async fn hashes(&self, plan: Option<NodePlan>, size: u64) -> Result<Vec<B256>, ComplianceError> {
        let plan = plan.ok_or_else(|| incomplete(size))?;
        let stored = self.events.tree_nodes(&plan.positions()).await?;
        plan.assemble(&stored).ok_or_else(|| incomplete(size))
    }
}

/// Size and root of the tree that an event log keeps; `None` where it is empty.
///
/// # Errors
/// Where the log cannot be read, or its tree is incomplete.
pub async fn log_head(events: Arc<dyn EventLog>) -> Result<Option<Checkpoint>, ComplianceError> {
    match events.event_count().await? {
        0 => Ok(None),
        size => LocalLog::new(events).checkpoint(size).await.map(Some),
    }
}

fn incomplete(size: u64) -> ComplianceError {
    CatalogError::Corrupt(format!("the tree of {size} events is incomplete")).into()
}

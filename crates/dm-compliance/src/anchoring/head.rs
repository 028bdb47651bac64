//! Comparing the contract's head with the local log.

use dm_core::{
    ports::{AnchorHead, AnchoredCheckpoint, ChainError},
    receipt::Checkpoint,
};

use super::{Anchorer, Head, Trouble};

impl Anchorer {
    /// Reads the contract's head and brings the local checkpoints in line with
    /// it: those that the chain does not have any more are forgotten, and one
    /// that was sent by an earlier life of this node is taken over. Returns the
    /// contract's newest checkpoint.
    pub(super) async fn compare_with_contract(&mut self) -> Result<Option<Checkpoint>, Trouble> {
        let deps = &self.deps;
        let head = deps.anchors.anchor_head(deps.account).await?;
        let checkpoint = match &head {
            Some(head) => Some(self.checkpoint_at(head).await?),
            None => None,
        };
        let size = checkpoint.map_or(0, |checkpoint| checkpoint.size);
        self.forget_checkpoints_above(size).await?;
        if let (Some(head), Some(checkpoint)) = (head, checkpoint) {
            self.take_over(&head, checkpoint).await?;
        }
        self.deps.board.reset_anchored(size);
        self.head = Head::Known(checkpoint);
        Ok(checkpoint)
    }

    /// The local checkpoint of the head's size, if the contract has the same.
    async fn checkpoint_at(&self, head: &AnchorHead) -> Result<Checkpoint, Trouble> {
        let deps = &self.deps;
        // Other instances may have recorded, and anchored, more than this one knows.
        deps.board.note_recorded(deps.log.events().event_count().await?);
        let recorded = deps.board.recorded();
        if head.size > recorded {
            return Err(Trouble::Forked(format!(
                "the chain has {} events of account {}, the local log {recorded}: the catalog was restored from an \
                 older backup, or another node uses this node account",
                head.size, deps.account,
            )));
        }
        let checkpoint = deps.log.checkpoint(head.size).await?;
        if !deps.anchors.is_anchored(deps.account, &checkpoint, head).await? {
            return Err(Trouble::Forked(format!(
                "the first {} events of account {} are others on the chain than in the local log: another node uses \
                 this node account, or went on from a copy of this node's catalog",
                head.size, deps.account,
            )));
        }
        Ok(checkpoint)
    }

    /// Forgets the checkpoints that are larger than the contract's newest: a
    /// reorganisation took them, or the chain began anew.
    async fn forget_checkpoints_above(&self, size: u64) -> Result<(), Trouble> {
        let (events, anchors) = (self.deps.log.events(), &self.deps.anchors);
        let mut began_anew = false;
        while let Some(last) = events
            .last_checkpoint()
            .await?
            .filter(|last| last.checkpoint.size > size)
        {
            // An endpoint that lags behind shows an old head, and no anchor above it.
            if !began_anew && !anchors.has_lost(&last.anchor).await? {
                return Err(unsettled());
            }
            // No reorganisation takes back what is final.
            began_anew |= last.is_final;
            events.remove_checkpoint(last.checkpoint.size).await?;
            self.deps.board.reset_anchored(size);
            tracing::warn!(size = last.checkpoint.size, tx = %last.anchor.tx_hash, "an anchor left the chain");
        }
        Ok(())
    }

    /// Keeps the head's checkpoint with its anchor, if it is not kept already.
    async fn take_over(&self, head: &AnchorHead, checkpoint: Checkpoint) -> Result<(), Trouble> {
        let events = self.deps.log.events();
        let last = events.last_checkpoint().await?;
        let is_kept = last.is_some_and(|last| {
            last.checkpoint == checkpoint
                && last.anchor.block == head.block
                && last.anchor.timestamp == head.timestamp
        });
        if is_kept {
            return Ok(());
        }
        let anchor = self.deps.anchors.anchor_of_head(self.deps.account, head).await?;
        let anchor = anchor.ok_or_else(unsettled)?;
        let anchored = AnchoredCheckpoint {
            checkpoint,
            anchor,
            is_final: false,
        };
        events.put_checkpoint(&anchored).await?;
        let first = last.map_or(0, |last| last.checkpoint.size);
        self.tell_traces(first..checkpoint.size).await;
        tracing::info!(size = checkpoint.size, tx = %anchor.tx_hash, "took over an anchor that was sent before");
        Ok(())
    }
}

/// Two answers of the chain do not fit together: it changes at the moment.
fn unsettled() -> Trouble {
    ChainError::Unavailable("its answers contradict each other".to_owned()).into()
}

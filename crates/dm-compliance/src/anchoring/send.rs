//! Sending one anchor and waiting for it.

use dm_core::{
    B256,
    ports::{AnchoredCheckpoint, ChainError},
    receipt::{Anchor, Checkpoint},
};
use tracing::Instrument;

use super::{Anchorer, Head, Trouble};

/// How often a transaction is waited for, each time as long as the chain's
/// adapter does, before its checkpoint is sent anew.
const WAITS: u32 = 3;

/// An anchor transaction that was sent and may still be mined.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlight {
    /// The contract's checkpoint that it continues.
    previous: Option<Checkpoint>,
    /// The checkpoint that it anchors.
    next: Checkpoint,
    tx_hash: B256,
    /// How often it was waited for.
    waits: u32,
}

impl Anchorer {
    /// Anchors what was recorded after the contract's checkpoint `previous`, at
    /// most one batch. A transaction that was sent for it before and may still
    /// be mined is waited for instead of sending another one.
    pub(super) async fn anchor_next(&mut self, previous: Option<Checkpoint>) -> Result<(), Trouble> {
        let in_flight = self.in_flight.take();
        let pending = in_flight.filter(|sent| sent.previous == previous && sent.waits < WAITS);
        let span = tracing::info_span!("anchor", size = tracing::field::Empty, tx = tracing::field::Empty);
        async {
            let sent = match pending {
                Some(sent) => sent,
                None => self.send(previous).await?,
            };
            tracing::Span::current()
                .record("size", sent.next.size)
                .record("tx", tracing::field::display(sent.tx_hash));
            match self.deps.anchors.wait_for_anchor(sent.tx_hash).await {
                Ok(anchor) => {
                    self.keep(sent.next, anchor).await?;
                    let first = previous.map_or(0, |previous| previous.size);
                    self.tell_traces(first..sent.next.size).await;
                    Ok(())
                }
                Err(error) => {
                    let is_over = matches!(error, ChainError::Reverted(_));
                    let waits = sent.waits + 1;
                    self.in_flight = (!is_over).then_some(InFlight { waits, ..sent });
                    Err(error.into())
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn send(&self, previous: Option<Checkpoint>) -> Result<InFlight, Trouble> {
        let deps = &self.deps;
        let batch = u64::try_from(deps.config.max_batch).unwrap_or(u64::MAX);
        let largest = previous
            .map_or(0, |checkpoint| checkpoint.size)
            .saturating_add(batch);
        let size = deps.board.recorded().min(largest);
        let request = deps.log.anchor_request(previous, size).await?;
        let tx_hash = deps.anchors.submit_anchor(&request).await?;
        Ok(InFlight {
            previous,
            next: request.next,
            tx_hash,
            waits: 0,
        })
    }

    async fn keep(&mut self, checkpoint: Checkpoint, anchor: Anchor) -> Result<(), Trouble> {
        let anchored = AnchoredCheckpoint {
            checkpoint,
            anchor,
            is_final: self.deps.config.confirmations == 0,
        };
        self.deps.log.events().put_checkpoint(&anchored).await?;
        self.head = Head::Known(Some(checkpoint));
        self.deps.board.set_anchored(anchored);
        tracing::debug!(block = anchor.block, "anchored");
        Ok(())
    }
}

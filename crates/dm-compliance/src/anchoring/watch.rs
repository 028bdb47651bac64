//! Watching anchors until a reorganisation is no longer expected.

use std::time::Duration;

use dm_core::ports::AnchoredCheckpoint;
use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::{Anchorer, Head, Trouble};

/// Pause between two looks at the newest anchor, be it final or not: a chain may
/// begin anew while nothing is recorded.
pub(super) const NEWEST_PAUSE: Duration = Duration::from_secs(60);
/// Anchors that are looked at together; the catalog commits what changed as a group.
const LOOKS_AT_ONCE: usize = 32;

/// What looking at an anchor showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    /// It stands where it stood, as far as can be seen.
    Stands,
    /// It left the chain, or stands in another block.
    Changed,
}

impl Anchorer {
    /// Looks at every checkpoint that is not final. Where one has changed, the
    /// contract's head is no longer known.
    pub(super) async fn look_at_open_checkpoints(&mut self) -> Result<(), Trouble> {
        let events = self.deps.log.events();
        let mut open = events.open_checkpoints().await?;
        if Instant::now() >= self.next_look_at_newest {
            self.next_look_at_newest = Instant::now() + NEWEST_PAUSE;
            let newest = events.last_checkpoint().await?;
            open.extend(newest.filter(|newest| newest.is_final));
        }
        let findings: Vec<_> = stream::iter(open)
            .map(|known| self.look_at(known))
            .buffer_unordered(LOOKS_AT_ONCE)
            .collect()
            .await;
        if findings
            .iter()
            .all(|finding| matches!(finding, Ok(Finding::Stands)))
        {
            return Ok(());
        }
        self.head = Head::Unknown;
        let last = self.deps.log.events().last_checkpoint().await?;
        self.deps
            .board
            .reset_anchored(last.map_or(0, |last| last.checkpoint.size));
        findings.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    }

    async fn look_at(&self, known: AnchoredCheckpoint) -> Result<Finding, Trouble> {
        let events = self.deps.log.events();
        let size = known.checkpoint.size;
        let anchors = &self.deps.anchors;
        let Some((anchor, confirmations)) = anchors.anchor(known.anchor.tx_hash).await? else {
            if !anchors.has_lost(&known.anchor).await? {
                return Ok(Finding::Stands);
            }
            tracing::warn!(size, tx = %known.anchor.tx_hash, "an anchor left the chain");
            events.remove_checkpoint(size).await?;
            return Ok(Finding::Changed);
        };
        let now = AnchoredCheckpoint {
            anchor,
            is_final: known.is_final || confirmations >= self.deps.config.confirmations,
            ..known
        };
        if now != known {
            events.put_checkpoint(&now).await?;
        }
        if now.anchor == known.anchor {
            return Ok(Finding::Stands);
        }
        tracing::warn!(size, tx = %anchor.tx_hash, block = anchor.block, "an anchor moved to another block");
        Ok(Finding::Changed)
    }
}

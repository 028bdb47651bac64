//! What many objects are to be told, a page at a time.

use std::collections::VecDeque;

use dm_core::{envelope::ObjectId, ports::StoreError};

use super::{PeerKey, peers::Turn, record::Record, round::Round};

/// Objects that are told something in one go.
const PAGE: usize = 256;

/// The sweeps that are under way, in turns.
#[derive(Default)]
pub(super) struct Sweeps {
    under_way: VecDeque<Sweep>,
    /// Whether a peer has appeared that may take what nobody else could.
    taker: bool,
    /// Before then, objects with too few copies are not offered to newcomers.
    offer_after: u64,
}

#[derive(Clone, Copy)]
struct Sweep {
    what: What,
    after: Option<ObjectId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// The objects that this peer holds are told what it is.
    Held(PeerKey, Turn),
    /// The objects with too few copies are told that a peer has appeared.
    Short,
}

impl Sweeps {
    /// Tells the objects of a peer; what they were being told of it is obsolete.
    pub(super) fn tell(&mut self, peer: PeerKey, turn: Turn) {
        self.under_way
            .retain(|sweep| !matches!(sweep.what, What::Held(other, _) if other == peer));
        self.begin(What::Held(peer, turn));
    }

    /// A peer has appeared.
    pub(super) fn offer(&mut self) {
        self.taker = true;
    }

    pub(super) fn next_due(&self, now: u64) -> Option<u64> {
        let sweep = (!self.under_way.is_empty()).then_some(now);
        let offer = self.taker.then_some(self.offer_after);
        sweep.into_iter().chain(offer).min()
    }

    fn begin(&mut self, what: What) {
        self.under_way.push_back(Sweep { what, after: None });
    }
}

impl Round<'_> {
    /// Goes one page on with one sweep.
    pub(super) async fn sweep(&mut self) -> Result<(), StoreError> {
        let sweeps = &mut self.plan.sweeps;
        if sweeps.taker && self.now >= sweeps.offer_after {
            sweeps.taker = false;
            sweeps.offer_after = self.now + self.plan.config.first_pause;
            sweeps.under_way.retain(|sweep| sweep.what != What::Short);
            sweeps.begin(What::Short);
        }
        let Some(sweep) = self.plan.sweeps.under_way.front().copied() else {
            return Ok(());
        };
        let page = match sweep.what {
            What::Held(peer, _) => self.plan.index.held_by(peer, sweep.after.as_ref(), PAGE).await?,
            What::Short => self.plan.index.short(sweep.after.as_ref(), PAGE).await?,
        };
        for object in &page {
            if let Some(mut record) = self.plan.index.get(object).await? {
                self.hear(object, &mut record, sweep.what);
                self.plan.decide(object, record, self.now);
            }
        }
        // Nothing was awaited that failed: the page is not told twice.
        self.plan.sweeps.under_way.pop_front();
        match page.last() {
            Some(last) if page.len() == PAGE => self.plan.sweeps.under_way.push_back(Sweep {
                after: Some(*last),
                ..sweep
            }),
            _ => {
                if let What::Held(peer, turn) = sweep.what {
                    self.plan.peers.note_told(peer, turn);
                }
            }
        }
        Ok(())
    }

    fn hear(&self, object: &ObjectId, record: &mut Record, what: What) {
        match what {
            What::Held(peer, Turn::Gone) => record.holders.retain(|holder| holder.peer != peer),
            What::Held(peer, turn @ (Turn::Back | Turn::Doubted)) => {
                record.retry_at = 0;
                if let Some(holder) = record.holder(peer)
                    && (holder.silent || turn == Turn::Doubted)
                {
                    holder.next_challenge = self.now + self.plan.config.spread(object, peer);
                }
            }
            What::Held(_, Turn::Away) => {}
            What::Short => record.retry_at = 0,
        }
    }
}

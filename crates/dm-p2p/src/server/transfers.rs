//! Objects that are being received, and what is kept of those whose sender was cut off:
//! the next offer of the same object goes on with it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dm_core::envelope::{ObjectId, SignedEnvelope};
use libp2p::PeerId;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::room::Reservation;
use crate::peers::Merit;

/// Unfinished objects that are kept in all; the store keeps as many again of what this
/// node fetches itself.
const MAX_KEPT: usize = 8;
/// Of one peer.
const MAX_OF_PEER: usize = 2;
/// How long one is kept after something last came of it.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// How long an offer waits for an earlier one of the same peer to end.
const ENDING: Duration = Duration::from_secs(2);

/// Objects that are on their way, or have come in part. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Transfers {
    by_object: Arc<Mutex<HashMap<Key, Transfer>>>,
}

/// Object and chunk list.
type Key = (ObjectId, [u8; 32]);

enum Transfer {
    Running {
        peer: PeerId,
        displaced: CancellationToken,
        ended: CancellationToken,
        /// What is kept from before, until something else is.
        before: Option<Kept>,
    },
    Kept(Kept),
}

/// What has come of an object.
struct Kept {
    peer: PeerId,
    merit: Merit,
    since: Instant,
    envelope: SignedEnvelope,
    /// The room for the whole object. It counts for the peer that began to send it.
    room: Option<Reservation>,
}

/// An object that a peer is sending, until this is dropped.
pub(super) struct Running {
    transfers: Transfers,
    key: Key,
    peer: PeerId,
    displaced: CancellationToken,
    ended: CancellationToken,
}

impl Transfers {
    /// The peer begins to send an object, or goes on with it; `None` where another peer
    /// sends it at the moment.
    pub(super) async fn begin(&self, peer: PeerId, envelope: &SignedEnvelope) -> Option<Running> {
        let key = (envelope.id, envelope.chunk_list);
        let earlier = match self.lock().get(&key) {
            Some(Transfer::Running { peer: other, .. }) if *other != peer => return None,
            Some(Transfer::Running { displaced, ended, .. }) => Some((displaced.clone(), ended.clone())),
            _ => None,
        };
        if let Some((displaced, ended)) = earlier {
            // The peer has begun anew: what was left of its connection is dead.
            displaced.cancel();
            let _ = tokio::time::timeout(ENDING, ended.cancelled()).await;
        }
        let mut transfers = self.lock();
        let before = match transfers.remove(&key) {
            None => None,
            Some(Transfer::Kept(mut kept)) => {
                if kept.peer == peer {
                    // It is about to be set aside anew.
                    drop(kept.room.take());
                }
                Some(kept)
            }
            Some(running) => {
                transfers.insert(key, running);
                return None;
            }
        };
        let (displaced, ended) = (CancellationToken::new(), CancellationToken::new());
        let running = Transfer::Running {
            peer,
            displaced: displaced.clone(),
            ended: ended.clone(),
            before,
        };
        transfers.insert(key, running);
        drop(transfers);
        Some(Running {
            transfers: self.clone(),
            key,
            peer,
            displaced,
            ended,
        })
    }

    /// Removes what has been kept for too long; the envelopes of it.
    pub(super) fn take_outdated(&self, now: Instant) -> Vec<SignedEnvelope> {
        self.take(|kept| now.duration_since(kept.since) >= KEPT_FOR)
    }

    /// Removes what is too much: first what peers of the least merit have sent, and the
    /// oldest of it.
    fn take_surplus(&self, peer: PeerId) -> Vec<SignedEnvelope> {
        let mut taken = Vec::new();
        while let Some(oldest) = self.surplus(peer) {
            taken.extend(
                self.take(|kept| kept.envelope.id == oldest.0 && kept.envelope.chunk_list == oldest.1),
            );
        }
        taken
    }

    /// What goes first where too much is kept in all, or of the peer.
    fn surplus(&self, peer: PeerId) -> Option<Key> {
        let transfers = self.lock();
        let kept: Vec<_> = transfers
            .iter()
            .filter_map(|(key, transfer)| match transfer {
                Transfer::Kept(kept) => Some((key, kept)),
                Transfer::Running { .. } => None,
            })
            .collect();
        let of_peer = || kept.iter().filter(|(_, kept)| kept.peer == peer);
        let oldest = if of_peer().count() > MAX_OF_PEER {
            of_peer().min_by_key(|(_, kept)| kept.since)
        } else if kept.len() > MAX_KEPT {
            kept.iter().min_by_key(|(_, kept)| (kept.merit, kept.since))
        } else {
            None
        };
        oldest.map(|(key, _)| **key)
    }

    fn take(&self, is_taken: impl Fn(&Kept) -> bool) -> Vec<SignedEnvelope> {
        let mut transfers = self.lock();
        let taken =
            transfers.extract_if(|_, transfer| matches!(transfer, Transfer::Kept(kept) if is_taken(kept)));
        taken
            .filter_map(|(_, transfer)| match transfer {
                Transfer::Kept(kept) => Some(kept.envelope),
                Transfer::Running { .. } => None,
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Transfer>> {
        self.by_object.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Resolves when the peer has begun to send the object anew.
    pub(super) fn displaced(&self) -> WaitForCancellationFuture<'_> {
        self.displaced.cancelled()
    }

    /// Whether a part is kept that another peer has sent.
    pub(super) fn is_of_another(&self) -> bool {
        match self.transfers.lock().get(&self.key) {
            Some(Transfer::Running { before, .. }) => {
                before.as_ref().is_some_and(|before| before.peer != self.peer)
            }
            _ => false,
        }
    }

    /// Whether a part is kept from before.
    pub(super) fn goes_on(&self) -> bool {
        matches!(
            self.transfers.lock().get(&self.key),
            Some(Transfer::Running { before: Some(_), .. })
        )
    }

    /// What has come is kept, with the room that was set aside; what is to be deleted for
    /// it is returned.
    pub(super) fn keep(
        self,
        merit: Merit,
        envelope: SignedEnvelope,
        room: Option<Reservation>,
    ) -> Vec<SignedEnvelope> {
        let kept = Kept {
            peer: self.peer,
            merit,
            since: Instant::now(),
            envelope,
            room,
        };
        self.transfers.lock().insert(self.key, Transfer::Kept(kept));
        let (transfers, peer) = (self.transfers.clone(), self.peer);
        drop(self);
        transfers.take_surplus(peer)
    }

    /// Nothing of the object is kept any more: it is complete, or worth nothing.
    pub(super) fn forget(self) {
        self.transfers.lock().remove(&self.key);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut transfers = self.transfers.lock();
        let left = match transfers.remove(&self.key) {
            Some(Transfer::Running { before, .. }) => before.map(Transfer::Kept),
            left => left,
        };
        if let Some(left) = left {
            transfers.insert(self.key, left);
        }
        drop(transfers);
        self.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use dm_testing::objects::SampleObject;

    use super::*;

    fn envelope(seed: u64) -> SignedEnvelope {
        SampleObject::new(1, seed, 100).envelope
    }

    async fn keep(transfers: &Transfers, peer: PeerId, merit: Merit, seed: u64) -> Vec<SignedEnvelope> {
        let envelope = envelope(seed);
        let running = transfers.begin(peer, &envelope).await.unwrap();
        running.keep(merit, envelope, None)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_bounded_for_each_peer_and_in_all_and_the_least_merit_goes_first() {
        let (transfers, greedy) = (Transfers::default(), PeerId::random());
        for seed in 0..MAX_OF_PEER as u64 {
            assert!(keep(&transfers, greedy, Merit::Useful, seed).await.is_empty());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let gone = keep(&transfers, greedy, Merit::Useful, 9).await;
        assert_eq!(gone, [envelope(0)]);
        for seed in 10..10 + (MAX_KEPT - MAX_OF_PEER) as u64 {
            assert!(
                keep(&transfers, PeerId::random(), Merit::Unproven, seed)
                    .await
                    .is_empty()
            );
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let gone = keep(&transfers, PeerId::random(), Merit::Unproven, 99).await;
        assert_eq!(gone, [envelope(10)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_ends() {
        let transfers = Transfers::default();
        keep(&transfers, PeerId::random(), Merit::Useful, 1).await;
        assert!(transfers.take_outdated(Instant::now()).is_empty());
        tokio::time::advance(KEPT_FOR).await;
        assert_eq!(transfers.take_outdated(Instant::now()), [envelope(1)]);
        assert!(transfers.lock().is_empty());
    }

    #[tokio::test]
    async fn a_peer_that_begins_anew_ends_what_is_left_of_its_last_attempt() {
        let (transfers, peer) = (Transfers::default(), PeerId::random());
        let first = transfers.begin(peer, &envelope(1)).await.unwrap();
        assert!(transfers.begin(PeerId::random(), &envelope(1)).await.is_none());
        let ending = tokio::spawn(async move {
            first.displaced().await;
            first.keep(Merit::Useful, envelope(1), None)
        });
        let second = transfers.begin(peer, &envelope(1)).await.unwrap();
        assert!(ending.await.unwrap().is_empty());
        assert!(!second.is_of_another());
        second.forget();
        assert!(transfers.lock().is_empty());
    }

    #[tokio::test]
    async fn what_one_peer_has_sent_is_not_lost_by_another() {
        let (transfers, honest, hostile) = (Transfers::default(), PeerId::random(), PeerId::random());
        keep(&transfers, honest, Merit::Useful, 1).await;
        let running = transfers.begin(hostile, &envelope(1)).await.unwrap();
        assert!(running.is_of_another());
        drop(running);
        assert!(
            matches!(transfers.lock().values().next(), Some(Transfer::Kept(kept)) if kept.peer == honest)
        );
    }
}

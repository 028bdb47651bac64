use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libp2p::PeerId;
use tokio::time::Instant;

use crate::wire::WireError;

/// A transfer on which nothing has moved for this long is not counted on any more.
const STALLED: Duration = Duration::from_secs(5);

/// Which peers are taking an object that is offered to several.
pub(super) struct Takers {
    state: Mutex<TakersState>,
}

struct TakersState {
    /// Copies that are still wanted.
    missing: usize,
    /// When something last moved to each peer that takes one.
    moved: HashMap<PeerId, Instant>,
    /// Whether any peer has begun to take one.
    was_sent: bool,
}

impl Takers {
    pub(super) fn new(missing: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(TakersState {
                missing,
                moved: HashMap::new(),
                was_sent: false,
            }),
        })
    }

    /// How many copies are still wanted.
    pub(super) fn set_missing(&self, missing: usize) {
        self.lock().missing = missing;
    }

    /// Until when a copy is to be expected, if the peer is taking one.
    pub(super) fn promising_until(&self, peer: &PeerId) -> Option<Instant> {
        self.lock().moved.get(peer).map(|moved| *moved + STALLED)
    }

    /// The peer wants the object: it gets it, unless enough others are taking it.
    pub(super) fn begin(&self, peer: PeerId) -> Result<(), WireError> {
        let (mut state, now) = (self.lock(), Instant::now());
        let others = state
            .moved
            .iter()
            .filter(|(other, moved)| **other != peer && now < **moved + STALLED);
        if others.count() >= state.missing {
            return Err(WireError::Unneeded);
        }
        state.moved.insert(peer, now);
        state.was_sent = true;
        Ok(())
    }

    /// Whether any peer has begun to take a copy.
    pub(super) fn was_sent_any(&self) -> bool {
        self.lock().was_sent
    }

    pub(super) fn moved(&self, peer: PeerId) {
        self.lock().moved.insert(peer, Instant::now());
    }

    /// The peer takes nothing any more; whether it did.
    pub(super) fn ended(&self, peer: &PeerId) -> bool {
        self.lock().moved.remove(peer).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, TakersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_peers_take_an_object_than_copies_are_missing() {
        let takers = Takers::new(2);
        let peers: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
        assert!(!takers.was_sent_any());
        assert!(takers.begin(peers[0]).is_ok() && takers.begin(peers[1]).is_ok());
        assert!(takers.was_sent_any());
        assert!(takers.begin(peers[2]).is_err());
        assert!(takers.begin(peers[0]).is_ok(), "it goes on");
        assert!(takers.ended(&peers[0]) && !takers.ended(&peers[0]));
        takers.set_missing(1);
        assert!(takers.begin(peers[2]).is_err());
        // One on which nothing moves is not counted on.
        tokio::time::advance(STALLED).await;
        assert!(takers.begin(peers[2]).is_ok() && takers.begin(peers[3]).is_err());
        takers.set_missing(0);
        assert!(takers.begin(peers[1]).is_err());
    }
}

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::PeerId;

/// Counts what this node is asking each peer at the moment. A peer cannot
/// raise the count by itself.
#[derive(Clone, Default)]
pub(crate) struct AskedPeers {
    counts: Arc<Mutex<HashMap<PeerId, usize>>>,
}

/// This node is asking the peer something, until this is dropped.
pub(crate) struct Asking {
    asked: AskedPeers,
    peer: PeerId,
}

impl AskedPeers {
    /// This node asks the peer something for as long as the answer is kept.
    pub(crate) fn begin(&self, peer: PeerId) -> Asking {
        *self.lock().entry(peer).or_default() += 1;
        Asking {
            asked: self.clone(),
            peer,
        }
    }

    /// Whether this node is asking the peer something.
    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.lock().contains_key(peer)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut counts = self.asked.lock();
        if let Some(count) = counts.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_asked_until_the_last_question_has_ended() {
        let (asked, peer) = (AskedPeers::default(), PeerId::random());
        let (first, second) = (asked.begin(peer), asked.begin(peer));
        drop(first);
        assert!(asked.contains(&peer));
        drop(second);
        assert!(!asked.contains(&peer));
    }
}

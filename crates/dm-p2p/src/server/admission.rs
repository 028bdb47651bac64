use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::PeerId;

/// Streams that one peer may have open.
const MAX_OF_PEER: usize = 16;
/// Streams that all peers together may have open.
const MAX_IN_ALL: usize = 512;

/// Counts open streams.
#[derive(Clone, Default)]
pub(super) struct Admission {
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    in_all: usize,
    of_peer: HashMap<PeerId, usize>,
}

/// Holds a place until it is dropped.
pub(super) struct Admitted {
    admission: Admission,
    peer: PeerId,
}

impl Admission {
    /// A place for one more stream of the peer, if there is one.
    pub(super) fn admit(&self, peer: PeerId) -> Option<Admitted> {
        let mut open = self.lock();
        let of_peer = open.of_peer.get(&peer).copied().unwrap_or(0);
        if open.in_all >= MAX_IN_ALL || of_peer >= MAX_OF_PEER {
            return None;
        }
        open.in_all += 1;
        open.of_peer.insert(peer, of_peer + 1);
        drop(open);
        Some(Admitted {
            admission: self.clone(),
            peer,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.lock();
        open.in_all -= 1;
        if let Some(count) = open.of_peer.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.of_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_a_bounded_number_of_streams_and_gets_them_back() {
        let admission = Admission::default();
        let peer = PeerId::random();
        let held: Vec<_> = std::iter::from_fn(|| admission.admit(peer)).collect();
        assert_eq!(held.len(), MAX_OF_PEER);
        assert!(admission.admit(PeerId::random()).is_some());
        drop(held);
        assert!(admission.admit(peer).is_some());
        assert_eq!(admission.lock().in_all, 0);
        assert!(admission.lock().of_peer.is_empty());
    }

    #[test]
    fn all_peers_together_have_a_bounded_number_of_streams() {
        let admission = Admission::default();
        let held: Vec<_> = std::iter::from_fn(|| admission.admit(PeerId::random())).collect();
        assert_eq!(held.len(), MAX_IN_ALL);
    }
}

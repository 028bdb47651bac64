use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use libp2p::PeerId;
use rand::seq::IteratorRandom;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::peers::Merit;

/// Streams that one peer may have open, those of notices included.
const MAX_OF_PEER: usize = 24;
/// Streams that all peers together may have open.
const MAX_IN_ALL: usize = 512;
/// Streams of these that peers may have which are not useful.
const MAX_OF_OTHERS: usize = 384;

/// Counts open streams. Where they are too many, one that waits for its next
/// request is closed for the new one.
#[derive(Clone, Default)]
pub(super) struct Admission {
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    last_id: u64,
    streams: HashMap<u64, OpenStream>,
}

struct OpenStream {
    peer: PeerId,
    merit: Merit,
    /// Whether it waits for a request.
    idle: bool,
    displaced: CancellationToken,
}

/// Holds a place until it is dropped, or another stream gets it.
pub(super) struct Admitted {
    admission: Admission,
    id: u64,
    displaced: CancellationToken,
}

/// The stream waits for a request, until this is dropped.
pub(super) struct Idle<'a>(&'a Admitted);

impl Admission {
    /// A place for one more stream of the peer, if there is one.
    pub(super) fn admit(&self, peer: PeerId, merit: Merit) -> Option<Admitted> {
        let mut open = self.lock();
        if open.count(|stream| stream.peer == peer) >= MAX_OF_PEER {
            return None;
        }
        let of_others = open.count(|stream| stream.merit < Merit::Useful);
        if open.streams.len() >= MAX_IN_ALL || (merit < Merit::Useful && of_others >= MAX_OF_OTHERS) {
            open.displace_idle(merit)?;
        }
        open.last_id += 1;
        let (id, displaced) = (open.last_id, CancellationToken::new());
        let stream = OpenStream {
            peer,
            merit,
            idle: false,
            displaced: displaced.clone(),
        };
        open.streams.insert(id, stream);
        drop(open);
        Some(Admitted {
            admission: self.clone(),
            id,
            displaced,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn count(&self, counts: impl Fn(&OpenStream) -> bool) -> usize {
        self.streams.values().filter(|stream| counts(stream)).count()
    }

    /// Frees the place of an idle stream of the least merit, which is not more
    /// than the newcomer's. It is chosen by lot: whoever opens many streams
    /// loses most.
    fn displace_idle(&mut self, newcomer: Merit) -> Option<()> {
        let idle = |stream: &OpenStream| stream.idle && stream.merit <= newcomer;
        let of_idle = self.streams.values().filter(|stream| idle(stream));
        let least = of_idle.map(|stream| stream.merit).min()?;
        let ids = self.streams.iter();
        let candidates = ids.filter(|(_, stream)| idle(stream) && stream.merit == least);
        let chosen = candidates.map(|(id, _)| *id).choose(&mut rand::rng())?;
        self.streams.remove(&chosen)?.displaced.cancel();
        Some(())
    }

    fn set_idle(&mut self, id: u64, idle: bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.idle = idle;
        }
    }
}

impl Admitted {
    /// From here on another stream may get the place.
    pub(super) fn idle(&self) -> Idle<'_> {
        self.admission.lock().set_idle(self.id, true);
        Idle(self)
    }
}

impl Idle<'_> {
    /// Resolves when another stream has the place.
    pub(super) fn displaced(&self) -> WaitForCancellationFuture<'_> {
        self.0.displaced.cancelled()
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.admission.lock().set_idle(self.0.id, false);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.lock().streams.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many streams of different peers as there is room for.
    fn fill(admission: &Admission, merit: Merit) -> Vec<Admitted> {
        std::iter::from_fn(|| admission.admit(PeerId::random(), merit)).collect()
    }

    #[test]
    fn a_peer_has_a_bounded_number_of_streams_and_gets_them_back() {
        let admission = Admission::default();
        let peer = PeerId::random();
        let held: Vec<_> = std::iter::from_fn(|| admission.admit(peer, Merit::Useful)).collect();
        assert_eq!(held.len(), MAX_OF_PEER);
        assert!(admission.admit(PeerId::random(), Merit::Unproven).is_some());
        drop(held);
        assert!(admission.admit(peer, Merit::Useful).is_some());
        assert!(admission.lock().streams.is_empty());
    }

    #[test]
    fn all_peers_together_have_a_bounded_number_of_streams_and_useful_ones_keep_a_part() {
        let admission = Admission::default();
        let others = fill(&admission, Merit::Unproven);
        assert_eq!(others.len(), MAX_OF_OTHERS);
        let useful = fill(&admission, Merit::Useful);
        assert_eq!(useful.len(), MAX_IN_ALL - MAX_OF_OTHERS);
    }

    #[test]
    fn a_stream_that_waits_for_its_next_request_makes_room() {
        let admission = Admission::default();
        let held = fill(&admission, Merit::Unproven);
        let idle = held[0].idle();
        assert!(!idle.0.displaced.is_cancelled());
        let newcomer = admission.admit(PeerId::random(), Merit::Unproven);
        assert!(newcomer.is_some() && idle.0.displaced.is_cancelled());
        assert!(admission.admit(PeerId::random(), Merit::Unproven).is_none());
    }

    #[test]
    fn streams_of_useful_peers_make_no_room_for_others() {
        let admission = Admission::default();
        let useful = fill(&admission, Merit::Useful);
        let _idle: Vec<_> = useful.iter().map(Admitted::idle).collect();
        assert!(admission.admit(PeerId::random(), Merit::Steady).is_none());
        assert!(admission.admit(PeerId::random(), Merit::Useful).is_some());
    }
}

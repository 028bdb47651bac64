use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// How much the newest answer counts against those before.
const WEIGHT: f64 = 0.3;
/// So many times its usual time may pass before a peer counts as slow to answer.
const PATIENCE: u32 = 4;
/// The bounds of this time.
const LEAST: Duration = Duration::from_millis(300);
const MOST: Duration = Duration::from_secs(3);
/// For peers that have not answered yet.
const UNKNOWN: Duration = Duration::from_secs(1);
/// Peers that are remembered; the longest unheard is forgotten.
const MAX_PEERS: usize = 1024;

/// How long peers usually take to answer an offer.
#[derive(Default)]
pub(crate) struct AnswerTimes {
    usual: Mutex<HashMap<PeerId, Usual>>,
}

struct Usual {
    time: Duration,
    heard: Instant,
}

impl AnswerTimes {
    /// The peer has answered after this time.
    pub(crate) fn note(&self, peer: PeerId, took: Duration) {
        let (mut usual, now) = (self.lock(), Instant::now());
        if usual.len() >= MAX_PEERS && !usual.contains_key(&peer) {
            let oldest = usual.iter().min_by_key(|(_, usual)| usual.heard);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                usual.remove(&oldest);
            }
        }
        let entry = usual.entry(peer).or_insert(Usual {
            time: took,
            heard: now,
        });
        entry.time = entry.time.mul_f64(1.0 - WEIGHT) + took.mul_f64(WEIGHT);
        entry.heard = now;
    }

    /// How long an answer of the peer is waited for before another one is asked as well.
    pub(crate) fn patience(&self, peer: &PeerId) -> Duration {
        let usual = self.lock();
        usual
            .get(peer)
            .map_or(UNKNOWN, |usual| (usual.time * PATIENCE).clamp(LEAST, MOST))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Usual>> {
        self.usual.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patience_with_a_peer_follows_its_usual_time_within_bounds() {
        let (times, peer) = (AnswerTimes::default(), PeerId::random());
        assert_eq!(times.patience(&peer), UNKNOWN);
        times.note(peer, Duration::from_millis(1));
        assert_eq!(times.patience(&peer), LEAST);
        for _ in 0..50 {
            times.note(peer, Duration::from_millis(500));
        }
        let patience = times.patience(&peer);
        assert!(patience > Duration::from_millis(1900) && patience <= Duration::from_secs(2));
        times.note(peer, Duration::from_secs(1000));
        assert_eq!(times.patience(&peer), MOST);
    }

    #[test]
    fn the_number_of_remembered_peers_is_bounded() {
        let times = AnswerTimes::default();
        for _ in 0..MAX_PEERS + 10 {
            times.note(PeerId::random(), LEAST);
        }
        assert_eq!(times.lock().len(), MAX_PEERS);
    }
}

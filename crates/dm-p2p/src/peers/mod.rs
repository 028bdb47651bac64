//! What this node knows of its peers.

mod answer_times;
mod asked;
mod book;
mod merit;
mod penalties;
mod persistence;
mod rate_limiter;
mod shared_book;
mod stalls;

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dm_core::{
    bus::EventBus,
    clock::now_ms,
    config::NetworkConfig,
    news::{News, PeerNews},
    peer::{PeerRecord, PeerStanding, PeerStatus},
};
use libp2p::{Multiaddr, PeerId};

use answer_times::AnswerTimes;
use asked::AskedPeers;
pub(crate) use asked::Asking;
use book::PeerBookConfig;
pub(crate) use book::{Changes, Check, PeerBook, is_steady};
use merit::UsefulPeers;
pub(crate) use merit::{Merit, Prospect};
use penalties::{Offence, Penalties};
pub(crate) use persistence::persist_peer_book;
pub(crate) use rate_limiter::RateDecision;
use rate_limiter::RateLimiter;
use shared_book::SharedBook;
use stalls::Stalls;

use crate::wire::{Hint, MAX_HINTS};

/// The peer book and the penalties, shared by everything that meets peers;
/// tells the event bus what changes.
pub(crate) struct Peers {
    pub(crate) book: SharedBook,
    penalties: Mutex<Penalties>,
    stalls: Mutex<Stalls>,
    rate_limiter: Mutex<RateLimiter>,
    useful: Mutex<UsefulPeers>,
    pub(crate) asked: AskedPeers,
    pub(crate) answer_times: AnswerTimes,
    /// Peers that were banned since the event loop last asked.
    banned: Mutex<Vec<PeerId>>,
    /// How often something was of a version that this node does not know.
    not_understood: AtomicU64,
    config: PeerBookConfig,
    bus: EventBus,
}

impl Peers {
    /// `configured`: peers that the configuration names.
    pub(crate) fn new(
        records: Vec<PeerRecord>,
        configured: HashSet<PeerId>,
        network: &NetworkConfig,
        bus: EventBus,
    ) -> Self {
        let config = PeerBookConfig {
            check_interval: network.health_check_interval_secs.saturating_mul(1000),
            forget_after: network.forget_peers_after_secs.saturating_mul(1000),
        };
        let rate_limiter = RateLimiter::new(network.peer_requests_per_sec, network.peer_requests_burst);
        Self {
            book: SharedBook::new(records),
            penalties: Mutex::new(Penalties::new(Duration::from_secs(network.ban_secs))),
            stalls: Mutex::default(),
            rate_limiter: Mutex::new(rate_limiter),
            useful: Mutex::new(UsefulPeers::new(configured)),
            asked: AskedPeers::default(),
            answer_times: AnswerTimes::default(),
            banned: Mutex::default(),
            not_understood: AtomicU64::default(),
            config,
            bus,
        }
    }

    /// A first connection with the peer stands; `address` where this node dialled it.
    pub(crate) fn connected(&self, peer: PeerId, address: Option<&Multiaddr>) {
        self.book.lock().connected(peer, address, now_ms());
        self.bus.publish(News::PeerConnected {
            peer_id: peer.to_base58(),
        });
    }

    /// The last connection with the peer is gone.
    pub(crate) fn disconnected(&self, peer: PeerId) {
        self.book.lock().disconnected(&peer, now_ms());
        self.bus.publish(News::PeerDisconnected {
            peer_id: peer.to_base58(),
        });
    }

    /// An exchange went well.
    pub(crate) fn succeeded(&self, peer: PeerId) {
        self.book.lock().succeeded(peer, now_ms());
    }

    /// An exchange failed.
    pub(crate) fn failed(&self, peer: PeerId) {
        self.book.lock().failed(peer, now_ms());
    }

    /// The peer has proven to hold an object that is stored here, has delivered
    /// what it was asked for, or is the node of somebody who was looked up.
    pub(crate) fn was_useful(&self, peer: PeerId) {
        lock(&self.useful).insert(peer, Instant::now());
    }

    /// What the peer has shown so far.
    pub(crate) fn merit(&self, peer: &PeerId) -> Merit {
        if lock(&self.useful).contains(peer, Instant::now()) {
            Merit::Useful
        } else if self.book.lock().is_steady(peer) && self.standing(peer).score == 0 {
            Merit::Steady
        } else {
            Merit::Unproven
        }
    }

    /// How likely the peer is to take an object.
    pub(crate) fn prospect(&self, peer: &PeerId) -> Prospect {
        let (is_failing, has_place) = {
            let book = self.book.lock();
            (book.is_failing(peer), book.has_address(peer))
        };
        match self.merit(peer) {
            _ if is_failing => Prospect::Doubtful,
            Merit::Useful | Merit::Steady => Prospect::Proven,
            Merit::Unproven if has_place => Prospect::New,
            Merit::Unproven => Prospect::Fleeting,
        }
    }

    /// The peer did not finish what it had begun: it counts as useful when it next is.
    pub(crate) fn broke_off(&self, peer: PeerId) {
        lock(&self.useful).remove(&peer);
    }

    /// Counts a request of a peer, and scores it where it floods this node.
    pub(crate) fn count_request(&self, peer: PeerId) -> RateDecision {
        let turn = lock(&self.rate_limiter).count(peer, Instant::now());
        if turn == RateDecision::Flood {
            self.misbehaved(peer, "a flood of requests");
        }
        turn
    }

    /// Bytes were read, hashed or sent for a request of the peer, or on its way.
    pub(crate) fn count_bytes(&self, peer: PeerId, bytes: u64) {
        lock(&self.rate_limiter).count_bytes(peer, bytes, Instant::now());
    }

    /// The peer did what no honest peer does.
    pub(crate) fn misbehaved(&self, peer: PeerId, what: &str) {
        tracing::warn!(%peer, what, "peer misbehaved");
        lock(&self.useful).remove(&peer);
        self.score(peer, Offence::Breach, what);
    }

    /// The peer did what an honest one does by accident at most.
    pub(crate) fn disturbed(&self, peer: PeerId, what: &str) {
        tracing::debug!(%peer, what, "peer disturbed");
        self.score(peer, Offence::Nuisance, what);
    }

    /// The peer sent something of a later version than this node knows. That is no
    /// fault: it is counted and not scored.
    pub(crate) fn not_understood(&self, peer: PeerId, what: &str) {
        tracing::debug!(%peer, what, "a peer sent what this version does not understand");
        self.not_understood.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a peer sent something of a later version.
    pub(crate) fn count_not_understood(&self) -> u64 {
        self.not_understood.load(Ordering::Relaxed)
    }

    /// For so long, nothing moved on a stream with the peer: its doing where
    /// it answered something else in the meantime, else perhaps the network's.
    /// Streams that stall at the same time count once.
    pub(crate) fn stalled(&self, peer: PeerId, timeout: Duration) {
        let now = Instant::now();
        if !lock(&self.stalls).is_new(peer, timeout, now) {
            return;
        }
        self.failed(peer);
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let since = now_ms().saturating_sub(timeout);
        if self.book.lock().has_answered_since(&peer, since) {
            let what = "a stalled stream";
            tracing::debug!(%peer, what, "peer disturbed");
            if self.penalties().stall(peer, what, now) {
                self.ban(peer, what);
            }
        }
    }

    fn score(&self, peer: PeerId, offence: Offence, what: &str) {
        self.failed(peer);
        let newly_banned = self.penalties().score(peer, offence, what, Instant::now());
        if newly_banned {
            self.ban(peer, what);
        }
    }

    fn ban(&self, peer: PeerId, what: &str) {
        tracing::warn!(%peer, what, "the peer is ignored for some time");
        lock(&self.banned).push(peer);
        self.book.lock().mark_unhealthy(&peer);
        self.bus.publish(News::PeerHealth(PeerNews {
            peer_id: peer.to_base58(),
            healthy: false,
            banned_until: self.standing(&peer).banned_until,
            reason: Some(what.to_owned()),
        }));
    }

    fn standing(&self, peer: &PeerId) -> PeerStanding {
        let Some(standing) = self.penalties().standing(peer, Instant::now()) else {
            return PeerStanding::default();
        };
        let until = |left: Duration| now_ms().saturating_add(left.as_millis() as u64);
        PeerStanding {
            score: standing.points,
            last_offence: Some(standing.last_offence),
            banned_until: standing.banned_for.map(until),
        }
    }

    /// Peers that were banned since the last call: their connections are to be closed.
    pub(crate) fn take_banned(&self) -> Vec<PeerId> {
        std::mem::take(&mut *lock(&self.banned))
    }

    /// Whether nothing is asked of the peer and nothing is served to it for now.
    pub(crate) fn is_banned(&self, peer: &PeerId) -> bool {
        self.penalties().is_banned(peer, Instant::now())
    }

    pub(crate) fn statuses(&self) -> Vec<PeerStatus> {
        let mut statuses = self.book.lock().statuses(now_ms());
        for (peer, status) in &mut statuses {
            status.standing = self.standing(peer);
            status.healthy &= status.standing.banned_until.is_none();
        }
        statuses.into_iter().map(|(_, status)| status).collect()
    }

    /// The checks that are due, with at most `dials` dials. Publishes the peers
    /// whose health has changed.
    pub(crate) fn due_checks(&self, dials: usize) -> Vec<Check> {
        let now = now_ms();
        let (checks, turned) = {
            let mut book = self.book.lock();
            let checks = book.due_checks(&self.config, dials, now);
            (checks, book.take_health_changes(now, |peer| self.is_banned(peer)))
        };
        for (peer, healthy) in turned {
            self.bus.publish(News::PeerHealth(PeerNews {
                peer_id: peer.to_base58(),
                healthy,
                banned_until: None,
                reason: None,
            }));
        }
        checks
    }

    /// Healthy peers that may be named to `asker`.
    pub(crate) fn hints_for(&self, asker: &PeerId) -> Vec<Hint> {
        // One more than can be told: the asker may be among them.
        let mut hints = self.book.lock().hints(MAX_HINTS + 1, now_ms());
        hints.retain(|hint| hint.peer != *asker && !self.is_banned(&hint.peer));
        hints
    }

    /// Forgets who is dead, and returns what is to be saved.
    pub(crate) fn take_changes(&self) -> Changes {
        let mut book = self.book.lock();
        book.forget_dead(&self.config, now_ms());
        book.take_changes()
    }

    fn penalties(&self) -> MutexGuard<'_, Penalties> {
        lock(&self.penalties)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers() -> Peers {
        let network = NetworkConfig::default();
        Peers::new(Vec::new(), HashSet::new(), &network, EventBus::new())
    }

    #[test]
    fn who_breaks_the_protocol_is_not_useful_any_more() {
        let (peers, peer) = (peers(), PeerId::random());
        assert_eq!(peers.merit(&peer), Merit::Unproven);
        peers.was_useful(peer);
        assert_eq!(peers.merit(&peer), Merit::Useful);
        peers.misbehaved(peer, "a test");
        assert_eq!(peers.merit(&peer), Merit::Unproven);
    }

    #[test]
    fn a_stall_is_held_only_against_who_answers_something_else_meanwhile() {
        let peers = peers();
        let (lost, hostile) = (PeerId::random(), PeerId::random());
        let timeout = Duration::from_secs(20);
        for _ in 0..100 {
            // Each of these stalls is one of its own.
            *lock(&peers.stalls) = Stalls::default();
            peers.failed(lost);
            peers.stalled(lost, timeout);
            peers.succeeded(hostile);
            peers.stalled(hostile, timeout);
        }
        assert!(!peers.is_banned(&lost), "the network may have been cut");
        assert!(peers.is_banned(&hostile));
        assert!(peers.take_banned().contains(&hostile));
    }

    #[test]
    fn streams_that_stall_at_once_are_one_stall() {
        let (peers, busy) = (peers(), PeerId::random());
        peers.succeeded(busy);
        for _ in 0..12 {
            peers.stalled(busy, Duration::from_secs(20));
        }
        assert!(!peers.is_banned(&busy));
        let status = peers.statuses().remove(0);
        assert_eq!((status.standing.score, status.record.failures), (1, 1));
    }
}

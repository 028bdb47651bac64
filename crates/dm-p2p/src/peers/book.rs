use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    time::Duration,
};

use dm_core::peer::{PeerRecord, PeerStanding, PeerStatus};
use libp2p::{Multiaddr, PeerId};

use crate::addresses::{MAX_ADDRESSES, without_peer};

mod checks;

pub(crate) use checks::{Check, PeerBookConfig};

/// Peers in the book; where there are more, those go that were away longest.
const MAX_PEERS: usize = 1024;

/// Milliseconds after which a peer that was here for a moment is dialled at the latest.
const COMES_AND_GOES: u64 = 60_000;

/// A peer that has answered for this long, in milliseconds, and so many times
/// counts as steady.
const STEADY_AFTER: u64 = 10 * 60 * 1000;
const STEADY_SUCCESSES: u64 = 10;

/// The entries to write and to remove, to bring a stored book up to date.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// New and changed entries.
    pub(crate) updated: Vec<PeerRecord>,
    /// Peer ids of entries that are gone.
    pub(crate) removed: Vec<String>,
}

/// The peer book: one entry for each peer that was ever met, within bounds.
/// Does no I/O and is told the time.
#[derive(Default)]
pub(crate) struct PeerBook {
    entries: HashMap<PeerId, PeerEntry>,
    changed: HashSet<PeerId>,
    removed: Vec<String>,
}

struct PeerEntry {
    record: PeerRecord,
    connected: bool,
    /// When it was connected last.
    connected_at: u64,
    /// As it was last told to others.
    healthy: bool,
    /// Failures since the last success.
    failing: u32,
    /// When it answered last, whatever it was asked.
    answered: u64,
    /// When its health was checked last, and when it is checked next.
    checked: u64,
    next_check: u64,
    /// Dials since it was last found to be there.
    redials: u32,
}

impl PeerBook {
    /// A book with the entries of an earlier run; entries that name no peer are removed.
    pub(crate) fn new(records: Vec<PeerRecord>) -> Self {
        let mut book = Self::default();
        for record in records {
            match record.peer_id.parse() {
                Ok(peer) => drop(book.entries.insert(peer, PeerEntry::new(record))),
                Err(_) => book.removed.push(record.peer_id),
            }
        }
        book.shrink();
        book
    }

    pub(crate) fn connected(&mut self, peer: PeerId, address: Option<&Multiaddr>, now: u64) {
        let entry = self.entry(peer, now);
        entry.connected = true;
        entry.connected_at = now;
        if entry.answered == 0 {
            entry.redials = 0;
        }
        entry.record.last_seen = now;
        entry.answered = now;
        if let Some(address) = address {
            entry.add_address(address);
        }
        self.shrink();
    }

    pub(crate) fn disconnected(&mut self, peer: &PeerId, now: u64) {
        self.change(peer, |entry| {
            entry.connected = false;
            entry.record.last_seen = now;
            // Whether it is still there is to be known soon, less so where it comes and goes.
            entry.next_check = match entry.redials {
                0 => now,
                _ => entry.next_check.min(now + COMES_AND_GOES),
            };
        });
    }

    pub(crate) fn reachable_at(&mut self, peer: &PeerId, addresses: &[Multiaddr]) {
        self.change(peer, |entry| {
            for address in addresses.iter().rev() {
                entry.add_address(address);
            }
        });
    }

    /// The peer is known to be elsewhere than at this address.
    pub(crate) fn remove_address(&mut self, peer: &PeerId, address: &Multiaddr) {
        let text = without_peer(address).to_string();
        self.change(peer, |entry| {
            entry.record.addresses.retain(|known| *known != text);
        });
    }

    /// Whether the peer has answered anything since.
    pub(crate) fn has_answered_since(&self, peer: &PeerId, since: u64) -> bool {
        self.entries.get(peer).is_some_and(|entry| entry.answered > since)
    }

    pub(crate) fn answered_ping(&mut self, peer: &PeerId, round_trip: Duration, now: u64) {
        self.change(peer, |entry| {
            entry.record.latency_ms = Some(u32::try_from(round_trip.as_millis()).unwrap_or(u32::MAX));
            entry.record.last_seen = now;
            entry.answered = now;
        });
    }

    pub(crate) fn succeeded(&mut self, peer: PeerId, now: u64) {
        let entry = self.entry(peer, now);
        entry.succeeded(now);
        self.shrink();
    }

    pub(crate) fn failed(&mut self, peer: PeerId, now: u64) {
        let entry = self.entry(peer, now);
        entry.failed();
        self.shrink();
    }

    /// Orders peers by how much is to be expected of them; equals keep their order.
    pub(crate) fn rank(&self, peers: &mut [PeerId]) {
        peers.sort_by_key(|peer| match self.entries.get(peer) {
            Some(entry) => (
                !entry.connected,
                entry.failing,
                entry.record.latency_ms.unwrap_or(u32::MAX),
            ),
            None => (true, 0, u32::MAX),
        });
    }

    /// Whether the peer has answered for some time, and hardly ever failed to.
    pub(crate) fn is_steady(&self, peer: &PeerId) -> bool {
        let entry = self.entries.get(peer);
        entry.is_some_and(|entry| entry.failing == 0 && is_steady(&entry.record))
    }

    /// Whether the peer is away and failed when it was last tried.
    pub(crate) fn is_doubtful(&self, peer: &PeerId) -> bool {
        self.entries
            .get(peer)
            .is_some_and(|entry| !entry.connected && entry.failing > 0)
    }

    /// Whether the peer failed when it was last asked something.
    pub(crate) fn is_failing(&self, peer: &PeerId) -> bool {
        self.entries.get(peer).is_some_and(|entry| entry.failing > 0)
    }

    /// Whether it is known where the peer can be reached.
    pub(crate) fn has_address(&self, peer: &PeerId) -> bool {
        let entry = self.entries.get(peer);
        entry.is_some_and(|entry| !entry.record.addresses.is_empty())
    }

    /// Where the peer can be reached, the newest first.
    pub(crate) fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let known = self
            .entries
            .get(peer)
            .map(|entry| entry.record.addresses.as_slice());
        known
            .unwrap_or_default()
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect()
    }

    /// The entries for people to read; the standing is left empty, since the book does not know it.
    pub(crate) fn statuses(&self, now: u64) -> Vec<(PeerId, PeerStatus)> {
        let status = |(peer, entry): (&PeerId, &PeerEntry)| {
            let status = PeerStatus {
                record: entry.record.clone(),
                connected: entry.connected,
                healthy: entry.record.is_healthy(now),
                standing: PeerStanding::default(),
            };
            (*peer, status)
        };
        let mut statuses: Vec<(PeerId, PeerStatus)> = self.entries.iter().map(status).collect();
        statuses.sort_by_key(|(_, status)| (!status.connected, Reverse(status.record.last_seen)));
        statuses
    }

    /// Others were told that the peer is not healthy.
    pub(crate) fn mark_unhealthy(&mut self, peer: &PeerId) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.healthy = false;
        }
    }

    /// Peers that became healthy or stopped being so since the last call; who
    /// is banned is not healthy.
    pub(crate) fn take_health_changes(
        &mut self,
        now: u64,
        is_banned: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, bool)> {
        let mut turned = Vec::new();
        for (peer, entry) in &mut self.entries {
            let healthy = entry.record.is_healthy(now) && !is_banned(peer);
            if healthy != entry.healthy {
                entry.healthy = healthy;
                turned.push((*peer, healthy));
            }
        }
        turned
    }

    /// What changed since the last call.
    pub(crate) fn take_changes(&mut self) -> Changes {
        let updated = self
            .changed
            .drain()
            .filter_map(|peer| Some(self.entries.get(&peer)?.record.clone()))
            .collect();
        Changes {
            updated,
            removed: std::mem::take(&mut self.removed),
        }
    }

    fn entry(&mut self, peer: PeerId, now: u64) -> &mut PeerEntry {
        self.changed.insert(peer);
        self.entries.entry(peer).or_insert_with(|| {
            PeerEntry::new(PeerRecord {
                peer_id: peer.to_base58(),
                addresses: Vec::new(),
                first_seen: now,
                last_seen: 0,
                latency_ms: None,
                successes: 0,
                failures: 0,
            })
        })
    }

    fn change(&mut self, peer: &PeerId, change: impl FnOnce(&mut PeerEntry)) {
        if let Some(entry) = self.entries.get_mut(peer) {
            change(entry);
            self.changed.insert(*peer);
        }
    }

    /// Removes a peer whatever is known of it.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        if self.entries.contains_key(peer) {
            self.remove(peer);
        }
    }

    /// Removes peers that are away, those first that were never there for long
    /// and then those that were away longest. That is an eighth of the book at
    /// once, so that a flood of new peers does not sort it each time.
    fn shrink(&mut self) {
        if self.entries.len() <= MAX_PEERS {
            return;
        }
        let mut away: Vec<(bool, u64, PeerId)> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.connected)
            .map(|(peer, entry)| (is_steady(&entry.record), entry.record.last_seen, *peer))
            .collect();
        away.sort_unstable();
        let surplus = self.entries.len() - MAX_PEERS * 7 / 8;
        for (_, _, peer) in away.into_iter().take(surplus) {
            self.remove(&peer);
        }
    }

    fn remove(&mut self, peer: &PeerId) {
        self.entries.remove(peer);
        self.changed.remove(peer);
        self.removed.push(peer.to_base58());
    }
}

/// Whether a peer was there for some time, in this run or an earlier one, and
/// failed in a fifth of its exchanges at most.
pub(crate) fn is_steady(record: &PeerRecord) -> bool {
    record.last_seen.saturating_sub(record.first_seen) >= STEADY_AFTER
        && record.successes >= STEADY_SUCCESSES
        && record.successes / 4 >= record.failures
}

impl PeerEntry {
    fn new(record: PeerRecord) -> Self {
        Self {
            record,
            connected: false,
            connected_at: 0,
            healthy: false,
            failing: 0,
            answered: 0,
            checked: 0,
            next_check: 0,
            redials: 0,
        }
    }

    fn succeeded(&mut self, now: u64) {
        self.record.successes += 1;
        self.record.last_seen = now;
        self.answered = now;
        self.failing = 0;
    }

    fn failed(&mut self) {
        self.record.failures += 1;
        self.failing = self.failing.saturating_add(1);
    }

    /// Puts an address in front of the others.
    fn add_address(&mut self, address: &Multiaddr) {
        let text = without_peer(address).to_string();
        self.record.addresses.retain(|known| *known != text);
        self.record.addresses.insert(0, text);
        self.record.addresses.truncate(MAX_ADDRESSES);
    }
}

#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    time::Duration,
};

use dm_core::peer::{PeerRecord, PeerStanding, PeerStatus};
use libp2p::{Multiaddr, PeerId};

use crate::addresses::{MAX_ADDRESSES, without_peer};

mod checks;

pub(crate) use checks::{Check, Rules};

/// Peers in the book; where there are more, those go that were away longest.
const MAX_PEERS: usize = 1024;

/// The lines to write and the lines to strike out, to bring a stored book up to date.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// New and changed lines.
    pub(crate) kept: Vec<PeerRecord>,
    /// Peer ids of lines that are gone.
    pub(crate) struck: Vec<String>,
}

/// The peer book: one line for each peer that was ever met, within bounds.
/// Does no I/O and is told the time.
#[derive(Default)]
pub(crate) struct PeerBook {
    lines: HashMap<PeerId, Line>,
    changed: HashSet<PeerId>,
    struck: Vec<String>,
}

struct Line {
    record: PeerRecord,
    connected: bool,
    /// As it was last told to others.
    healthy: bool,
    /// Failures since the last success.
    failing: u32,
    /// When it answered last, whatever it was asked.
    answered: u64,
    /// When its health was checked last, and when it is checked next.
    checked: u64,
    next_check: u64,
}

impl PeerBook {
    /// A book with the lines of an earlier run; lines that name no peer are struck out.
    pub(crate) fn new(records: Vec<PeerRecord>) -> Self {
        let mut book = Self::default();
        for record in records {
            match record.peer_id.parse() {
                Ok(peer) => drop(book.lines.insert(peer, Line::new(record))),
                Err(_) => book.struck.push(record.peer_id),
            }
        }
        book.shrink();
        book
    }

    pub(crate) fn connected(&mut self, peer: PeerId, address: Option<&Multiaddr>, now: u64) {
        let line = self.line(peer, now);
        line.connected = true;
        line.record.last_seen = now;
        line.answered = now;
        if let Some(address) = address {
            line.add_address(address);
        }
        self.shrink();
    }

    pub(crate) fn disconnected(&mut self, peer: &PeerId, now: u64) {
        self.change(peer, |line| {
            line.connected = false;
            line.record.last_seen = now;
            // Whether it is still there is to be known soon.
            line.next_check = now;
        });
    }

    pub(crate) fn reachable_at(&mut self, peer: &PeerId, addresses: &[Multiaddr]) {
        self.change(peer, |line| {
            for address in addresses.iter().rev() {
                line.add_address(address);
            }
        });
    }

    /// The peer is known to be elsewhere than at this address.
    pub(crate) fn is_not_at(&mut self, peer: &PeerId, address: &Multiaddr) {
        let text = without_peer(address).to_string();
        self.change(peer, |line| line.record.addresses.retain(|known| *known != text));
    }

    /// Whether the peer has answered anything since.
    pub(crate) fn has_answered_since(&self, peer: &PeerId, since: u64) -> bool {
        self.lines.get(peer).is_some_and(|line| line.answered > since)
    }

    pub(crate) fn answered_ping(&mut self, peer: &PeerId, round_trip: Duration, now: u64) {
        self.change(peer, |line| {
            line.record.latency_ms = Some(u32::try_from(round_trip.as_millis()).unwrap_or(u32::MAX));
            line.record.last_seen = now;
            line.answered = now;
        });
    }

    pub(crate) fn succeeded(&mut self, peer: PeerId, now: u64) {
        let line = self.line(peer, now);
        line.succeeded(now);
        self.shrink();
    }

    pub(crate) fn failed(&mut self, peer: PeerId, now: u64) {
        let line = self.line(peer, now);
        line.failed();
        self.shrink();
    }

    /// Orders peers by how much is to be expected of them; equals keep their order.
    pub(crate) fn rank(&self, peers: &mut [PeerId]) {
        peers.sort_by_key(|peer| match self.lines.get(peer) {
            Some(line) => (
                !line.connected,
                line.failing,
                line.record.latency_ms.unwrap_or(u32::MAX),
            ),
            None => (true, 0, u32::MAX),
        });
    }

    /// Whether the peer is away and failed when it was last tried.
    pub(crate) fn is_doubtful(&self, peer: &PeerId) -> bool {
        self.lines
            .get(peer)
            .is_some_and(|line| !line.connected && line.failing > 0)
    }

    /// Where the peer can be reached, the newest first.
    pub(crate) fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let known = self.lines.get(peer).map(|line| line.record.addresses.as_slice());
        known
            .unwrap_or_default()
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect()
    }

    /// The lines for people to read; what the book knows nothing of is empty.
    pub(crate) fn statuses(&self, now: u64) -> Vec<(PeerId, PeerStatus)> {
        let status = |(peer, line): (&PeerId, &Line)| {
            let status = PeerStatus {
                record: line.record.clone(),
                connected: line.connected,
                healthy: line.record.is_healthy(now),
                standing: PeerStanding::default(),
            };
            (*peer, status)
        };
        let mut statuses: Vec<(PeerId, PeerStatus)> = self.lines.iter().map(status).collect();
        statuses.sort_by_key(|(_, status)| (!status.connected, Reverse(status.record.last_seen)));
        statuses
    }

    /// Others were told that the peer is not healthy.
    pub(crate) fn told_unhealthy(&mut self, peer: &PeerId) {
        if let Some(line) = self.lines.get_mut(peer) {
            line.healthy = false;
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
        for (peer, line) in &mut self.lines {
            let healthy = line.record.is_healthy(now) && !is_banned(peer);
            if healthy != line.healthy {
                line.healthy = healthy;
                turned.push((*peer, healthy));
            }
        }
        turned
    }

    /// What changed since the last call.
    pub(crate) fn take_changes(&mut self) -> Changes {
        let kept = self
            .changed
            .drain()
            .filter_map(|peer| Some(self.lines.get(&peer)?.record.clone()))
            .collect();
        Changes {
            kept,
            struck: std::mem::take(&mut self.struck),
        }
    }

    fn line(&mut self, peer: PeerId, now: u64) -> &mut Line {
        self.changed.insert(peer);
        self.lines.entry(peer).or_insert_with(|| {
            Line::new(PeerRecord {
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

    fn change(&mut self, peer: &PeerId, change: impl FnOnce(&mut Line)) {
        if let Some(line) = self.lines.get_mut(peer) {
            change(line);
            self.changed.insert(*peer);
        }
    }

    /// Strikes out peers that were away longest, an eighth of the book at
    /// once, so that a flood of new peers does not sort it each time.
    fn shrink(&mut self) {
        if self.lines.len() <= MAX_PEERS {
            return;
        }
        let mut away: Vec<(u64, PeerId)> = self
            .lines
            .iter()
            .filter(|(_, line)| !line.connected)
            .map(|(peer, line)| (line.record.last_seen, *peer))
            .collect();
        away.sort_unstable();
        let surplus = self.lines.len() - MAX_PEERS * 7 / 8;
        for (_, peer) in away.into_iter().take(surplus) {
            self.strike_out(&peer);
        }
    }

    fn strike_out(&mut self, peer: &PeerId) {
        self.lines.remove(peer);
        self.changed.remove(peer);
        self.struck.push(peer.to_base58());
    }
}

impl Line {
    fn new(record: PeerRecord) -> Self {
        Self {
            record,
            connected: false,
            healthy: false,
            failing: 0,
            answered: 0,
            checked: 0,
            next_check: 0,
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

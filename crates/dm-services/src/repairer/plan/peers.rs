use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Peer, PeerKey, RepairConfig, index::Index, record::keys};

/// The peers that hold something, and which of them can be reached. A peer of
/// which nothing is known counts as reachable until it turns out not to be.
#[derive(Default)]
pub(super) struct Peers {
    known: HashMap<PeerKey, Known>,
    /// When something is to be done about a peer.
    timers: BTreeSet<(u64, PeerKey)>,
    /// Peers that are to be written.
    changed: HashSet<PeerKey>,
}

/// What is known of a peer. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Known {
    name: Arc<str>,
    /// Objects that it holds.
    holds: u64,
    state: State,
    /// What its objects have not all been told.
    untold: Option<Turn>,
    #[serde(skip)]
    timer: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    Up {
        /// From an earlier run: when it is to be asked whether it still is.
        #[serde(skip)]
        confirm_at: Option<u64>,
    },
    Down {
        since: u64,
        /// When it is worth while to ask it all the same.
        #[serde(skip)]
        probe_at: u64,
        failures: u32,
        /// Whether its objects have been told, or are being told.
        told: bool,
    },
}

/// What a peer's objects are to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Turn {
    /// It is away.
    Away,
    /// It is back.
    Back,
    /// It is back, and may have lost its disk: each is to be proven.
    Doubted,
    /// It has been away for so long that it is no holder any more.
    Gone,
}

/// What is to be done about a peer now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerDue {
    /// Have it prove that it holds one of its objects.
    Probe,
    /// Tell its objects.
    Tell(Turn),
}

impl Peers {
    /// Reads the peers of an earlier run. Each is asked whether it is still
    /// there, unless it shows up by itself.
    pub(super) fn restore(entries: &[(bytes::Bytes, bytes::Bytes)], config: &RepairConfig, now: u64) -> Self {
        let mut peers = Self::default();
        for (key, value) in entries {
            let key = key
                .get(1..)
                .and_then(|key| key.try_into().ok())
                .map(u128::from_be_bytes);
            let known = postcard::from_bytes::<Known>(value).ok();
            let Some((key, mut known)) = key.map(PeerKey).zip(known) else {
                continue;
            };
            let soon = now + config.first_pause;
            match &mut known.state {
                State::Up { confirm_at } => *confirm_at = Some(soon),
                State::Down { probe_at, .. } => *probe_at = soon,
            }
            peers.known.insert(key, known);
            peers.set_timer(key, config);
        }
        peers
    }

    /// The peers whose objects had not all been told in an earlier run.
    pub(super) fn untold(&self) -> Vec<(PeerKey, Turn)> {
        let untold = self.known.iter();
        untold
            .filter_map(|(peer, known)| Some((*peer, known.untold?)))
            .collect()
    }

    pub(super) fn name(&self, peer: PeerKey) -> Option<Peer> {
        let known = self.known.get(&peer)?;
        Some(Peer {
            key: peer,
            name: known.name.clone(),
        })
    }

    pub(super) fn is_known(&self, peer: PeerKey) -> bool {
        self.known.contains_key(&peer)
    }

    pub(super) fn is_up(&self, peer: PeerKey) -> bool {
        self.down_since(peer).is_none()
    }

    /// Since when the peer is away.
    pub(super) fn down_since(&self, peer: PeerKey) -> Option<u64> {
        match self.known.get(&peer)?.state {
            State::Down { since, .. } => Some(since),
            State::Up { .. } => None,
        }
    }

    /// Takes note of a peer that is about to hold something.
    pub(super) fn meet(&mut self, peer: &Peer) {
        self.known.entry(peer.key).or_insert_with(|| Known {
            name: peer.name.clone(),
            holds: 0,
            state: State::Up { confirm_at: None },
            untold: None,
            timer: None,
        });
        self.changed.insert(peer.key);
    }

    /// The peer, which has been met, holds one object more.
    pub(super) fn hold(&mut self, peer: PeerKey) {
        if let Some(known) = self.known.get_mut(&peer) {
            known.holds += 1;
            self.changed.insert(peer);
        }
    }

    /// The peer holds one object less.
    pub(super) fn release(&mut self, peer: PeerKey) {
        if let Some(known) = self.known.get_mut(&peer) {
            known.holds = known.holds.saturating_sub(1);
            self.changed.insert(peer);
        }
    }

    /// A peer can be reached; what its objects are to be told of that, and
    /// whether it was away.
    pub(super) fn up(&mut self, peer: PeerKey, config: &RepairConfig) -> Option<Return> {
        let known = self.known.get_mut(&peer)?;
        let before = std::mem::replace(&mut known.state, State::Up { confirm_at: None });
        let State::Down { told, .. } = before else {
            self.set_timer(peer, config);
            return None;
        };
        if told {
            known.untold = Some(Turn::Back);
        }
        self.changed.insert(peer);
        self.set_timer(peer, config);
        Some(Return { is_told: told })
    }

    /// Every object of a peer is to be proven again.
    pub(super) fn doubt(&mut self, peer: PeerKey) {
        if let Some(known) = self.known.get_mut(&peer) {
            known.untold = Some(Turn::Doubted);
            self.changed.insert(peer);
        }
    }

    /// The peer cannot be reached, or did not answer a challenge.
    pub(super) fn down(&mut self, peer: PeerKey, now: u64, config: &RepairConfig) {
        let Some(known) = self.known.get_mut(&peer) else {
            return;
        };
        let (since, failures, told) = match known.state {
            State::Down {
                since,
                failures,
                told,
                ..
            } => (since, failures.saturating_add(1), told),
            State::Up { .. } => (now, 1, false),
        };
        known.state = State::Down {
            since,
            probe_at: now + config.pause_after(failures),
            failures,
            told,
        };
        self.changed.insert(peer);
        self.set_timer(peer, config);
    }

    /// What is due for a peer. What is returned counts as begun.
    pub(super) fn due(&mut self, now: u64, config: &RepairConfig) -> Option<(PeerKey, PeerDue)> {
        let (at, peer) = self.timers.first().copied()?;
        if at > now {
            return None;
        }
        let known = self.known.get_mut(&peer)?;
        let due = match &mut known.state {
            State::Up { confirm_at } => {
                *confirm_at = Some(now + config.first_pause);
                PeerDue::Probe
            }
            State::Down { since, .. } if now >= since.saturating_add(config.forget_after) => {
                // Nothing else is to be done about it until it shows up.
                known.untold = Some(Turn::Gone);
                PeerDue::Tell(Turn::Gone)
            }
            State::Down { since, told, .. } if !*told && now >= *since + config.away_patience() => {
                *told = true;
                known.untold = Some(Turn::Away);
                PeerDue::Tell(Turn::Away)
            }
            State::Down {
                probe_at, failures, ..
            } => {
                *probe_at = now + config.pause_after(failures.saturating_add(1));
                PeerDue::Probe
            }
        };
        self.changed.insert(peer);
        self.set_timer(peer, config);
        Some((peer, due))
    }

    /// All objects of a peer have been told.
    pub(super) fn note_told(&mut self, peer: PeerKey, turn: Turn) {
        if let Some(known) = self.known.get_mut(&peer)
            && known.untold == Some(turn)
        {
            known.untold = None;
            self.changed.insert(peer);
        }
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Puts what has changed into the next commit of the index.
    pub(super) fn write(&mut self, index: &mut Index) {
        for peer in std::mem::take(&mut self.changed) {
            if self.known.get(&peer).is_some_and(|known| known.holds == 0) {
                self.forget(peer);
            }
            let known = self.known.get(&peer);
            // Texts and numbers can always be encoded.
            let value = known.and_then(|known| postcard::to_stdvec(known).ok());
            index.put_other(keys::peer(peer), value);
        }
    }

    /// Nothing is remembered of a peer that holds nothing.
    fn forget(&mut self, peer: PeerKey) {
        let timer = self.known.remove(&peer).and_then(|known| known.timer);
        if let Some(at) = timer {
            self.timers.remove(&(at, peer));
        }
    }

    fn set_timer(&mut self, peer: PeerKey, config: &RepairConfig) {
        let Some(known) = self.known.get_mut(&peer) else {
            return;
        };
        if let Some(before) = known.timer.take() {
            self.timers.remove(&(before, peer));
        }
        known.timer = match known.state {
            State::Up { confirm_at } => confirm_at,
            // All that is left to do is being done.
            State::Down { .. } if known.untold == Some(Turn::Gone) => None,
            State::Down {
                since,
                probe_at,
                told,
                ..
            } => {
                let tell = if told {
                    since.saturating_add(config.forget_after)
                } else {
                    since + config.away_patience()
                };
                Some(probe_at.min(tell))
            }
        };
        self.timers.extend(known.timer.map(|at| (at, peer)));
    }
}

/// A peer that was away is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Return {
    /// Whether its objects had been told that it was away.
    pub(super) is_told: bool,
}

/// The peer id in an entry of the index.
pub(super) fn written_name(entry: &[u8]) -> Option<String> {
    let known = postcard::from_bytes::<Known>(entry).ok()?;
    Some(known.name.to_string())
}

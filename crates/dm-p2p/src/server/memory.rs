use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libp2p::PeerId;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::{peers::Merit, wire::WireError};

/// The part of the memory that one peer may hold.
const ONE_PEER: u64 = 4;
/// The part that is kept for useful peers.
const USEFUL_PEERS: u64 = 4;
/// Where others wait for memory, whoever has moved nothing for this long loses its own.
const SLOW: Duration = Duration::from_secs(2);
/// Between two looks for somebody slow.
const PULSE: Duration = Duration::from_millis(100);
/// The least that counts, in bytes: the buffers of a stream.
const LEAST: u64 = 4096;

/// Memory for what is sent to peers or comes from them, in bytes. A peer holds a part of it
/// at most, useful peers keep a part for themselves, and while there is too little, peers
/// that neither read nor send lose what they hold. Clones are the same memory.
#[derive(Clone)]
pub(super) struct Memory {
    shared: Arc<SharedMemory>,
}

struct SharedMemory {
    limit: u64,
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Default)]
struct Held {
    last_id: u64,
    parts: HashMap<u64, Part>,
    total: u64,
    /// What peers hold that are not useful.
    of_others: u64,
    of_peer: HashMap<PeerId, u64>,
}

struct Part {
    peer: PeerId,
    merit: Merit,
    bytes: u64,
    /// When something last moved.
    moved: Instant,
    displaced: CancellationToken,
}

/// Memory that a stream holds until this is dropped.
pub(super) struct Reserved {
    memory: Memory,
    id: u64,
    displaced: CancellationToken,
}

impl Memory {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            shared: Arc::new(SharedMemory {
                limit,
                held: Mutex::default(),
                freed: Notify::new(),
            }),
        }
    }

    /// Memory for so many bytes, if it is free; never more than one peer may hold.
    pub(super) fn try_reserve(&self, peer: PeerId, merit: Merit, bytes: u64) -> Option<Reserved> {
        let limit = self.shared.limit;
        let bytes = bytes.clamp(LEAST, limit / ONE_PEER);
        let mut held = self.lock();
        let of_peer = held.of_peer.get(&peer).copied().unwrap_or_default();
        let is_other = merit < Merit::Useful;
        let fits = of_peer + bytes <= limit / ONE_PEER
            && held.total + bytes <= limit
            && (!is_other || held.of_others + bytes <= limit - limit / USEFUL_PEERS);
        fits.then(|| {
            let displaced = CancellationToken::new();
            let id = held.insert(Part {
                peer,
                merit,
                bytes,
                moved: Instant::now(),
                displaced: displaced.clone(),
            });
            Reserved {
                memory: self.clone(),
                id,
                displaced,
            }
        })
    }

    /// Memory for so many bytes, as soon as it is free; `None` where that takes longer
    /// than `patience`.
    pub(super) async fn reserve(
        &self,
        peer: PeerId,
        merit: Merit,
        bytes: u64,
        patience: Duration,
    ) -> Option<Reserved> {
        let until = Instant::now() + patience;
        loop {
            let freed = self.shared.freed.notified();
            if let Some(reserved) = self.try_reserve(peer, merit, bytes) {
                return Some(reserved);
            }
            let now = Instant::now();
            if now >= until {
                return None;
            }
            self.lock().displace_slow(merit, now);
            tokio::select! {
                () = freed => {}
                () = sleep(PULSE) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn insert(&mut self, part: Part) -> u64 {
        self.last_id += 1;
        self.count(&part, part.bytes, true);
        self.parts.insert(self.last_id, part);
        self.last_id
    }

    fn count(&mut self, part: &Part, bytes: u64, more: bool) {
        let change = |count: &mut u64| *count = if more { *count + bytes } else { *count - bytes };
        change(&mut self.total);
        if part.merit < Merit::Useful {
            change(&mut self.of_others);
        }
        let of_peer = self.of_peer.entry(part.peer).or_default();
        change(of_peer);
        if *of_peer == 0 {
            self.of_peer.remove(&part.peer);
        }
    }

    /// Takes the memory of the one that has moved nothing for longest, if its merit is not
    /// more than that of whoever waits.
    fn displace_slow(&mut self, newcomer: Merit, now: Instant) {
        let parts = self.parts.values();
        let slow = parts.filter(|part| {
            part.merit <= newcomer && now.duration_since(part.moved) >= SLOW && !part.displaced.is_cancelled()
        });
        if let Some(slowest) = slow.min_by_key(|part| (part.merit, part.moved)) {
            slowest.displaced.cancel();
        }
    }
}

impl Reserved {
    /// Gives back what is more than these bytes.
    pub(super) fn shrink(&self, bytes: u64) {
        let mut held = self.memory.lock();
        let Some(mut part) = held.parts.remove(&self.id) else {
            return;
        };
        let surplus = part.bytes.saturating_sub(bytes.max(LEAST));
        held.count(&part, surplus, false);
        part.bytes -= surplus;
        held.parts.insert(self.id, part);
        drop(held);
        self.memory.shared.freed.notify_waiters();
    }

    /// Something has moved.
    pub(super) fn moved(&self) {
        if let Some(part) = self.memory.lock().parts.get_mut(&self.id) {
            part.moved = Instant::now();
        }
    }

    /// Sends or receives for as long as the peer may hold the memory.
    pub(super) async fn unless_displaced<T>(
        &self,
        step: impl Future<Output = Result<T, WireError>>,
    ) -> Result<T, WireError> {
        tokio::select! {
            done = step => done,
            () = self.displaced() => Err(WireError::TimedOut),
        }
    }

    /// Resolves when somebody else is to have the memory.
    pub(super) fn displaced(&self) -> WaitForCancellationFuture<'_> {
        self.displaced.cancelled()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut held = self.memory.lock();
        if let Some(part) = held.parts.remove(&self.id) {
            held.count(&part, part.bytes, false);
        }
        drop(held);
        self.memory.shared.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 16 * LEAST;
    const LONG: Duration = Duration::from_secs(60);

    /// As much as peers of this merit get, a smallest part each.
    fn fill(memory: &Memory, merit: Merit) -> Vec<Reserved> {
        std::iter::from_fn(|| memory.try_reserve(PeerId::random(), merit, 1)).collect()
    }

    #[test]
    fn a_peer_holds_a_part_at_most_and_useful_ones_keep_a_part() {
        let (memory, peer) = (Memory::new(LIMIT), PeerId::random());
        let own: Vec<_> = std::iter::from_fn(|| memory.try_reserve(peer, Merit::Useful, LEAST)).collect();
        assert_eq!(own.len() as u64, LIMIT / ONE_PEER / LEAST);
        drop(own);
        let others = fill(&memory, Merit::Unproven);
        assert_eq!(others.len() as u64, (LIMIT - LIMIT / USEFUL_PEERS) / LEAST);
        let useful = fill(&memory, Merit::Useful);
        assert_eq!(useful.len() as u64, LIMIT / USEFUL_PEERS / LEAST);
        drop((others, useful));
        let held = memory.lock();
        assert!(held.total == 0 && held.of_others == 0 && held.of_peer.is_empty());
    }

    #[test]
    fn what_turns_out_smaller_gives_the_rest_back() {
        let memory = Memory::new(LIMIT);
        let reserved = memory
            .try_reserve(PeerId::random(), Merit::Useful, 4 * LEAST)
            .unwrap();
        reserved.shrink(LEAST + 1);
        assert_eq!(memory.lock().total, LEAST + 1);
        reserved.shrink(u64::MAX);
        drop(reserved);
        assert_eq!(memory.lock().total, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_moves_nothing_loses_its_memory_to_one_that_waits() {
        let memory = Memory::new(LIMIT);
        let mut held = fill(&memory, Merit::Steady);
        let reader = held.pop().unwrap();
        let waiting = {
            let memory = memory.clone();
            tokio::spawn(async move { memory.reserve(PeerId::random(), Merit::Steady, 1, LONG).await })
        };
        // It reads, the others do not.
        for _ in 0..40 {
            sleep(SLOW / 20).await;
            reader.moved();
        }
        let slow = held
            .iter()
            .position(|part| part.displaced.is_cancelled())
            .unwrap();
        assert!(!reader.displaced.is_cancelled());
        held.remove(slow);
        assert!(waiting.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_loses_its_memory_to_one_of_less_merit() {
        let memory = Memory::new(LIMIT);
        let held = fill(&memory, Merit::Useful);
        let got = memory.reserve(PeerId::random(), Merit::Steady, 1, LONG).await;
        assert!(got.is_none());
        assert!(held.iter().all(|part| !part.displaced.is_cancelled()));
    }
}

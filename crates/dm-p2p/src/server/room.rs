//! Shares out the room for the objects of others.
//!
//! Established owners may use all of it, those that the operator blocks none of it. Strangers
//! together may fill half, and each stranger, as owner and as the peer that pushes, may take an
//! eighth of the room in a day. Where there are too many strangers to remember, those who have
//! taken least are forgotten: names that cost nothing keep nobody out.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dm_core::{
    Address,
    ports::{OwnerStanding, StorageQuota, room_for_strangers},
};
use libp2p::PeerId;

/// Part of the room that one stranger may take in a [`PERIOD`].
const ONE_STRANGER: u64 = 8;
/// After this time it is forgotten what strangers have taken.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// Strangers of whom it is remembered what they have taken.
const MAX_STRANGERS: usize = 16 * 1024;

/// The room for the objects of others.
pub(crate) struct ForeignRoom {
    limit: u64,
    /// What is stored; `None` where nobody counts it.
    quota: Option<Arc<dyn StorageQuota>>,
    /// Who is established; `None` where nobody can tell: everybody is.
    standing: Option<Arc<dyn OwnerStanding>>,
    taken: Mutex<Taken>,
}

/// Whose object it is, and who brings it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arriving {
    pub(crate) owner: Address,
    pub(crate) peer: PeerId,
    /// Whether this node is among its readers.
    pub(crate) is_for_us: bool,
}

struct Taken {
    reserved: u64,
    since: Instant,
    of_owner: Parts<Address>,
    by_peer: Parts<PeerId>,
}

/// What each stranger has taken, in bytes. None of them is zero.
struct Parts<K>(HashMap<K, u64>);

/// Room for an object that is being received; given back when it is dropped.
pub(crate) struct Reservation {
    room: Arc<ForeignRoom>,
    bytes: u64,
    stranger: Option<(Address, PeerId)>,
    is_kept: bool,
}

impl ForeignRoom {
    pub(crate) fn new(
        limit: u64,
        quota: Option<Arc<dyn StorageQuota>>,
        standing: Option<Arc<dyn OwnerStanding>>,
    ) -> Self {
        Self {
            limit,
            quota,
            standing,
            taken: Mutex::new(Taken {
                reserved: 0,
                since: Instant::now(),
                of_owner: Parts(HashMap::new()),
                by_peer: Parts(HashMap::new()),
            }),
        }
    }

    /// Sets room aside for an object that takes `bytes`, if there is enough. In the
    /// place of a version that takes `replaced` bytes only the rest needs room.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        arriving: Arriving,
        bytes: u64,
        replaced: u64,
    ) -> Option<Reservation> {
        let bytes = bytes.saturating_sub(replaced);
        if bytes > 0 && self.is_kept_out(arriving.owner).await {
            return None;
        }
        let is_stranger = bytes > 0 && !self.is_favoured(arriving).await;
        let stored = self.quota.as_ref().map_or(0, |quota| quota.kept().foreign);
        let limit = if is_stranger {
            room_for_strangers(self.limit)
        } else {
            self.limit
        };
        let mut taken = self.lock();
        let total = stored.checked_add(taken.reserved)?.checked_add(bytes)?;
        if bytes > 0 && total > limit {
            return None;
        }
        let stranger = is_stranger.then_some((arriving.owner, arriving.peer));
        if let Some((owner, peer)) = stranger {
            taken.start_anew(Instant::now());
            let most = self.limit / ONE_STRANGER;
            let fits = taken.of_owner.fits(&owner, bytes, most) && taken.by_peer.fits(&peer, bytes, most);
            if !fits {
                return None;
            }
            taken.of_owner.add(owner, bytes);
            taken.by_peer.add(peer, bytes);
        }
        taken.reserved += bytes;
        drop(taken);
        Some(Reservation {
            room: self.clone(),
            bytes,
            stranger,
            is_kept: false,
        })
    }

    async fn is_kept_out(&self, owner: Address) -> bool {
        match &self.standing {
            Some(standing) => standing.is_blocked(owner).await,
            None => false,
        }
    }

    async fn is_favoured(&self, arriving: Arriving) -> bool {
        match &self.standing {
            Some(standing) => arriving.is_for_us || standing.is_established(arriving.owner).await,
            None => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Parts<K> {
    fn fits(&self, who: &K, bytes: u64, most: u64) -> bool {
        let taken = self.0.get(who).copied().unwrap_or_default();
        taken.saturating_add(bytes) <= most
    }

    fn add(&mut self, who: K, bytes: u64) {
        if self.0.len() >= MAX_STRANGERS && !self.0.contains_key(&who) {
            self.forget_small();
        }
        *self.0.entry(who).or_default() += bytes;
    }

    fn give_back(&mut self, who: &K, bytes: u64) {
        if let Some(taken) = self.0.get_mut(who) {
            *taken = taken.saturating_sub(bytes);
            if *taken == 0 {
                self.0.remove(who);
            }
        }
    }

    /// Forgets the half of them who have taken least.
    fn forget_small(&mut self) {
        let mut all: Vec<u64> = self.0.values().copied().collect();
        let middle = all.len() / 2;
        let (_, median, _) = all.select_nth_unstable(middle);
        let median = *median;
        self.0.retain(|_, taken| *taken > median);
    }
}

impl Taken {
    fn start_anew(&mut self, now: Instant) {
        if now.duration_since(self.since) >= PERIOD {
            self.since = now;
            self.of_owner.0.clear();
            self.by_peer.0.clear();
        }
    }
}

impl Reservation {
    /// The object is stored: from now on the store counts it.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut taken = self.room.lock();
        taken.reserved -= self.bytes;
        if let Some((owner, peer)) = &self.stranger
            && !self.is_kept
        {
            taken.of_owner.give_back(owner, self.bytes);
            taken.by_peer.give_back(peer, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use dm_core::ports::{Kept, KeptLimits};

    use super::*;

    /// A store that counts, and a chain that knows one owner.
    #[derive(Default)]
    struct World {
        foreign: Mutex<u64>,
    }

    const ESTABLISHED: Address = Address::repeat_byte(1);
    const BLOCKED: Address = Address::repeat_byte(0);

    impl StorageQuota for World {
        fn kept(&self) -> Kept {
            let foreign = *self.foreign.lock().unwrap();
            Kept { own: 7, foreign }
        }

        fn limits(&self) -> KeptLimits {
            KeptLimits::NONE
        }
    }

    #[async_trait]
    impl OwnerStanding for World {
        async fn is_established(&self, owner: Address) -> bool {
            owner == ESTABLISHED
        }

        async fn is_blocked(&self, owner: Address) -> bool {
            owner == BLOCKED
        }
    }

    fn room(world: &Arc<World>) -> Arc<ForeignRoom> {
        Arc::new(ForeignRoom::new(800, Some(world.clone()), Some(world.clone())))
    }

    fn from(owner: u8) -> Arriving {
        Arriving {
            owner: Address::repeat_byte(owner),
            peer: PeerId::random(),
            is_for_us: false,
        }
    }

    /// Has an object arrive and be stored.
    async fn store(world: &World, room: &Arc<ForeignRoom>, arriving: Arriving, bytes: u64) -> bool {
        let Some(reservation) = room.reserve(arriving, bytes, 0).await else {
            return false;
        };
        *world.foreign.lock().unwrap() += bytes;
        reservation.keep();
        true
    }

    #[tokio::test]
    async fn whoever_they_are_strangers_fill_half_of_the_room_and_the_rest_stays_for_others() {
        let world = Arc::new(World::default());
        let room = room(&world);
        let mut taken = 0;
        for owner in 2..=255 {
            taken += u64::from(store(&world, &room, from(owner), 10).await) * 10;
        }
        assert_eq!(taken, 400);
        assert!(
            store(&world, &room, from(1), 300).await,
            "an owner with an anchored log"
        );
        let for_us = Arriving {
            is_for_us: true,
            ..from(9)
        };
        assert!(store(&world, &room, for_us, 100).await, "what this node may read");
        assert!(!store(&world, &room, from(1), 1).await, "it is full");
    }

    #[tokio::test]
    async fn one_stranger_takes_an_eighth_as_owner_and_as_peer() {
        let world = Arc::new(World::default());
        let room = room(&world);
        for _ in 0..30 {
            store(&world, &room, from(2), 10).await;
        }
        assert_eq!(world.kept().foreign, 100, "whoever brings it");
        let peer = PeerId::random();
        for owner in 3..100 {
            store(&world, &room, Arriving { peer, ..from(owner) }, 10).await;
        }
        assert_eq!(world.kept().foreign, 200, "whosever it is");
        let honest = Arriving { peer, ..from(1) };
        assert!(
            store(&world, &room, honest, 100).await,
            "an established owner's is not counted"
        );
    }

    #[tokio::test]
    async fn owners_without_number_that_one_peer_invents_keep_no_stranger_out() {
        let world = Arc::new(World::default());
        let room = Arc::new(ForeignRoom::new(
            1 << 30,
            Some(world.clone()),
            Some(world.clone()),
        ));
        let (peer, large) = (PeerId::random(), from(3));
        assert!(store(&world, &room, large, 100 << 20).await);
        let invented = |number: u64| Arriving {
            owner: Address::left_padding_from(&number.to_be_bytes()),
            peer,
            is_for_us: false,
        };
        // Half of them offer and bring nothing, the others bring a little.
        for number in 1000..1000 + 3 * MAX_STRANGERS as u64 {
            match number % 2 {
                0 => drop(room.reserve(invented(number), 70, 0).await.unwrap()),
                _ => assert!(store(&world, &room, invented(number), 70).await),
            }
        }
        assert!(
            store(&world, &room, from(4), 70).await,
            "a stranger by another peer"
        );
        let most = (1 << 30) / ONE_STRANGER;
        let again = Arriving {
            peer: PeerId::random(),
            ..large
        };
        assert!(
            !store(&world, &room, again, most - (50 << 20)).await,
            "who has taken much is remembered"
        );
        assert!(room.lock().of_owner.0.len() <= MAX_STRANGERS);
    }

    #[tokio::test]
    async fn room_is_given_back_unless_the_object_was_kept() {
        let world = Arc::new(World::default());
        let room = room(&world);
        let stranger = from(2);
        let first = room.reserve(stranger, 60, 0).await.unwrap();
        assert!(
            room.reserve(stranger, 60, 0).await.is_none(),
            "more than an eighth"
        );
        drop(first);
        room.reserve(stranger, 60, 0).await.unwrap().keep();
        assert!(room.reserve(stranger, 60, 0).await.is_none());
        assert!(room.reserve(stranger, 40, 0).await.is_some());
        assert_eq!(room.lock().reserved, 0);
    }

    #[tokio::test]
    async fn a_blocked_owner_gets_no_room_but_for_what_takes_no_more_than_it_replaces() {
        let world = Arc::new(World::default());
        let room = room(&world);
        let for_us = Arriving {
            is_for_us: true,
            ..from(0)
        };
        for arriving in [from(0), for_us] {
            assert!(room.reserve(arriving, 1, 0).await.is_none());
            assert!(room.reserve(arriving, 70, 70).await.is_some());
        }
    }

    #[tokio::test]
    async fn what_takes_no_more_than_it_replaces_always_fits() {
        let world = Arc::new(World::default());
        let room = room(&world);
        *world.foreign.lock().unwrap() = 5_000;
        assert!(room.reserve(from(2), 70, 70).await.is_some());
        assert!(room.reserve(from(2), 1, 70).await.is_some());
        assert!(room.reserve(from(1), 71, 70).await.is_none());
    }

    #[tokio::test]
    async fn an_enormous_object_does_not_overflow() {
        let room = Arc::new(ForeignRoom::new(100, None, None));
        room.reserve(from(2), 1, 0).await.unwrap().keep();
        assert!(room.reserve(from(2), u64::MAX, 0).await.is_none());
    }
}

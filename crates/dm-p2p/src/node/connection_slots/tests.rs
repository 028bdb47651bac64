use std::collections::HashSet;

use libp2p::Multiaddr;
use proptest::prelude::*;

use super::*;

/// Knows the merit of a few peers; all others are unproven.
#[derive(Default)]
struct Known {
    merits: HashMap<PeerId, Merit>,
    asked: HashSet<PeerId>,
}

impl Judge for Known {
    fn merit(&self, peer: &PeerId) -> Merit {
        self.merits.get(peer).copied().unwrap_or(Merit::Unproven)
    }

    fn is_asked(&self, peer: &PeerId) -> bool {
        self.asked.contains(peer)
    }
}

const ATTACKER: &str = "/ip4/8.8.8.8/tcp/1";
const IN_HIS_NETWORK: &str = "/ip4/8.8.8.9/tcp/1";
const ELSEWHERE: &str = "/ip4/9.9.9.9/tcp/1";

/// Room for eight connections in a direction, four of an address, six of a network.
struct Simulation {
    slots: ConnectionSlots,
    known: Known,
    next: usize,
}

impl Simulation {
    fn new() -> Self {
        let network = NetworkConfig {
            max_connections: 16,
            max_connections_per_peer: 2,
            max_connections_per_address: 4,
            max_connections_per_network: 6,
            ..NetworkConfig::default()
        };
        Self {
            slots: ConnectionSlots::new(&network),
            known: Known::default(),
            next: 0,
        }
    }

    fn peer(&mut self, merit: Merit) -> PeerId {
        let peer = PeerId::random();
        self.known.merits.insert(peer, merit);
        peer
    }

    fn open(&mut self, slot: Slot) -> Option<Vec<ConnectionId>> {
        let closed = self.slots.make_room(&slot, &self.known)?;
        for connection in &closed {
            assert!(self.slots.remove(connection).is_some());
        }
        self.next += 1;
        self.slots.insert(ConnectionId::new_unchecked(self.next), slot);
        Some(closed)
    }

    /// Whether the peer got in.
    fn connects(&mut self, peer: PeerId, from: &str) -> bool {
        self.open(incoming(peer, from)).is_some()
    }

    fn has(&self, peer: &PeerId) -> bool {
        self.slots.open.values().any(|(_, slot)| slot.peer == *peer)
    }

    fn count(&self, direction: Direction) -> usize {
        let slots = self.slots.open.values();
        slots.filter(|(_, slot)| slot.direction == direction).count()
    }
}

fn incoming(peer: PeerId, from: &str) -> Slot {
    let address: Multiaddr = from.parse().unwrap();
    Slot {
        peer,
        direction: Direction::Incoming,
        origin: Origin::of(&address),
        relayed: false,
    }
}

fn outgoing(peer: PeerId, to: &str) -> Slot {
    Slot {
        direction: Direction::Outgoing,
        ..incoming(peer, to)
    }
}

#[test]
fn one_identity_has_two_connections_and_the_newest_stand() {
    let (mut slots, peer) = (Simulation::new(), PeerId::random());
    let relayed = Slot {
        relayed: true,
        ..incoming(peer, ELSEWHERE)
    };
    assert_eq!(slots.open(incoming(peer, ATTACKER)), Some(vec![]));
    assert_eq!(slots.open(relayed), Some(vec![]));
    let second = Some(vec![ConnectionId::new_unchecked(2)]);
    assert_eq!(
        slots.open(incoming(peer, ATTACKER)),
        second,
        "the relayed one goes first"
    );
    let first = Some(vec![ConnectionId::new_unchecked(1)]);
    assert_eq!(slots.open(incoming(peer, ATTACKER)), first);
    assert_eq!(slots.count(Direction::Incoming), 2);
}

#[test]
fn one_address_and_one_network_have_their_part_and_no_more() {
    let mut slots = Simulation::new();
    for _ in 0..100 {
        assert!(slots.connects(PeerId::random(), ATTACKER));
    }
    assert_eq!(slots.count(Direction::Incoming), 4);
    for _ in 0..100 {
        assert!(slots.connects(PeerId::random(), IN_HIS_NETWORK));
    }
    assert_eq!(slots.count(Direction::Incoming), 6);
    let honest = PeerId::random();
    assert!(slots.connects(honest, ELSEWHERE));
    for _ in 0..100 {
        assert!(slots.connects(PeerId::random(), ATTACKER));
    }
    assert!(slots.has(&honest), "who comes from elsewhere stays");
}

#[test]
fn incoming_connections_take_nothing_from_outgoing_ones() {
    let mut slots = Simulation::new();
    let reached: Vec<PeerId> = (0..3).map(|_| PeerId::random()).collect();
    for peer in &reached {
        slots.open(outgoing(*peer, ATTACKER)).unwrap();
    }
    for n in 0..100 {
        assert!(slots.connects(PeerId::random(), &format!("/ip4/8.{n}.1.1/tcp/1")));
    }
    assert_eq!(slots.count(Direction::Incoming), 8);
    assert!(reached.iter().all(|peer| slots.has(peer)));
    assert_eq!(slots.slots.free_outgoing(), 5);
}

#[test]
fn who_has_proven_nothing_takes_no_place_of_who_has() {
    let mut slots = Simulation::new();
    let useful: Vec<PeerId> = (0..4).map(|_| slots.peer(Merit::Useful)).collect();
    assert!(useful.iter().all(|peer| slots.connects(*peer, ATTACKER)));
    assert!(!slots.connects(PeerId::random(), ATTACKER));
    let steady = slots.peer(Merit::Steady);
    assert!(!slots.connects(steady, ATTACKER));
    assert!(useful.iter().all(|peer| slots.has(peer)));
}

#[test]
fn a_better_peer_takes_the_place_of_the_least_useful() {
    let mut slots = Simulation::new();
    let (steady, unproven) = (slots.peer(Merit::Steady), slots.peer(Merit::Unproven));
    let useful = [(); 4].map(|()| slots.peer(Merit::Useful));
    assert!(slots.connects(steady, ATTACKER) && slots.connects(unproven, ATTACKER));
    assert!(useful[..3].iter().all(|peer| slots.connects(*peer, ATTACKER)));
    assert!(!slots.has(&unproven) && slots.has(&steady));
    assert!(slots.connects(useful[3], ATTACKER));
    assert!(!slots.has(&steady));
}

#[test]
fn who_waits_for_long_keeps_no_newcomer_out() {
    let mut slots = Simulation::new();
    let patient: Vec<PeerId> = (0..4).map(|_| slots.peer(Merit::Steady)).collect();
    assert!(patient.iter().all(|peer| slots.connects(*peer, ATTACKER)));
    for _ in 0..20 {
        let newcomer = PeerId::random();
        assert!(slots.connects(newcomer, ATTACKER) && slots.has(&newcomer));
    }
    assert_eq!(patient.iter().filter(|peer| slots.has(peer)).count(), 3);
}

#[test]
fn a_peer_that_is_being_asked_is_not_hung_up_on() {
    let mut slots = Simulation::new();
    let asked = PeerId::random();
    slots.known.asked.insert(asked);
    assert!(slots.connects(asked, ATTACKER));
    for _ in 0..100 {
        assert!(slots.connects(PeerId::random(), ATTACKER));
    }
    assert!(slots.has(&asked));
}

#[test]
fn within_one_process_only_the_direction_counts() {
    let mut slots = Simulation::new();
    for _ in 0..8 {
        assert!(slots.connects(PeerId::random(), "/memory/1"));
    }
    assert_eq!(slots.count(Direction::Incoming), 8);
}

fn merits() -> impl Strategy<Value = Merit> {
    prop_oneof![Just(Merit::Unproven), Just(Merit::Steady), Just(Merit::Useful)]
}

proptest! {
    #[test]
    fn whatever_comes_all_limits_hold_and_useful_peers_stay(
        comers in proptest::collection::vec((merits(), any::<bool>(), 0..3u8, 0..3u8), 1..200),
    ) {
        let mut slots = Simulation::new();
        for (merit, out, network, host) in comers {
            let address = format!("/ip4/8.8.{network}.{host}/tcp/1");
            let peer = slots.peer(merit);
            let slot = if out { outgoing(peer, &address) } else { incoming(peer, &address) };
            let before: HashSet<PeerId> = slots.slots.open.values().map(|(_, slot)| slot.peer).collect();
            slots.open(slot);
            let lost_useful = before
                .iter()
                .any(|peer| !slots.has(peer) && slots.known.merit(peer) == Merit::Useful);
            prop_assert!(!lost_useful);
            for (_, one) in slots.slots.open.values() {
                for (scope, limit) in [(Scope::Address, 4), (Scope::Network, 6), (Scope::Direction, 8)] {
                    let others = slots.slots.open.values();
                    prop_assert!(others.filter(|(_, other)| scope.has_both(one, other)).count() <= limit);
                }
            }
        }
    }
}

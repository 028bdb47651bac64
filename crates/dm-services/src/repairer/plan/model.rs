//! The plan against a simple reference: what is known of one object's holders,
//! told anew from the whole history for each peer.

use dm_core::hash::DataHash;
use proptest::prelude::*;

use super::*;

const PEERS: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Event {
    Told(usize),
    Up(usize),
    Down(usize),
    Proof(usize, Proof),
    Wait(u64),
    Act,
}

fn config() -> RepairConfig {
    RepairConfig {
        factor: 3,
        forget_after: 50_000,
        claim_patience: 10_000,
        challenge_interval: 20_000,
        first_pause: 2_000,
        longest_pause: 16_000,
        grace: 4_000,
        turn: 500,
        ..RepairConfig::default()
    }
}

fn object() -> ObjectId {
    ObjectId {
        locator: DataHash::of(b"x").locator(),
        owner: alloy_primitives::Address::ZERO,
    }
}

fn key(index: usize) -> PeerKey {
    PeerKey::of(&format!("peer {index}"))
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let peer = 0..PEERS;
    let proof = prop_oneof![
        4 => Just(Proof::Proven),
        1 => Just(Proof::Missing),
        1 => Just(Proof::Wrong),
        2 => Just(Proof::Silent),
    ];
    let event = prop_oneof![
        3 => peer.clone().prop_map(Event::Told),
        2 => peer.clone().prop_map(Event::Up),
        2 => peer.clone().prop_map(Event::Down),
        4 => (peer, proof).prop_map(|(peer, proof)| Event::Proof(peer, proof)),
        3 => (0..15_000u64).prop_map(Event::Wait),
        3 => Just(Event::Act),
    ];
    prop::collection::vec(event, 1..80)
}

/// What one peer is to the object, from the history alone.
#[derive(Default)]
struct Expected {
    claimed: Option<u64>,
    proved: bool,
    silent: bool,
    away: Option<u64>,
    refuted: Option<u64>,
    asked: bool,
}

impl Expected {
    fn is_live(&self, now: u64) -> bool {
        let Some(claimed) = self.claimed else {
            return false;
        };
        self.away.is_none() && !self.silent && (self.proved || now < claimed + config().claim_patience)
    }

    fn see(&mut self, event: Event, me: usize, now: u64) {
        let is_me = |peer: usize| peer == me;
        match event {
            Event::Told(peer) if is_me(peer) => {
                let may_claim = self.refuted.is_none_or(|until| now >= until);
                if self.claimed.is_none() && may_claim {
                    self.claimed = Some(now);
                    (self.proved, self.silent, self.asked) = (false, false, false);
                }
            }
            Event::Up(peer) if is_me(peer) => self.back(),
            // Of a peer that holds nothing it is not remembered that it is away.
            Event::Down(peer) if is_me(peer) && self.claimed.is_none() => self.away = None,
            Event::Down(peer) if is_me(peer) => self.away = self.away.or(Some(now)),
            Event::Proof(peer, Proof::Silent) if is_me(peer) => {
                self.away = self.away.or(Some(now));
                self.silent |= self.claimed.is_some();
                self.asked = false;
            }
            Event::Proof(peer, Proof::Proven) if is_me(peer) => {
                self.back();
                self.proved |= self.claimed.is_some();
                self.asked = false;
            }
            Event::Proof(peer, proof) if is_me(peer) => {
                self.back();
                if self.claimed.take().is_some() {
                    let avoided = match proof {
                        Proof::Wrong => config().forget_after,
                        _ => config().longest_pause,
                    };
                    self.refuted = Some(now + avoided);
                }
                self.asked = false;
            }
            // The plan forgets when it acts.
            Event::Act => {
                let gone = self
                    .away
                    .is_some_and(|since| now >= since + config().forget_after);
                let stale = !self.proved
                    && !self.asked
                    && self.claimed.is_some_and(|at| now >= at + config().claim_patience);
                if gone || stale {
                    self.claimed = None;
                }
            }
            _ => {}
        }
    }

    fn back(&mut self) {
        if self.away.take().is_some() {
            self.silent = false;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Who holds the object, and who counts, is what the history says.
    #[test]
    fn the_plan_knows_what_the_history_tells(events in events()) {
        let mut plan = RepairPlan::new(PeerKey::of("me"), config(), 0);
        plan.keep(object(), true, 1000, Vec::new(), 0);
        let mut expected: Vec<Expected> = (0..PEERS).map(|_| Expected::default()).collect();
        let mut now = 1;
        for event in events {
            match event {
                Event::Told(peer) => plan.told(&object(), &[key(peer)], now),
                Event::Up(peer) => plan.peer_up(key(peer), now),
                Event::Down(peer) => plan.peer_down(key(peer), now),
                Event::Proof(peer, proof) => plan.proved(&object(), key(peer), proof, now),
                Event::Wait(time) => now += time,
                Event::Act => {
                    // Forgetting is looked at whenever the object is.
                    plan.touch(&object(), now);
                }
            }
            for (index, peer) in expected.iter_mut().enumerate() {
                peer.see(event, index, now);
            }
            if matches!(event, Event::Act) {
                for action in plan.due(now) {
                    match action {
                        Action::Challenge { peer, .. } => {
                            let index = (0..PEERS).find(|index| key(*index) == peer).unwrap();
                            prop_assert!(expected[index].claimed.is_some(), "only holders are challenged");
                            expected[index].asked = true;
                        }
                        Action::Place { copies, avoid, .. } => {
                            let live = expected.iter().filter(|peer| peer.is_live(now)).count() as u32;
                            prop_assert_eq!(copies, 3 - live, "as many copies as are missing");
                            for (index, peer) in expected.iter().enumerate() {
                                let is_avoided = avoid.contains(&key(index));
                                prop_assert!(is_avoided || peer.claimed.is_none(), "a holder gets no second copy");
                            }
                            plan.placed(&object(), &[], now);
                        }
                        Action::Search { .. } => plan.found(&object(), &[], now),
                        Action::Expire { .. } | Action::Record { .. } => {}
                    }
                }
            }
            let copies = plan.copies(&object(), now).unwrap();
            for (index, peer) in expected.iter().enumerate() {
                let known = copies.holders.iter().find(|(holder, _)| holder.peer == key(index));
                prop_assert_eq!(known.is_some(), peer.claimed.is_some(), "{:?}", event);
                prop_assert_eq!(known.is_some_and(|(_, live)| *live), peer.is_live(now), "{:?}", event);
            }
        }
    }
}

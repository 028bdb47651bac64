//! The plan against a simple reference: what is known of one object's holders,
//! told anew from the whole history for each peer.

use proptest::prelude::*;

use super::*;

const PEERS: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Event {
    Transferred(usize),
    Hinted(usize),
    Up(usize),
    Down(usize),
    Proof(usize, Proof),
    Wait(u64),
    /// The process ends and begins anew.
    Restart,
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

fn events() -> impl Strategy<Value = Vec<Event>> {
    let peer = 0..PEERS;
    let proof = prop_oneof![
        4 => Just(Proof::Proven),
        1 => Just(Proof::Missing),
        1 => Just(Proof::Wrong),
        2 => Just(Proof::Silent),
    ];
    let event = prop_oneof![
        3 => peer.clone().prop_map(Event::Transferred),
        2 => peer.clone().prop_map(Event::Hinted),
        2 => peer.clone().prop_map(Event::Up),
        2 => peer.clone().prop_map(Event::Down),
        4 => (peer, proof).prop_map(|(peer, proof)| Event::Proof(peer, proof)),
        3 => (0..15_000u64).prop_map(Event::Wait),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..80)
}

/// What one peer is to the object, from the history alone.
#[derive(Default)]
struct Expected {
    /// Since when it is a holder.
    holds: Option<u64>,
    proved: bool,
    silent: bool,
    away: Option<u64>,
    refuted: Option<u64>,
}

impl Expected {
    fn is_live(&self, now: u64) -> bool {
        let Some(since) = self.holds else { return false };
        let is_proven = self.proved || now < since + config().claim_patience;
        is_proven && self.away.is_none() && !self.silent
    }

    /// Whether it is no holder any more when it is looked at: what it took it
    /// never proved.
    fn is_stale(&self, now: u64) -> bool {
        !self.proved
            && self
                .holds
                .is_some_and(|since| now >= since + config().claim_patience)
    }

    /// Of a peer that holds nothing it is not remembered that it is away.
    fn leave(&mut self, now: u64) {
        self.away = self.holds.and(self.away.or(Some(now)));
    }

    fn is_gone(&self, now: u64) -> bool {
        self.away
            .is_some_and(|since| now >= since + config().forget_after)
    }

    fn see(&mut self, event: Event, me: usize, now: u64) {
        match event {
            Event::Transferred(peer) if peer == me => {
                self.away = None;
                let may_hold = self.refuted.is_none_or(|until| now >= until);
                if self.holds.is_none() && may_hold {
                    self.holds = Some(now);
                    (self.proved, self.silent) = (false, false);
                }
            }
            Event::Up(peer) if peer == me => self.away = None,
            Event::Down(peer) if peer == me => self.leave(now),
            Event::Proof(peer, Proof::Silent) if peer == me => {
                self.leave(now);
                self.silent |= self.holds.is_some();
            }
            Event::Proof(peer, Proof::Proven) if peer == me => {
                let may_hold = self.refuted.is_none_or(|until| now >= until);
                if may_hold {
                    self.holds = self.holds.or(Some(now));
                    (self.proved, self.silent, self.away) = (true, false, None);
                }
            }
            Event::Proof(peer, proof) if peer == me => {
                let avoided = match proof {
                    Proof::Wrong => config().forget_after,
                    _ => config().longest_pause,
                };
                self.refuted = Some(now + avoided);
                (self.holds, self.away) = (None, None);
            }
            _ => {}
        }
    }
}

async fn the_plan_knows_what_the_history_tells(events: Vec<Event>) -> Result<(), TestCaseError> {
    let store = MemoryKeyValueStore::new();
    let mut plan = open(&store, 1000, config(), 0).await;
    plan.keep(&object(1), true, 1000, None, 0).await.unwrap();
    let mut expected: Vec<Expected> = (0..PEERS).map(|_| Expected::default()).collect();
    let mut now = 1;
    for event in events {
        let one = |index: usize| peer(index as u64);
        match event {
            Event::Transferred(index) => plan.transferred(&object(1), &[one(index)], now).await.unwrap(),
            Event::Hinted(index) => plan.hinted(&object(1), &[one(index)], key(9)).await.unwrap(),
            Event::Up(index) => plan.peer_up(&one(index)),
            Event::Down(index) => plan.peer_down(&one(index), now),
            Event::Proof(index, proof) => plan.proved(&object(1), &one(index), proof, now).await.unwrap(),
            Event::Wait(time) => now += time,
            Event::Restart => {
                plan.flush().await.unwrap();
                plan = open(&store, 1000, config(), now).await;
            }
        }
        for (index, peer) in expected.iter_mut().enumerate() {
            peer.see(event, index, now);
        }
        // Whoever changed the object last has had it looked at.
        let is_looked_at = matches!(event, Event::Transferred(_) | Event::Proof(..));
        let copies = plan.copies(&object(1), now).await.unwrap().unwrap();
        for (index, peer) in expected.iter_mut().enumerate() {
            let known = copies.holders.iter().find(|(holder, ..)| *holder == one(index));
            if known.is_none() && peer.is_stale(now) || is_looked_at && peer.is_stale(now) {
                (peer.holds, peer.away) = (None, None);
            }
            prop_assert_eq!(known.is_some(), peer.holds.is_some(), "{} {:?}", index, event);
            let is_live = known.is_some_and(|(.., live)| *live);
            prop_assert_eq!(is_live, peer.is_live(now), "{} {:?}", index, event);
        }
        for action in due(&mut plan, now).await {
            match action {
                Action::Place { copies, avoid, .. } => {
                    let live = expected.iter().filter(|peer| peer.is_live(now)).count() as u32;
                    prop_assert_eq!(copies, 3 - live, "as many copies as are missing");
                    for (index, peer) in expected.iter().enumerate() {
                        let may_get_one = peer.holds.is_none() || peer.is_stale(now) || peer.is_gone(now);
                        prop_assert!(avoid.contains(&one(index)) || may_get_one, "no second copy");
                    }
                    plan.placed(&object(1), &[], None, now).await.unwrap();
                }
                Action::Search { object } => plan.found(&object, &[], now).await.unwrap(),
                // Answered by later events, or never.
                Action::Challenge { object, peer, .. } => {
                    plan.not_challenged(&object, peer.key, now).await.unwrap();
                }
                Action::Expire { .. } | Action::Count { .. } => {}
            }
        }
        // Looking at it may have been due, and being away for too long too.
        let copies = plan.copies(&object(1), now).await.unwrap().unwrap();
        for (index, peer) in expected.iter_mut().enumerate() {
            let is_known = copies.holders.iter().any(|(holder, ..)| *holder == one(index));
            if !is_known && (peer.is_stale(now) || peer.is_gone(now)) {
                (peer.holds, peer.away) = (None, None);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Who holds the object, and who counts, is what the history says, across restarts.
    #[test]
    fn whatever_happens_the_plan_knows_what_the_history_tells(events in events()) {
        run(the_plan_knows_what_the_history_tells(events))?;
    }
}

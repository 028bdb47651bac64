//! Whatever happens to a network, its objects get their copies.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;

/// A network of peers with disks, some of which lie.
struct World {
    up: BTreeSet<u64>,
    disks: HashMap<ObjectId, BTreeSet<u64>>,
    liars: BTreeSet<u64>,
}

impl World {
    fn proof(&self, object: &ObjectId, whom: &Peer) -> Proof {
        let index = (0..20).find(|index| peer(*index) == *whom).unwrap();
        match self.up.contains(&index) {
            false => Proof::Silent,
            true if self.disks[object].contains(&index) => Proof::Proven,
            true if self.liars.contains(&index) => Proof::Wrong,
            true => Proof::Missing,
        }
    }

    async fn answer(&mut self, plan: &mut RepairPlan, action: Action, now: u64) {
        match action {
            Action::Challenge { object, peer, .. } => {
                let proof = self.proof(&object, &peer);
                plan.proved(&object, &peer, proof, now).await.unwrap();
            }
            Action::Search { object } => {
                let honest = self.disks[&object].iter().filter(|peer| self.up.contains(peer));
                let liars = self.liars.iter().filter(|peer| self.up.contains(peer));
                let claims: Vec<Peer> = honest.chain(liars).map(|index| peer(*index)).collect();
                plan.found(&object, &claims, now).await.unwrap();
            }
            Action::Place {
                object,
                copies,
                avoid,
            } => {
                let mut free: Vec<u64> = self.up.iter().copied().collect();
                free.retain(|index| !avoid.contains(&peer(*index)));
                free.sort_by_key(|index| key(*index).distance(&object));
                free.truncate(copies as usize);
                for index in free.iter().filter(|index| !self.liars.contains(index)) {
                    self.disks.get_mut(&object).unwrap().insert(*index);
                }
                plan.placed(&object, &peers(&free), None, now).await.unwrap();
            }
            Action::Expire { .. } | Action::Count { .. } => {}
        }
    }

    async fn run(&mut self, plan: &mut RepairPlan, clock: &mut u64, until: u64) {
        while *clock < until {
            for action in due(plan, *clock).await {
                self.answer(plan, action, *clock).await;
            }
            let next = plan.next_due(*clock).await.unwrap().unwrap_or(until);
            *clock = next.clamp(*clock + 1, until);
        }
    }

    fn honest_copies(&self, object: &ObjectId) -> usize {
        self.disks[object]
            .iter()
            .filter(|peer| self.up.contains(peer))
            .count()
    }
}

/// What happens: a kind of it, a peer, and seconds before it.
type Step = (u8, u64, u64);

async fn every_object_gets_its_copies(liars: BTreeSet<u64>, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let objects: Vec<ObjectId> = (0..4).map(object).collect();
    let mut world = World {
        up: (0..12).collect(),
        disks: objects.iter().map(|object| (*object, BTreeSet::new())).collect(),
        liars,
    };
    let store = MemoryKeyValueStore::new();
    let mut plan = open(&store, 1000, RepairConfig::default(), 0).await;
    for object in &objects {
        plan.keep(object, true, 1000, None, 0).await.unwrap();
    }
    let (mut clock, mut now) = (0, 0);
    for (step, index, pause) in steps {
        now += pause * SECOND;
        world.run(&mut plan, &mut clock, now).await;
        match step {
            0 | 1 => {
                world.up.remove(&index);
                // Sometimes nobody notices but by its silence.
                if step == 0 {
                    plan.peer_down(&peer(index), now);
                }
            }
            2 | 3 => {
                world.up.insert(index);
                if step == 2 {
                    for disk in world.disks.values_mut() {
                        disk.remove(&index);
                    }
                }
                plan.peer_up(&peer(index));
            }
            // The process is killed: what was under way is lost.
            4 => plan = open(&store, 1000, RepairConfig::default(), now).await,
            _ => {}
        }
    }
    world.up = (0..12).collect();
    for index in 0..12 {
        plan.peer_up(&peer(index));
    }
    world.run(&mut plan, &mut clock, now + 24 * HOUR).await;
    for object in &objects {
        prop_assert!(world.honest_copies(object) >= 3);
        let copies = plan.copies(object, clock).await.unwrap().unwrap();
        prop_assert!(copies.live >= 3);
        let live: BTreeMap<PeerKey, bool> = copies
            .holders
            .iter()
            .map(|(holder, _, live)| (holder.key, *live))
            .collect();
        for liar in &world.liars {
            prop_assert_ne!(live.get(&key(*liar)), Some(&true), "a liar never counts");
        }
    }
    prop_assert_eq!(plan.totals(), (4, 0));
    let before = world.disks.clone();
    world.run(&mut plan, &mut clock, now + 72 * HOUR).await;
    prop_assert_eq!(before, world.disks, "a quiet network makes no copies");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes and goes and lies: once the network is quiet, and has
    /// peers enough, every object has its copies, proven, and no more is done.
    #[test]
    fn after_any_history_every_object_gets_its_copies(
        liars in prop::collection::btree_set(0..12u64, 0..5),
        steps in prop::collection::vec((0..6u8, 0..12u64, 0..400u64), 0..60),
    ) {
        run(every_object_gets_its_copies(liars, steps))?;
    }
}

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
    fn answer(&mut self, plan: &mut RepairPlan, action: Action, now: u64) {
        let index = |peer: PeerKey| (0..20).find(|index| key(*index) == peer).unwrap();
        match action {
            Action::Challenge { object, peer } => {
                let peer_index = index(peer);
                let proof = match self.up.contains(&peer_index) {
                    false => Proof::Silent,
                    true if self.disks[&object].contains(&peer_index) => Proof::Proven,
                    true if self.liars.contains(&peer_index) => Proof::Wrong,
                    true => Proof::Missing,
                };
                plan.proved(&object, peer, proof, now);
            }
            Action::Search { object } => {
                let honest = self.disks[&object].iter().filter(|peer| self.up.contains(peer));
                let liars = self.liars.iter().filter(|peer| self.up.contains(peer));
                let claims: Vec<PeerKey> = honest.chain(liars).map(|peer| key(*peer)).collect();
                plan.found(&object, &claims, now);
            }
            Action::Place {
                object,
                copies,
                avoid,
            } => {
                let mut free: Vec<u64> = self.up.iter().copied().collect();
                free.retain(|peer| !avoid.contains(&key(*peer)));
                free.sort_by_key(|peer| key(*peer).distance(&object));
                free.truncate(copies as usize);
                for peer in free.iter().filter(|peer| !self.liars.contains(peer)) {
                    self.disks.get_mut(&object).unwrap().insert(*peer);
                }
                let taken: Vec<PeerKey> = free.iter().map(|peer| key(*peer)).collect();
                plan.placed(&object, &taken, now);
            }
            Action::Expire { .. } | Action::Record { .. } => {}
        }
    }

    fn honest_copies(&self, object: &ObjectId) -> usize {
        self.disks[object]
            .iter()
            .filter(|peer| self.up.contains(peer))
            .count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever comes and goes and lies: once the network is quiet, and has
    /// peers enough, every object has its copies, proven, and no more is done.
    #[test]
    fn after_any_history_every_object_gets_its_copies(
        liars in prop::collection::btree_set(0..12u64, 0..5),
        steps in prop::collection::vec((0..5u8, 0..12u64, 0..400u64), 0..60),
    ) {
        let objects: Vec<ObjectId> = (0..4).map(object).collect();
        let mut world = World {
            up: (0..12).collect(),
            disks: objects.iter().map(|object| (*object, BTreeSet::new())).collect(),
            liars,
        };
        let mut plan = RepairPlan::new(key(1000), RepairConfig::default(), 0);
        for object in &objects {
            plan.keep(*object, true, 1000, Vec::new(), 0);
        }
        let mut now = 0;
        let mut run = |world: &mut World, plan: &mut RepairPlan, until: u64| {
            while now < until {
                for action in plan.due(now) {
                    world.answer(plan, action, now);
                }
                now = plan.next_due(now).unwrap_or(until).clamp(now + 1, until);
            }
        };
        let mut clock = 0;
        for (step, peer, pause) in steps {
            clock += pause * SECOND;
            run(&mut world, &mut plan, clock);
            match step {
                0 | 1 => {
                    world.up.remove(&peer);
                    // Sometimes nobody notices but by its silence.
                    if step == 0 {
                        plan.peer_down(key(peer), clock);
                    }
                }
                2 | 3 => {
                    world.up.insert(peer);
                    if step == 2 {
                        for disk in world.disks.values_mut() {
                            disk.remove(&peer);
                        }
                    }
                    plan.peer_up(key(peer), clock);
                }
                _ => {}
            }
        }
        world.up = (0..12).collect();
        for peer in 0..12 {
            plan.peer_up(key(peer), clock);
        }
        run(&mut world, &mut plan, clock + 24 * HOUR);
        for object in &objects {
            prop_assert!(world.honest_copies(object) >= 3);
            let copies = plan.copies(object, clock + 24 * HOUR).unwrap();
            let live: BTreeMap<PeerKey, bool> =
                copies.holders.iter().map(|(holder, live)| (holder.peer, *live)).collect();
            prop_assert!(copies.live >= 3);
            for liar in &world.liars {
                prop_assert_ne!(live.get(&key(*liar)), Some(&true), "a liar never counts");
            }
        }
        prop_assert_eq!(plan.totals(), (4, 0));
        let before = world.disks.clone();
        run(&mut world, &mut plan, clock + 72 * HOUR);
        prop_assert_eq!(before, world.disks, "a quiet network makes no copies");
    }
}

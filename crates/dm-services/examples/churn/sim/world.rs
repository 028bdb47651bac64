use std::{collections::HashMap, time::Instant};

use dm_core::{Address, envelope::ObjectId, hash::DataHash};
use dm_services::repairer::plan::{Peer, PeerKey};

use super::{
    DAY, HOUR, MINUTE, Outcome, Random, SECOND, Scenario, at_once, clock::Clock, dht::Dht, measure::Gauge,
    node::Node,
};

mod actions;

/// Longest time until others notice that a node has gone: their next check.
const NOTICED_WITHIN: u64 = MINUTE;
/// How long an owner stays.
const OWNER_STAYS: u64 = HOUR;

enum Event {
    /// An owner joins and shares its object.
    Share { object: usize },
    /// A node comes home, for the first time or back.
    Come { node: usize },
    /// A node leaves, and never returns, if it is `last`.
    Leave { node: usize, start: u32, last: bool },
    /// A node has something to do.
    Wake { node: usize, start: u32 },
    /// A node notices that another has come or gone.
    Notice { node: usize, start: u32, other: usize },
    /// An answer to a challenge, or none.
    Answer {
        node: usize,
        start: u32,
        object: usize,
        other: usize,
        known: Vec<Peer>,
    },
    /// A search has ended.
    Found { node: usize, start: u32, object: usize },
    /// Transfers have ended, where both sides are still there.
    Placed {
        node: usize,
        start: u32,
        object: usize,
        others: Vec<(usize, u32)>,
    },
    /// A node announces what it has.
    Provide { node: usize, start: u32 },
    /// Time to look at everything.
    Sample,
}

/// The simulated network.
pub(crate) struct World {
    scenario: Scenario,
    random: Random,
    clock: Clock<Event>,
    nodes: Vec<Node>,
    /// Nodes by key, as they were met.
    by_key: HashMap<PeerKey, usize>,
    objects: Vec<ObjectId>,
    by_id: HashMap<ObjectId, usize>,
    /// Who has which object on a disk that is not lost.
    copies: Vec<Vec<usize>>,
    dht: Dht,
    gauge: Gauge,
    at_home: usize,
    challenges: u64,
    searches: u64,
    copies_made: u64,
}

impl World {
    /// A network at the start, when everybody is at home and nothing is shared.
    pub(crate) fn new(scenario: Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let objects: Vec<ObjectId> = (0..scenario.objects as u64)
            .map(|number| ObjectId {
                locator: DataHash::of(&number.to_be_bytes()).locator(),
                owner: Address::ZERO,
            })
            .collect();
        let mut world = Self {
            by_id: objects.iter().copied().zip(0..).collect(),
            gauge: Gauge::new(&scenario),
            clock: Clock::new(),
            nodes: Vec::new(),
            by_key: HashMap::new(),
            copies: vec![Vec::new(); scenario.objects],
            objects,
            dht: Dht::default(),
            at_home: 0,
            challenges: 0,
            searches: 0,
            copies_made: 0,
            random: random.clone(),
            scenario,
        };
        for _ in 0..scenario.nodes {
            let node = world.new_node();
            world.clock.after(0, Event::Come { node });
        }
        let first_day = DAY.min(scenario.duration / 2);
        for object in 0..scenario.objects {
            let at = SECOND + random.below(first_day);
            world.clock.at(at, Event::Share { object });
        }
        world.clock.after(MINUTE, Event::Sample);
        world.random = random;
        world
    }

    /// Runs to the end.
    pub(crate) fn run(mut self) -> Outcome {
        let began = Instant::now();
        while let Some(event) = self.clock.next_before(self.scenario.duration) {
            self.handle(event);
        }
        let mut repair_times = std::mem::take(&mut self.gauge.repair_times);
        repair_times.sort_unstable();
        Outcome {
            scenario: self.scenario,
            lost: self.gauge.lost(),
            repair_times,
            samples: self.gauge.samples,
            challenges: self.challenges,
            searches: self.searches,
            copies_made: self.copies_made,
            node_hours: self.gauge.node_hours,
            took: began.elapsed(),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Share { object } => self.share(object),
            Event::Come { node } => self.come(node),
            Event::Leave { node, start, last } if self.is_at(node, start) => self.leave(node, last),
            Event::Wake { node, start }
                if self.is_at(node, start) && self.nodes[node].wakes == self.clock.now() =>
            {
                self.nodes[node].wakes = u64::MAX;
                self.act(node);
            }
            Event::Notice { node, start, other } if self.is_at(node, start) => self.notice(node, other),
            Event::Answer {
                node,
                start,
                object,
                other,
                known,
            } if self.is_at(node, start) => self.answer(node, object, other, &known),
            Event::Found { node, start, object } if self.is_at(node, start) => self.found(node, object),
            Event::Placed {
                node,
                start,
                object,
                others,
            } if self.is_at(node, start) => self.placed(node, object, &others),
            Event::Provide { node, start } if self.is_at(node, start) => self.provide_all(node),
            Event::Sample => {
                self.gauge.sample(self.clock.now(), self.at_home);
                self.clock.after(MINUTE, Event::Sample);
            }
            // Whoever it concerned is not there any more.
            _ => {}
        }
    }

    fn new_node(&mut self) -> usize {
        let key = PeerKey((u128::from(self.random.next()) << 64) | u128::from(self.random.next()));
        self.nodes.push(Node::new(key));
        self.by_key.insert(key, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// Where an object is in the space of the keys.
    fn target(&self, object: usize) -> u128 {
        PeerKey(0).distance(&self.objects[object])
    }

    fn is_at(&self, node: usize, start: u32) -> bool {
        self.nodes[node].is_home && self.nodes[node].starts == start
    }

    /// Owners take no part in keeping the objects of others.
    fn share(&mut self, object: usize) {
        let owner = self.new_node();
        let (now, id) = (self.clock.now(), self.objects[object]);
        self.copies[object].push(owner);
        let node = &mut self.nodes[owner];
        node.is_home = true;
        node.starts = 1;
        node.is_owner = true;
        node.disk.insert(object);
        let mut plan = node.open_plan(self.scenario.config, now);
        at_once(plan.keep(&id, true, self.scenario.object_bytes, None, now));
        node.plan = Some(plan);
        self.gauge.share(object);
        self.gauge.disk(object, true);
        self.gauge.home(object, true, now);
        let last = Event::Leave {
            node: owner,
            start: 1,
            last: true,
        };
        self.clock.after(OWNER_STAYS, last);
        self.act(owner);
    }

    fn come(&mut self, node: usize) {
        let now = self.clock.now();
        let start = self.nodes[node].starts + 1;
        let plan = self.nodes[node].open_plan(self.scenario.config, now);
        for object in &self.nodes[node].disk {
            self.gauge.home(*object, true, now);
        }
        let entry = &mut self.nodes[node];
        (entry.is_home, entry.starts, entry.plan) = (true, start, Some(plan));
        entry.wakes = u64::MAX;
        self.at_home += 1;
        self.dht.join(entry.peer.key.0, node);
        self.tell_others(node);
        let leaves = self.random.until_next(self.scenario.leaving);
        let last = self.random.fraction() < self.scenario.lost;
        self.clock.after(leaves, Event::Leave { node, start, last });
        self.clock.after(0, Event::Provide { node, start });
        self.act(node);
    }

    fn leave(&mut self, node: usize, last: bool) {
        let now = self.clock.now();
        let is_owner = self.nodes[node].is_owner;
        self.nodes[node].is_home = false;
        self.nodes[node].plan = None;
        self.dht.leave(self.nodes[node].peer.key.0);
        let disk: Vec<usize> = self.nodes[node].disk.iter().copied().collect();
        for object in disk {
            self.gauge.home(object, false, now);
        }
        self.tell_others(node);
        if last {
            self.lose_disk(node);
        }
        if is_owner {
            return;
        }
        self.at_home -= 1;
        let absence = self.random.below(self.scenario.longest_absence);
        let next = if last { self.new_node() } else { node };
        self.clock.after(absence, Event::Come { node: next });
    }

    fn lose_disk(&mut self, node: usize) {
        for object in std::mem::take(&mut self.nodes[node].disk) {
            self.gauge.disk(object, false);
            self.copies[object].retain(|holder| *holder != node);
        }
    }

    /// Those who hold the same objects notice after a while.
    fn tell_others(&mut self, other: usize) {
        let mut concerned: Vec<usize> = Vec::new();
        for object in &self.nodes[other].disk {
            concerned.extend(self.holders_at_home(*object));
        }
        concerned.sort_unstable();
        concerned.dedup();
        for node in concerned.into_iter().filter(|node| *node != other) {
            let start = self.nodes[node].starts;
            let pause = SECOND + self.random.below(NOTICED_WITHIN);
            self.clock.after(pause, Event::Notice { node, start, other });
        }
    }

    fn holders_at_home(&self, object: usize) -> Vec<usize> {
        self.copies[object]
            .iter()
            .copied()
            .filter(|node| self.nodes[*node].is_home)
            .collect()
    }

    fn notice(&mut self, node: usize, other: usize) {
        let (peer, is_home) = (self.nodes[other].peer.clone(), self.nodes[other].is_home);
        let now = self.clock.now();
        if let Some(plan) = &mut self.nodes[node].plan {
            if is_home {
                plan.peer_up(&peer);
            } else {
                plan.peer_down(&peer, now);
            }
        }
        self.act(node);
    }
}

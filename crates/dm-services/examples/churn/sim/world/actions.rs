//! Does what the plans of the nodes say, in modelled time.

use dm_services::repairer::plan::{Action, Peer, Proof};

use super::{Event, World, at_once};
use crate::sim::{HOUR, SECOND};

/// A question and its answer.
const ROUND_TRIP: u64 = 200;
/// A question to somebody who is not there.
const TIMEOUT: u64 = 5 * SECOND;
/// A walk through the DHT, questions to the providers included.
const SEARCH: u64 = 1500;
/// Between two announcements of everything that a node has.
const PROVIDE_INTERVAL: u64 = 12 * HOUR;

impl World {
    /// Has a node do what is due, and sleep until there is more.
    pub(super) fn act(&mut self, node: usize) {
        let now = self.clock.now();
        let start = self.nodes[node].starts;
        let Some(plan) = &mut self.nodes[node].plan else {
            return;
        };
        for action in at_once(plan.due(now)) {
            match action {
                Action::Challenge { object, peer, known } => {
                    let (object, other) = (self.by_id[&object], self.by_key[&peer.key]);
                    self.challenges += 1;
                    let pause = if self.nodes[other].is_home {
                        ROUND_TRIP
                    } else {
                        TIMEOUT
                    };
                    let answer = Event::Answer {
                        node,
                        start,
                        object,
                        other,
                        known,
                    };
                    self.clock.after(pause, answer);
                }
                Action::Search { object } => {
                    let object = self.by_id[&object];
                    self.searches += 1;
                    self.clock.after(SEARCH, Event::Found { node, start, object });
                }
                Action::Place {
                    object,
                    copies,
                    avoid,
                } => {
                    self.place(node, self.by_id[&object], copies as usize, &avoid);
                }
                // Nothing ends in this world, and nobody counts.
                Action::Expire { .. } | Action::Count { .. } => {}
            }
        }
        self.sleep(node);
    }

    fn sleep(&mut self, node: usize) {
        let now = self.clock.now();
        let entry = &mut self.nodes[node];
        let next = entry.plan.as_mut().and_then(|plan| at_once(plan.next_due(now)));
        if let Some(at) = next.map(|next| next.max(now + 1))
            && at < entry.wakes
        {
            entry.wakes = at;
            let start = entry.starts;
            self.clock.at(at, Event::Wake { node, start });
        }
    }

    /// The closest that are at home, as far as they are not to be avoided.
    fn place(&mut self, node: usize, object: usize, copies: usize, avoid: &[Peer]) {
        let start = self.nodes[node].starts;
        let target = self.target(object);
        let near = self.dht.closest(target, copies + avoid.len() + 1);
        let others: Vec<(usize, u32)> = near
            .into_iter()
            .filter(|other| *other != node && !avoid.contains(&self.nodes[*other].peer))
            .take(copies)
            .map(|other| (other, self.nodes[other].starts))
            .collect();
        let bytes = self.scenario.object_bytes * others.len() as u64;
        let pause = SECOND + bytes * SECOND / self.scenario.bytes_per_second;
        let placed = Event::Placed {
            node,
            start,
            object,
            others,
        };
        self.clock.after(pause, placed);
    }

    pub(super) fn answer(&mut self, node: usize, object: usize, other: usize, known: &[Peer]) {
        let (now, id) = (self.clock.now(), self.objects[object]);
        let (me, peer) = (self.nodes[node].peer.clone(), self.nodes[other].peer.clone());
        let is_home = self.nodes[other].is_home;
        let has_it = self.nodes[other].disk.contains(&object);
        let proof = match (is_home, has_it) {
            (true, true) => Proof::Proven,
            (true, false) => Proof::Missing,
            (false, _) => Proof::Silent,
        };
        if let Some(plan) = &mut self.nodes[node].plan {
            at_once(plan.proved(&id, &peer, proof, now));
        }
        if proof == Proof::Proven
            && let Some(plan) = &mut self.nodes[other].plan
        {
            // The question brought these along.
            at_once(plan.hinted(&id, &[known, std::slice::from_ref(&me)].concat(), me.key));
            self.act(other);
        }
        self.act(node);
    }

    pub(super) fn found(&mut self, node: usize, object: usize) {
        let (now, id) = (self.clock.now(), self.objects[object]);
        let target = self.target(object);
        let providers = self
            .dht
            .providers(object, target, |keeper| self.nodes[keeper].starts);
        let found: Vec<Peer> = providers
            .into_iter()
            .map(|provider| &self.nodes[provider])
            .filter(|provider| provider.is_home && provider.disk.contains(&object))
            .map(|provider| provider.peer.clone())
            .collect();
        if let Some(plan) = &mut self.nodes[node].plan {
            at_once(plan.found(&id, &found, now));
        }
        self.act(node);
    }

    pub(super) fn placed(&mut self, node: usize, object: usize, others: &[(usize, u32)]) {
        let (now, id) = (self.clock.now(), self.objects[object]);
        let me = self.nodes[node].peer.clone();
        let mut taken = Vec::new();
        for (other, start) in others.iter().copied() {
            if !self.is_at(other, start) {
                continue;
            }
            taken.push(self.nodes[other].peer.clone());
            if !self.nodes[other].disk.contains(&object) {
                self.copies_made += 1;
                self.receive(other, object);
            }
            if let Some(plan) = &mut self.nodes[other].plan {
                at_once(plan.transferred(&id, std::slice::from_ref(&me), now));
            }
            self.act(other);
        }
        if let Some(plan) = &mut self.nodes[node].plan {
            at_once(plan.placed(&id, &taken, None, now));
        }
        self.act(node);
    }

    fn receive(&mut self, node: usize, object: usize) {
        let (now, id) = (self.clock.now(), self.objects[object]);
        self.copies[object].push(node);
        self.gauge.disk(object, true);
        self.gauge.home(object, true, now);
        let entry = &mut self.nodes[node];
        entry.disk.insert(object);
        if let Some(plan) = &mut entry.plan {
            at_once(plan.keep(&id, false, self.scenario.object_bytes, None, now));
        }
        self.provide(node, object);
    }

    fn provide(&mut self, node: usize, object: usize) {
        let target = self.target(object);
        let nodes = &self.nodes;
        self.dht
            .provide(object, target, node, |keeper| nodes[keeper].starts);
    }

    pub(super) fn provide_all(&mut self, node: usize) {
        let objects: Vec<usize> = self.nodes[node].disk.iter().copied().collect();
        for object in objects {
            self.provide(node, object);
        }
        let start = self.nodes[node].starts;
        self.clock.after(PROVIDE_INTERVAL, Event::Provide { node, start });
    }
}

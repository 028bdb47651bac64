use std::collections::{BTreeMap, HashMap};

use super::Random;

/// Peers that keep a provider record, and that a lookup asks.
const BUCKET: usize = 20;
/// Neighbours in the order of their keys among which the closest are looked for.
const WINDOW: usize = 3 * BUCKET;

/// Who is closest to what, and who has been told who provides what. Records
/// are in memory: a node that restarts has none.
#[derive(Default)]
pub(super) struct Dht {
    /// Nodes that are at home, by key.
    home: BTreeMap<u128, usize>,
    /// For each object: the keeper of a record, at which start of it, and the provider.
    records: HashMap<usize, Vec<(usize, u32, usize)>>,
}

impl Dht {
    pub(super) fn join(&mut self, key: u128, node: usize) {
        self.home.insert(key, node);
    }

    pub(super) fn leave(&mut self, key: u128) {
        self.home.remove(&key);
    }

    /// The nodes closest to a key, of those that stand near it.
    pub(super) fn closest(&self, target: u128, count: usize) -> Vec<usize> {
        let window = WINDOW.max(2 * count);
        let before = self.home.range(..target).rev().take(window);
        let after = self.home.range(target..).take(window);
        let mut near: Vec<(u128, usize)> = before
            .chain(after)
            .map(|(key, node)| (key ^ target, *node))
            .collect();
        near.sort_unstable();
        near.truncate(count);
        near.into_iter().map(|(_, node)| node).collect()
    }

    /// `provider` announces an object; `start` counts the starts of a node.
    pub(super) fn provide(
        &mut self,
        object: usize,
        target: u128,
        provider: usize,
        start: impl Fn(usize) -> u32,
    ) {
        let keepers = self.closest(target, BUCKET);
        let records = self.records.entry(object).or_default();
        records.retain(|(keeper, at, who)| start(*keeper) == *at && *who != provider);
        records.extend(
            keepers
                .into_iter()
                .map(|keeper| (keeper, start(keeper), provider)),
        );
    }

    /// Who provides an object, as those know who are closest to it now.
    pub(super) fn providers(&self, object: usize, target: u128, start: impl Fn(usize) -> u32) -> Vec<usize> {
        let asked = self.closest(target, BUCKET);
        let mut providers: Vec<usize> = self
            .records
            .get(&object)
            .into_iter()
            .flatten()
            .filter(|(keeper, at, _)| start(*keeper) == *at && asked.contains(keeper))
            .map(|(_, _, provider)| *provider)
            .collect();
        providers.sort_unstable();
        providers.dedup();
        providers
    }
}

/// How many peers, one after the other, a lookup in a network of this size
/// asks until it is at the closest: each knows up to 20 of those that have one
/// bit more in common with the target.
pub(crate) fn hops(nodes: usize, random: &mut Random) -> u32 {
    // Nodes that are at least as close as the one reached.
    let mut closer = nodes as f64;
    let mut hops = 0;
    while closer > BUCKET as f64 {
        // The half that shares a further bit; the closest of 20 in it.
        let half = closer / 2.0;
        let best = (0..BUCKET).map(|_| random.fraction()).fold(1.0, f64::min);
        closer = (half * best).max(1.0);
        hops += 1;
    }
    // The last one knows all that are left.
    hops + 1
}

use std::collections::BTreeMap;

use dm_core::{Address, envelope::SignedEnvelope};
use libp2p::PeerId;

/// Owners that are told apart under one locator; more are ignored, so that
/// nobody can make a lookup endless by sharing under many accounts.
const MAX_OWNERS: usize = 16;

/// Puts together what peers say they hold under a locator. Does no I/O.
#[derive(Default)]
pub(crate) struct Answers {
    owners: BTreeMap<Address, Vec<(PeerId, SignedEnvelope)>>,
}

/// An object with those who hold it.
pub(crate) struct Merged {
    /// The newest envelope.
    pub(crate) envelope: SignedEnvelope,
    /// Peers that have its chunks, perhaps with an older envelope.
    pub(crate) holders: Vec<PeerId>,
}

impl Answers {
    /// Takes an envelope of a peer, whose signature has been checked.
    pub(crate) fn add(&mut self, peer: PeerId, envelope: SignedEnvelope) {
        let owner = envelope.id.owner;
        if self.owners.len() < MAX_OWNERS || self.owners.contains_key(&owner) {
            let held = self.owners.entry(owner).or_default();
            if held.iter().all(|(holder, _)| *holder != peer) {
                held.push((peer, envelope));
            }
        }
    }

    /// For each owner the newest envelope and everybody who has its chunks.
    pub(crate) fn merge(self) -> Vec<Merged> {
        self.owners.into_values().filter_map(merge_owner).collect()
    }
}

fn merge_owner(held: Vec<(PeerId, SignedEnvelope)>) -> Option<Merged> {
    // Of two with one number, which an honest owner does not make, the choice
    // must not depend on who answers first.
    let newest = held
        .iter()
        .map(|(_, envelope)| envelope)
        .max_by(|a, b| (a.sequence, a.bytes()).cmp(&(b.sequence, b.bytes())))?
        .clone();
    let holders = held
        .into_iter()
        .filter(|(_, envelope)| envelope.chunk_list == newest.chunk_list && envelope.size == newest.size)
        .map(|(peer, _)| peer)
        .collect();
    Some(Merged {
        envelope: newest,
        holders,
    })
}

#[cfg(test)]
mod tests {
    use dm_testing::objects::SampleObject;

    use super::*;

    #[test]
    fn the_newest_envelope_wins_and_holders_of_older_ones_still_count() {
        let object = SampleObject::new(1, 7, 1000);
        let newer = object.envelope_with_sequence(1, 2);
        let (old_holder, new_holder) = (PeerId::random(), PeerId::random());
        let mut answers = Answers::default();
        answers.add(old_holder, object.envelope.clone());
        answers.add(new_holder, newer.clone());
        let merged = answers.merge();
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].envelope, newer);
        assert_eq!(merged[0].holders, [old_holder, new_holder]);
    }

    #[test]
    fn who_has_other_chunks_is_no_holder() {
        let old = SampleObject::new(1, 7, 1000);
        let new = SampleObject::sign(1, 7, 500, &[SampleObject::chunk(9, 0, 500)], 5);
        let (old_holder, new_holder) = (PeerId::random(), PeerId::random());
        let mut answers = Answers::default();
        answers.add(old_holder, old.envelope);
        answers.add(new_holder, new);
        assert_eq!(answers.merge()[0].holders, [new_holder]);
    }

    #[test]
    fn owners_are_told_apart_and_bounded() {
        let mut answers = Answers::default();
        for owner in 1..=40 {
            answers.add(PeerId::random(), SampleObject::new(owner, 7, 100).envelope);
        }
        assert_eq!(answers.merge().len(), MAX_OWNERS);
    }

    #[test]
    fn a_peer_counts_once() {
        let object = SampleObject::new(1, 7, 100);
        let peer = PeerId::random();
        let mut answers = Answers::default();
        answers.add(peer, object.envelope.clone());
        answers.add(peer, object.envelope);
        assert_eq!(answers.merge()[0].holders, [peer]);
    }
}

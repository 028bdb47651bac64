use std::collections::HashSet;

use dm_core::{Address, envelope::SignedEnvelope};
use libp2p::PeerId;

use super::find::MAX_ASKED;

/// Owners that are told apart under one locator: at least one for each peer that is
/// asked. More are ignored, so that nobody can make a lookup endless by sharing under
/// many accounts.
const MAX_OWNERS: usize = MAX_ASKED;

/// Puts together what peers say they hold under a locator. Does no I/O.
pub(crate) struct Answers {
    /// Owners that the reader asks for.
    owners: Vec<Address>,
    /// What each peer sent, in its order.
    of_peers: Vec<(PeerId, Vec<SignedEnvelope>)>,
}

/// An object with those who hold it.
pub(crate) struct Merged {
    /// The newest envelope.
    pub(crate) envelope: SignedEnvelope,
    /// Peers that have its chunks, perhaps with an older envelope.
    pub(crate) holders: Vec<PeerId>,
}

impl Answers {
    /// Answers to who asks above all for the objects of these owners.
    pub(crate) fn of_interest(owners: &[Address]) -> Self {
        Self {
            owners: owners.to_vec(),
            of_peers: Vec::new(),
        }
    }

    /// Takes what a peer sent; the signatures have been checked, and the number is bounded.
    pub(crate) fn add(&mut self, peer: PeerId, envelopes: Vec<SignedEnvelope>) {
        if !envelopes.is_empty() {
            self.of_peers.push((peer, envelopes));
        }
    }

    /// Whether only better answers are still to come: somebody has an object of each owner
    /// that is asked for, or of anybody where none is.
    pub(crate) fn are_enough(&self) -> bool {
        !self.of_peers.is_empty() && self.owners.iter().all(|owner| self.has(owner))
    }

    /// Whether the reader asks for the objects of certain owners.
    pub(crate) fn have_owners(&self) -> bool {
        !self.owners.is_empty()
    }

    /// How many peers have something.
    pub(crate) fn count(&self) -> usize {
        self.of_peers.len()
    }

    /// For each owner the newest envelope and everybody who has its chunks: first for
    /// those that were asked for, then for others.
    pub(crate) fn merge(self) -> Vec<Merged> {
        let owners = self.choose_owners();
        let merged = owners.iter().filter_map(|owner| merge_owner(self.held(owner)));
        merged.collect()
    }

    /// The peers name owners in turn, so that one with many of them crowds nobody out.
    fn choose_owners(&self) -> Vec<Address> {
        let wanted = self.owners.iter().copied().filter(|owner| self.has(owner));
        let mut chosen = Vec::new();
        let mut seen = HashSet::new();
        chosen.extend(wanted.filter(|owner| seen.insert(*owner)));
        let mut peers: Vec<_> = self
            .of_peers
            .iter()
            .map(|(_, envelopes)| envelopes.iter().map(|envelope| envelope.id.owner))
            .collect();
        while chosen.len() < MAX_OWNERS {
            let turn: Vec<Address> = peers
                .iter_mut()
                .filter_map(|owners| owners.find(|owner| seen.insert(*owner)))
                .collect();
            if turn.is_empty() {
                break;
            }
            chosen.extend(turn);
        }
        chosen.truncate(MAX_OWNERS);
        chosen
    }

    fn has(&self, owner: &Address) -> bool {
        let mut envelopes = self.of_peers.iter().flat_map(|(_, envelopes)| envelopes);
        envelopes.any(|envelope| envelope.id.owner == *owner)
    }

    /// The envelopes of an owner, at most one of each peer.
    fn held(&self, owner: &Address) -> Vec<(PeerId, &SignedEnvelope)> {
        let mut held = Vec::new();
        for (peer, envelopes) in &self.of_peers {
            let of_owner = envelopes.iter().find(|envelope| envelope.id.owner == *owner);
            held.extend(of_owner.map(|envelope| (*peer, envelope)));
        }
        held
    }
}

fn merge_owner(held: Vec<(PeerId, &SignedEnvelope)>) -> Option<Merged> {
    // Of two with one number, which an honest owner does not make, the choice
    // must not depend on who answers first.
    let newest = held
        .iter()
        .map(|(_, envelope)| *envelope)
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
        let mut answers = Answers::of_interest(&[]);
        answers.add(old_holder, vec![object.envelope.clone()]);
        answers.add(new_holder, vec![newer.clone()]);
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
        let mut answers = Answers::of_interest(&[]);
        answers.add(old_holder, vec![old.envelope]);
        answers.add(new_holder, vec![new]);
        assert_eq!(answers.merge()[0].holders, [new_holder]);
    }

    /// The envelopes of so many invented owners, from this one on.
    fn invented(from: u8, count: u8) -> Vec<SignedEnvelope> {
        let owners = from..from + count;
        owners
            .map(|owner| SampleObject::new(owner, 7, 100).envelope)
            .collect()
    }

    #[test]
    fn owners_are_told_apart_and_bounded() {
        let mut answers = Answers::of_interest(&[]);
        for peer in 0..4 {
            answers.add(PeerId::random(), invented(1 + peer * 20, 20));
        }
        assert_eq!(answers.merge().len(), MAX_OWNERS);
    }

    #[test]
    fn who_answers_first_with_many_owners_crowds_nobody_out() {
        let honest = SampleObject::new(200, 7, 100);
        let mut answers = Answers::of_interest(&[]);
        for liar in 0..6 {
            answers.add(PeerId::random(), invented(1 + liar * 32, 32));
        }
        let holder = PeerId::random();
        answers.add(holder, vec![honest.envelope.clone()]);
        let merged = answers.merge();
        let place = merged
            .iter()
            .position(|merged| merged.envelope == honest.envelope);
        assert_eq!(place, Some(6), "after one of each other peer");
        assert_eq!(merged[6].holders, [holder]);
    }

    #[test]
    fn owners_that_are_asked_for_come_first_and_end_the_wait() {
        let wanted = SampleObject::new(200, 7, 100);
        let mut answers = Answers::of_interest(&[wanted.id().owner]);
        answers.add(PeerId::random(), invented(1, 32));
        assert!(!answers.are_enough());
        let mut last = invented(40, 32);
        last.push(wanted.envelope.clone());
        answers.add(PeerId::random(), last);
        assert!(answers.are_enough());
        assert_eq!(answers.merge()[0].envelope, wanted.envelope);
    }

    #[test]
    fn a_peer_counts_once() {
        let object = SampleObject::new(1, 7, 100);
        let peer = PeerId::random();
        let mut answers = Answers::of_interest(&[]);
        answers.add(peer, vec![object.envelope.clone(), object.envelope]);
        assert_eq!(answers.merge()[0].holders, [peer]);
    }
}

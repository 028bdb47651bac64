//! Whether the chain is still the one on which the account was used before.
//!
//! An endpoint that lags behind shows a lower head, but the same blocks below it.
//! So only another hash of a block that is known tells of another chain.

use std::time::Duration;

use alloy::primitives::B256;
use tokio::time::Instant;

use crate::transactions::journal::Landmarks;

/// How many looks in a row must show another chain before it counts as one, and
/// for how long: endpoints of which one is wrong for a moment are no new chain.
const LOOKS: u32 = 3;
const LASTING: Duration = Duration::from_secs(3);
/// For how long a chain that was known again is believed to be the same.
const BELIEVED: Duration = Duration::from_secs(2);
/// A block becomes a landmark when it is so many times deeper than what counts
/// as final: a reorganisation that was deeper than expected is no new chain.
const DEEP: u64 = 6;
/// But never less deep than this, however few blocks count as final.
const LEAST_DEPTH: u64 = 64;

/// What a look says of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recognition {
    /// It is the same.
    Same,
    /// The endpoint does not show the block by which it would be known.
    Unknown,
    /// It looks like another one; the next looks will tell.
    Strange,
    /// It is another one: it began anew.
    Another,
}

/// Knows the chain again.
pub(super) struct Identity {
    landmarks: Landmarks,
    /// The journal does not have the landmarks yet.
    is_new: bool,
    /// What becomes a landmark when it is deep enough.
    candidate: Option<(u64, B256)>,
    stranger: Option<Stranger>,
    /// When the chain was known again last.
    recognised: Option<Instant>,
}

/// Another chain that was seen instead.
struct Stranger {
    since: Instant,
    looks: u32,
}

impl Identity {
    pub(super) fn new(landmarks: Landmarks) -> Self {
        Self {
            landmarks,
            is_new: false,
            candidate: None,
            stranger: None,
            recognised: None,
        }
    }

    /// Whether it is time to see if the chain is the same.
    pub(super) fn has_doubts(&self, now: Instant) -> bool {
        let elapsed = |at| now.saturating_duration_since(at);
        self.stranger.is_some() || self.recognised.is_none_or(|at| elapsed(at) >= BELIEVED)
    }

    /// The block that a look has to ask for, where the head was last seen at this height.
    pub(super) fn block_to_ask(&self, height: u64) -> u64 {
        match self.landmarks {
            Landmarks {
                genesis: Some(_),
                deep: Some((number, _)),
            } if number <= height => number,
            _ => 0,
        }
    }

    /// Judges the hash that the chain has at the block that was asked for; none was
    /// where the chain was known again a moment ago.
    pub(super) fn recognise(&mut self, asked: Option<u64>, found: Option<B256>, now: Instant) -> Recognition {
        let Some(asked) = asked else {
            return Recognition::Same;
        };
        let known = match asked {
            0 => self.landmarks.genesis,
            _ => self.landmarks.deep.map(|(_, hash)| hash),
        };
        match (known, found) {
            (Some(known), Some(found)) if known != found => self.meet_stranger(now),
            (Some(_), None) => Recognition::Unknown,
            // There never was a block by which it could be known.
            (None, None) => Recognition::Same,
            (known, found) => {
                self.stranger = None;
                self.recognised = Some(now);
                if known.is_none() && asked == 0 {
                    self.landmarks.genesis = found;
                    self.is_new = true;
                }
                Recognition::Same
            }
        }
    }

    fn meet_stranger(&mut self, now: Instant) -> Recognition {
        let stranger = self.stranger.get_or_insert(Stranger { since: now, looks: 0 });
        stranger.looks = stranger.looks.saturating_add(1);
        let has_lasted = now.saturating_duration_since(stranger.since) >= LASTING;
        match stranger.looks >= LOOKS && has_lasted {
            true => Recognition::Another,
            false => Recognition::Strange,
        }
    }

    /// Since when another chain is seen instead.
    pub(super) fn strange_since(&self) -> Option<Instant> {
        self.stranger.as_ref().map(|stranger| stranger.since)
    }

    /// Takes the chain that is there now for the account's.
    pub(super) fn begin_anew(&mut self, asked: Option<u64>, found: Option<B256>) {
        self.landmarks = Landmarks {
            genesis: match asked {
                Some(0) => found,
                _ => self.landmarks.genesis,
            },
            deep: None,
        };
        self.is_new = true;
        self.candidate = None;
        self.stranger = None;
    }

    /// Notes a block that is final.
    pub(super) fn note_final(&mut self, number: u64, hash: B256) {
        self.candidate.get_or_insert((number, hash));
    }

    /// Makes a landmark of a block that has become deep enough.
    pub(super) fn note_height(&mut self, height: u64, confirmations: u64) {
        let depth = confirmations.saturating_mul(DEEP).max(LEAST_DEPTH);
        let is_deep = |(number, _): &(u64, B256)| number.saturating_add(depth) <= height;
        if let Some(candidate) = self.candidate.take_if(|candidate| is_deep(candidate))
            && self.landmarks.deep.is_none_or(|deep| deep.0 < candidate.0)
        {
            self.landmarks.deep = Some(candidate);
            self.is_new = true;
        }
    }

    /// Whether there are landmarks that the journal does not have yet.
    pub(super) fn has_news(&self) -> bool {
        self.is_new
    }

    /// The landmarks, if the journal does not have them yet.
    pub(super) fn take_new(&mut self) -> Option<Landmarks> {
        std::mem::take(&mut self.is_new).then_some(self.landmarks)
    }

    /// The journal did not take them.
    pub(super) fn keep_for_later(&mut self) {
        self.is_new = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> B256 {
        B256::repeat_byte(byte)
    }

    fn known() -> Identity {
        Identity::new(Landmarks {
            genesis: Some(hash(1)),
            deep: Some((100, hash(2))),
        })
    }

    #[test]
    fn a_lower_head_is_no_other_chain() {
        let (mut identity, now) = (known(), Instant::now());
        assert_eq!(identity.block_to_ask(150), 100);
        assert_eq!(identity.recognise(Some(100), None, now), Recognition::Unknown);
        assert_eq!(identity.block_to_ask(5), 0);
        for _ in 0..100 {
            assert_eq!(identity.recognise(Some(0), Some(hash(1)), now), Recognition::Same);
        }
        assert_eq!(identity.strange_since(), None);
    }

    #[test]
    fn another_hash_of_a_known_block_is_another_chain_when_it_lasts() {
        for (asked, other) in [(0, hash(9)), (100, hash(9))] {
            let (mut identity, now) = (known(), Instant::now());
            assert_eq!(
                identity.recognise(Some(asked), Some(other), now),
                Recognition::Strange
            );
            let later = now + LASTING;
            assert_eq!(
                identity.recognise(Some(asked), Some(other), later),
                Recognition::Strange
            );
            assert_eq!(
                identity.recognise(Some(asked), Some(other), later),
                Recognition::Another
            );
        }
    }

    #[test]
    fn an_endpoint_that_is_wrong_for_a_moment_is_no_other_chain() {
        let (mut identity, mut now) = (known(), Instant::now());
        for _ in 0..20 {
            identity.recognise(Some(0), Some(hash(9)), now);
            now += LASTING;
            assert_eq!(
                identity.recognise(Some(0), Some(hash(9)), now),
                Recognition::Strange
            );
            assert_eq!(identity.recognise(Some(0), Some(hash(1)), now), Recognition::Same);
        }
    }

    #[test]
    fn a_block_becomes_a_landmark_far_below_what_is_final() {
        let mut identity = Identity::new(Landmarks::default());
        identity.recognise(Some(0), Some(hash(1)), Instant::now());
        identity.note_final(50, hash(5));
        identity.note_height(62, 12);
        assert_eq!(identity.take_new().unwrap().deep, None);
        identity.note_height(50 + 72, 12);
        assert_eq!(identity.take_new().unwrap().deep, Some((50, hash(5))));
        assert_eq!(identity.take_new(), None);
    }
}

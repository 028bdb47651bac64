use std::collections::VecDeque;

use libp2p::PeerId;

/// Holders that deliver at the same time.
const MAX_ACTIVE: usize = 4;
/// Runs that one holder works on at the same time: while one is on its way
/// back, the next is being read.
const LANES: usize = 2;

/// Who delivers to one fetch, and who takes the place of one that fails. Does no I/O.
pub(crate) struct Roster {
    waiting: VecDeque<PeerId>,
    active: Vec<(PeerId, usize)>,
}

impl Roster {
    /// Holders in the order in which they are to be used.
    pub(crate) fn new(holders: impl IntoIterator<Item = PeerId>) -> Self {
        let mut waiting = VecDeque::new();
        for holder in holders {
            if !waiting.contains(&holder) {
                waiting.push_back(holder);
            }
        }
        Self {
            waiting,
            active: Vec::new(),
        }
    }

    /// The holder to ask next that nothing was asked of yet.
    pub(crate) fn first_waiting(&self) -> Option<PeerId> {
        self.waiting.front().copied()
    }

    /// Holders with a free lane, those with the least to do first.
    pub(crate) fn free(&mut self) -> Vec<PeerId> {
        while self.active.len() < MAX_ACTIVE {
            match self.waiting.pop_front() {
                Some(holder) => self.active.push((holder, 0)),
                None => break,
            }
        }
        let mut free: Vec<(usize, PeerId)> = self
            .active
            .iter()
            .filter(|(_, busy)| *busy < LANES)
            .map(|(holder, busy)| (*busy, *holder))
            .collect();
        free.sort_by_key(|(busy, _)| *busy);
        free.into_iter().map(|(_, holder)| holder).collect()
    }

    pub(crate) fn began(&mut self, holder: &PeerId) {
        self.change(holder, |busy| busy + 1);
    }

    pub(crate) fn ended(&mut self, holder: &PeerId) {
        self.change(holder, |busy| busy.saturating_sub(1));
    }

    /// The holder is of no use for this fetch.
    pub(crate) fn strike_out(&mut self, holder: &PeerId) {
        self.active.retain(|(active, _)| active != holder);
        self.waiting.retain(|waiting| waiting != holder);
    }

    fn change(&mut self, holder: &PeerId, change: impl Fn(usize) -> usize) {
        for (active, busy) in &mut self.active {
            if active == holder {
                *busy = change(*busy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_holder_takes_the_place_of_one_that_fails() {
        let holders: Vec<PeerId> = (0..6).map(|_| PeerId::random()).collect();
        let mut roster = Roster::new(holders.clone());
        assert_eq!(roster.free(), holders[..MAX_ACTIVE]);
        roster.strike_out(&holders[0]);
        assert_eq!(roster.free(), holders[1..=MAX_ACTIVE]);
    }

    #[test]
    fn a_holder_has_a_bounded_number_of_lanes() {
        let holder = PeerId::random();
        let mut roster = Roster::new([holder, holder]);
        for _ in 0..LANES {
            assert_eq!(roster.free(), [holder]);
            roster.began(&holder);
        }
        assert!(roster.free().is_empty());
        roster.ended(&holder);
        assert_eq!(roster.free(), [holder]);
    }
}

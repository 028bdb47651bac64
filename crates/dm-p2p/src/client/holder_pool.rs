use std::collections::VecDeque;

use libp2p::PeerId;

/// Holders that deliver at the same time.
const MAX_ACTIVE: usize = 4;
/// Runs that one holder works on at the same time: while one is on its way
/// back, the next is being read.
const LANES: usize = 2;

/// The holders that one fetch uses: some deliver, the others wait to replace one
/// that fails. Does no I/O.
pub(crate) struct HolderPool {
    waiting: VecDeque<PeerId>,
    active: Vec<(PeerId, usize)>,
}

impl HolderPool {
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

    /// Activates waiting holders up to [`MAX_ACTIVE`], and returns the active
    /// ones that have a free lane, those with the least to do first.
    pub(crate) fn activate(&mut self) -> Vec<PeerId> {
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

    pub(crate) fn lane_started(&mut self, holder: &PeerId) {
        self.change(holder, |busy| busy + 1);
    }

    pub(crate) fn lane_ended(&mut self, holder: &PeerId) {
        self.change(holder, |busy| busy.saturating_sub(1));
    }

    /// The holder is of no use for this fetch.
    pub(crate) fn remove(&mut self, holder: &PeerId) {
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
        let mut pool = HolderPool::new(holders.clone());
        assert_eq!(pool.activate(), holders[..MAX_ACTIVE]);
        pool.remove(&holders[0]);
        assert_eq!(pool.activate(), holders[1..=MAX_ACTIVE]);
    }

    #[test]
    fn a_holder_has_a_bounded_number_of_lanes() {
        let holder = PeerId::random();
        let mut pool = HolderPool::new([holder, holder]);
        for _ in 0..LANES {
            assert_eq!(pool.activate(), [holder]);
            pool.lane_started(&holder);
        }
        assert!(pool.activate().is_empty());
        pool.lane_ended(&holder);
        assert_eq!(pool.activate(), [holder]);
    }
}

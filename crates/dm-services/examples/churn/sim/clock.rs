use std::{cmp::Reverse, collections::BinaryHeap};

/// What happens later, in its order.
pub(super) struct Clock<E> {
    now: u64,
    number: u64,
    later: BinaryHeap<Reverse<Later<E>>>,
}

struct Later<E> {
    at: u64,
    number: u64,
    event: E,
}

impl<E> Clock<E> {
    pub(super) fn new() -> Self {
        Self {
            now: 0,
            number: 0,
            later: BinaryHeap::new(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn after(&mut self, pause: u64, event: E) {
        self.at(self.now.saturating_add(pause), event);
    }

    pub(super) fn at(&mut self, at: u64, event: E) {
        self.number += 1;
        self.later.push(Reverse(Later {
            at: at.max(self.now),
            number: self.number,
            event,
        }));
    }

    /// The next event before `end`; the clock moves to it.
    pub(super) fn next_before(&mut self, end: u64) -> Option<E> {
        let Reverse(next) = self.later.peek()?;
        if next.at >= end {
            return None;
        }
        self.now = next.at;
        self.later.pop().map(|Reverse(later)| later.event)
    }
}

impl<E> PartialEq for Later<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Later<E> {}

impl<E> PartialOrd for Later<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Later<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

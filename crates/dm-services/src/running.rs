//! Work that is under way for accounts, bounded in all and for each of them: one that is slow
//! does not hold up the others.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    time::Duration,
};

use alloy_primitives::Address;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::Instant;

use crate::ServiceError;

/// How much may be under way at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For all accounts together.
    pub(crate) in_all: usize,
    /// Of these, for one account.
    pub(crate) of_one: usize,
}

/// The work that is under way. Each piece of it is about entries of a queue, which are taken out of
/// it together when it has ended.
pub(crate) struct Running<'a, Entry, Done> {
    limits: Limits,
    work: FuturesUnordered<BoxFuture<'a, Ended<Entry, Done>>>,
    entries: HashSet<Entry>,
    /// When the work for each account began.
    began: HashMap<Address, Vec<Instant>>,
}

/// A piece of work that has ended.
struct Ended<Entry, Done> {
    account: Address,
    began: Instant,
    entries: Vec<Entry>,
    done: Result<Done, ServiceError>,
}

impl<'a, Entry, Done> Running<'a, Entry, Done>
where
    Entry: Eq + Hash + Clone + Send + 'a,
    Done: Send + 'a,
{
    /// Nothing is under way.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            work: FuturesUnordered::new(),
            entries: HashSet::new(),
            began: HashMap::new(),
        }
    }

    /// Whether no further work may begin.
    pub(crate) fn is_full(&self) -> bool {
        self.work.len() >= self.limits.in_all
    }

    /// Whether the account has less than its share.
    pub(crate) fn has_room_for(&self, account: &Address) -> bool {
        let began = self.began.get(account);
        began.is_none_or(|began| began.len() < self.limits.of_one)
    }

    /// How long ago the newest work for an account began, of what is under way.
    pub(crate) fn newest(&self, account: &Address) -> Option<Duration> {
        let began = self.began.get(account)?;
        began.iter().max().map(Instant::elapsed)
    }

    /// How many entries are worked on.
    pub(crate) fn entries(&self) -> usize {
        self.entries.len()
    }

    /// Whether an entry is worked on.
    pub(crate) fn contains(&self, entry: &Entry) -> bool {
        self.entries.contains(entry)
    }

    /// Has work about these entries go on while [`Running::ended`] is waited for.
    pub(crate) fn begin(
        &mut self,
        account: Address,
        entries: Vec<Entry>,
        work: impl Future<Output = Result<Done, ServiceError>> + Send + 'a,
    ) {
        let began = Instant::now();
        self.entries.extend(entries.iter().cloned());
        self.began.entry(account).or_default().push(began);
        let work = work.map(move |done| Ended {
            account,
            began,
            entries,
            done,
        });
        self.work.push(work.boxed());
    }

    /// Waits until work has ended, and takes all that has: its entries are taken out of the queue
    /// together. `None` where none is under way.
    pub(crate) async fn ended(&mut self) -> Option<Result<Vec<Done>, ServiceError>> {
        let mut next = self.work.next().await;
        let mut all = Vec::new();
        while let Some(ended) = next {
            self.forget(&ended);
            match ended.done {
                Ok(done) => all.push(done),
                Err(error) => return Some(Err(error)),
            }
            next = self.work.next().now_or_never().flatten();
        }
        (!all.is_empty()).then_some(Ok(all))
    }

    fn forget(&mut self, ended: &Ended<Entry, Done>) {
        for entry in &ended.entries {
            self.entries.remove(entry);
        }
        if let Some(began) = self.began.get_mut(&ended.account) {
            if let Some(place) = began.iter().position(|began| *began == ended.began) {
                began.swap_remove(place);
            }
            if began.is_empty() {
                self.began.remove(&ended.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const LIMITS: Limits = Limits { in_all: 3, of_one: 2 };

    fn account(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    #[tokio::test]
    async fn no_account_has_more_than_its_share_and_all_together_no_more_than_is_allowed() {
        let mut running = Running::new(LIMITS);
        let mut ends = Vec::new();
        for (entry, of) in [(1, 1), (2, 1), (3, 2)] {
            assert!(running.has_room_for(&account(of)) && !running.is_full());
            let (end, ended) = oneshot::channel();
            ends.push(end);
            let work = async move { ended.await.map_err(|_| ServiceError::NotFound) };
            running.begin(account(of), vec![entry], work);
        }
        assert!(running.is_full() && !running.has_room_for(&account(1)));
        assert!(running.has_room_for(&account(2)));
        assert!(running.contains(&2) && !running.contains(&4) && running.entries() == 3);
        for (number, end) in ends.drain(..2).enumerate() {
            end.send(number).unwrap();
        }
        let mut ended = running.ended().await.unwrap().unwrap();
        ended.sort_unstable();
        assert_eq!(ended, [0, 1]);
        assert!(!running.is_full() && running.has_room_for(&account(1)));
        assert!(running.newest(&account(1)).is_none() && running.newest(&account(2)).is_some());
        drop(ends);
        assert!(running.ended().await.unwrap().is_err());
        assert!(running.ended().await.is_none());
    }
}

//! The fetches that are under way, and whose they are.

use std::collections::HashMap;

use alloy_primitives::Address;
use dm_core::envelope::ObjectId;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};

use crate::{ServiceError, object_queue::DueObject};

/// Items that are fetched at the same time.
const AT_ONCE: usize = 16;
/// Of these, so many of one sender: one that is slow does not hold up the others.
const OF_ONE_SENDER: usize = 8;

/// What came of a fetch: the item, and when it is tried again, if it is.
pub(super) type Ended = (DueObject, Option<DueObject>);

/// The fetches that are under way.
#[derive(Default)]
pub(super) struct Running<'a> {
    fetches: FuturesUnordered<BoxFuture<'a, Result<Ended, ServiceError>>>,
    of_senders: HashMap<Address, Vec<ObjectId>>,
}

impl<'a> Running<'a> {
    /// Whether no further fetch may begin.
    pub(super) fn is_full(&self) -> bool {
        self.fetches.len() >= AT_ONCE
    }

    /// Whether the sender has less than its share.
    pub(super) fn has_room_for(&self, sender: &Address) -> bool {
        let fetches = self.of_senders.get(sender);
        fetches.is_none_or(|fetches| fetches.len() < OF_ONE_SENDER)
    }

    /// Whether the object is being fetched.
    pub(super) fn contains(&self, object: &ObjectId) -> bool {
        let fetches = self.of_senders.get(&object.owner);
        fetches.is_some_and(|fetches| fetches.contains(object))
    }

    /// Has a fetch go on while [`Running::ended`] is waited for.
    pub(super) fn begin(
        &mut self,
        object: ObjectId,
        fetch: impl Future<Output = Result<Ended, ServiceError>> + Send + 'a,
    ) {
        self.of_senders.entry(object.owner).or_default().push(object);
        self.fetches.push(fetch.boxed());
    }

    /// Waits until fetches have ended, and takes all that have: they are taken out of the queue
    /// together. `None` where none is under way.
    pub(super) async fn ended(&mut self) -> Option<Result<Vec<Ended>, ServiceError>> {
        let mut next = self.fetches.next().await;
        let mut ended = Vec::new();
        while let Some(fetch) = next {
            match fetch {
                Ok(fetch) => ended.push(fetch),
                Err(error) => return Some(Err(error)),
            }
            next = self.fetches.next().now_or_never().flatten();
        }
        for (fetch, _) in &ended {
            self.forget(&fetch.object);
        }
        (!ended.is_empty()).then_some(Ok(ended))
    }

    fn forget(&mut self, object: &ObjectId) {
        if let Some(fetches) = self.of_senders.get_mut(&object.owner) {
            fetches.retain(|running| running != object);
            if fetches.is_empty() {
                self.of_senders.remove(&object.owner);
            }
        }
    }
}

/// Whose these are, and how many of each.
pub(super) fn senders_of(ended: &[Ended]) -> HashMap<Address, usize> {
    let mut senders = HashMap::new();
    for (fetch, _) in ended {
        *senders.entry(fetch.object.owner).or_default() += 1;
    }
    senders
}

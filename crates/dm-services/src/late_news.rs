//! Tells whoever speaks to recipients of what could not be said at first.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::Address;
use dm_core::hash::Locator;
use tokio::sync::Notify;

/// Receipts that wait to be spoken of. Of more than these nobody is told at once: who waits for
/// one looks by itself, after a while.
const MOST_RECEIPTS: usize = 16 * 1024;

/// What recipients can be told of now; cheap to clone. Who makes grants and adds receipts shares
/// one with who speaks of them.
#[derive(Clone, Default)]
pub struct LateNews {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    news: Mutex<Tellable>,
    /// Rings when there is more.
    bell: Notify,
}

/// What has become possible to say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tellable {
    /// Recipients who have got grants that were owed to them, since their keys were not known
    /// when data was shared with them.
    pub(crate) granted: BTreeSet<Address>,
    /// Shares whose receipts are in the envelopes of their objects now.
    pub(crate) receipts: BTreeSet<(Address, Locator)>,
}

impl Tellable {
    fn is_empty(&self) -> bool {
        self.granted.is_empty() && self.receipts.is_empty()
    }
}

impl LateNews {
    /// The recipient has got grants.
    pub(crate) fn granted_to(&self, recipient: Address) {
        self.news().granted.insert(recipient);
        self.inner.bell.notify_one();
    }

    /// The envelope of an object has the receipt of its share with this recipient.
    pub(crate) fn receipt_is_in(&self, recipient: Address, object: Locator) {
        let mut news = self.news();
        if news.receipts.len() < MOST_RECEIPTS {
            news.receipts.insert((recipient, object));
            self.inner.bell.notify_one();
        }
    }

    /// Waits until there is something, and takes all.
    pub(crate) async fn next(&self) -> Tellable {
        loop {
            let news = std::mem::take(&mut *self.news());
            if !news.is_empty() {
                return news;
            }
            self.inner.bell.notified().await;
        }
    }

    fn news(&self) -> MutexGuard<'_, Tellable> {
        self.inner.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dm_core::hash::DataHash;

    use super::*;

    #[tokio::test]
    async fn receipts_of_which_nobody_takes_note_take_bounded_memory() {
        let (news, recipient) = (LateNews::default(), Address::ZERO);
        for number in 0..MOST_RECEIPTS as u64 + 10 {
            news.receipt_is_in(recipient, DataHash::of(&number.to_be_bytes()).locator());
        }
        assert_eq!(news.next().await.receipts.len(), MOST_RECEIPTS);
        news.granted_to(recipient);
        let granted = Tellable {
            granted: [recipient].into(),
            ..Tellable::default()
        };
        assert_eq!(news.next().await, granted);
    }
}

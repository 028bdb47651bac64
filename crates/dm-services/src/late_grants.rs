//! Tells whoever waits for grants that could not be made at first.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::Address;
use tokio::sync::Notify;

/// Recipients who have got grants that were owed to them, since their keys were not known when
/// data was shared with them; cheap to clone. Who makes grants and who speaks of them share one.
#[derive(Clone, Default)]
pub struct LateGrants {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    recipients: Mutex<BTreeSet<Address>>,
    /// Rings when there is a further one.
    bell: Notify,
}

impl LateGrants {
    /// The recipient has got grants.
    pub(crate) fn made_to(&self, recipient: Address) {
        self.recipients().insert(recipient);
        self.inner.bell.notify_one();
    }

    /// Waits until there are some, and takes them.
    pub(crate) async fn next(&self) -> BTreeSet<Address> {
        loop {
            let recipients = std::mem::take(&mut *self.recipients());
            if !recipients.is_empty() {
                return recipients;
            }
            self.inner.bell.notified().await;
        }
    }

    fn recipients(&self) -> MutexGuard<'_, BTreeSet<Address>> {
        let recipients = self.inner.recipients.lock();
        recipients.unwrap_or_else(PoisonError::into_inner)
    }
}

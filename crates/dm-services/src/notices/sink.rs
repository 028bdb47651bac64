//! Takes the notices that peers bring.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    notice::SignedNotice,
    ports::{Acquaintance, NoticeSink, Standing},
};

use crate::inbox::Arrivals;

/// Notices of strangers that are taken in a second for long, and at once.
const STRANGERS: (f64, f64) = (50.0, 1000.0);

/// Takes notices for the inbox to look at. Those of strangers have a common rate, so that
/// a flood of them hides no notice of a contact; a notice that is not taken is sent again.
pub struct NoticesForInbox {
    own: Address,
    acquaintance: Arc<dyn Acquaintance>,
    arrivals: Arrivals,
    /// What strangers may still send, and since when that is so.
    left: Mutex<(f64, Instant)>,
}

impl NoticesForInbox {
    /// Takes what is for this account.
    pub fn new(own: Address, acquaintance: Arc<dyn Acquaintance>, arrivals: Arrivals) -> Self {
        Self {
            own,
            acquaintance,
            arrivals,
            left: Mutex::new((STRANGERS.1, Instant::now())),
        }
    }

    fn has_room_for_a_stranger(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let grown = left.0 + now.duration_since(left.1).as_secs_f64() * STRANGERS.0;
        *left = (grown.min(STRANGERS.1), now);
        if left.0 < 1.0 {
            return false;
        }
        left.0 -= 1.0;
        true
    }
}

#[async_trait]
impl NoticeSink for NoticesForInbox {
    async fn arrived(&self, notice: SignedNotice) -> bool {
        // One for somebody else need not be sent to this node again.
        if notice.recipient != self.own {
            return true;
        }
        let is_welcome = match self.acquaintance.standing_of(notice.object.owner).await {
            Standing::Contact => true,
            Standing::Stranger => self.has_room_for_a_stranger(),
            // Nobody learns that he is not heard.
            Standing::Blocked => return true,
        };
        is_welcome && self.arrivals.have_come(&[notice.object]).await.is_ok()
    }
}

//! Takes the letters that peers bring.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    letter::Letter,
    notice::SignedNotice,
    ports::{Acquaintance, NoticeSink, Standing},
};

use super::arrival_of;
use crate::{Deliveries, inbox::Arrivals};

/// Notices of strangers that are taken in a second for long, and at once.
const STRANGERS: (f64, f64) = (50.0, 1000.0);

/// Takes notices for the inbox to look at, and acknowledgements of this node's objects.
/// Notices of strangers have a common rate, so that a flood of them hides no notice of a
/// contact; what is not taken is sent again.
pub struct Letterbox {
    own: Address,
    acquaintance: Arc<dyn Acquaintance>,
    arrivals: Arrivals,
    deliveries: Deliveries,
    /// What strangers may still send, and since when that is so.
    left: Mutex<(f64, Instant)>,
}

impl Letterbox {
    /// Takes what is for this account.
    pub fn new(
        own: Address,
        acquaintance: Arc<dyn Acquaintance>,
        arrivals: Arrivals,
        deliveries: Deliveries,
    ) -> Self {
        Self {
            own,
            acquaintance,
            arrivals,
            deliveries,
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

    async fn take_notice(&self, notice: SignedNotice) -> bool {
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
        is_welcome && self.arrivals.have_come(&[arrival_of(&notice)]).await.is_ok()
    }
}

#[async_trait]
impl NoticeSink for Letterbox {
    async fn arrived(&self, letter: Letter) -> bool {
        match letter {
            Letter::Notice(notice) => self.take_notice(notice).await,
            Letter::Acknowledgement(statement) => {
                let arrived = self.deliveries.arrived(statement).await;
                arrived.unwrap_or_else(|error| {
                    tracing::warn!(%error, "an acknowledgement is to be sent again");
                    false
                })
            }
        }
    }
}

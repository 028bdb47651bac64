//! Takes the letters that peers bring.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    acknowledgement::SignedAcknowledgement,
    letter::Letter,
    notice::SignedNotice,
    ports::{Acquaintance, NoticeSink, Standing},
};
use futures::future::join_all;

use super::arrival_of;
use crate::{Deliveries, inbox::Arrivals};

/// Notices of strangers that are taken in a second for long, and at once.
const STRANGERS: (f64, f64) = (50.0, 1000.0);

/// How a notice is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// The inbox looks at what it says.
    Heard,
    /// It is to be sent again.
    Later,
    /// Nothing comes of it.
    Passed,
}

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

    /// Takes notices; of each, whether it need not be sent again. What they say is kept in one
    /// change.
    async fn take_notices(&self, notices: &[SignedNotice]) -> Vec<bool> {
        let (mut owners, mut arrivals) = (HashMap::new(), Vec::new());
        let mut hearings = Vec::with_capacity(notices.len());
        for notice in notices {
            let hearing = self.hearing_of(notice, &mut owners).await;
            arrivals.extend(Some(arrival_of(notice)).filter(|_| hearing == Hearing::Heard));
            hearings.push(hearing);
        }
        let are_kept = self.arrivals.have_come(&arrivals).await.is_ok();
        let is_settled = |hearing| match hearing {
            Hearing::Heard => are_kept,
            Hearing::Later => false,
            Hearing::Passed => true,
        };
        hearings.into_iter().map(is_settled).collect()
    }

    /// How a notice is met. `owners` are those whose standing is known already.
    async fn hearing_of(&self, notice: &SignedNotice, owners: &mut HashMap<Address, Standing>) -> Hearing {
        // One for somebody else need not be sent to this node again.
        if notice.recipient != self.own {
            return Hearing::Passed;
        }
        let owner = notice.object.owner;
        let standing = match owners.get(&owner) {
            Some(standing) => *standing,
            None => self.acquaintance.standing_of(owner).await,
        };
        owners.insert(owner, standing);
        match standing {
            Standing::Contact => Hearing::Heard,
            Standing::Stranger if self.has_room_for_a_stranger() => Hearing::Heard,
            Standing::Stranger => Hearing::Later,
            // Nobody learns that he is not heard.
            Standing::Blocked => Hearing::Passed,
        }
    }

    /// Takes an acknowledgement; whether it need not be sent again.
    async fn take_statement(&self, statement: SignedAcknowledgement) -> bool {
        let arrived = self.deliveries.arrived(statement).await;
        arrived.unwrap_or_else(|error| {
            tracing::warn!(%error, "an acknowledgement is to be sent again");
            false
        })
    }
}

#[async_trait]
impl NoticeSink for Letterbox {
    async fn arrived(&self, letters: Vec<Letter>) -> Vec<bool> {
        let (mut notices, mut statements) = (Vec::new(), Vec::new());
        let mut are_notices = Vec::with_capacity(letters.len());
        for letter in letters {
            are_notices.push(matches!(letter, Letter::Notice(_)));
            match letter {
                Letter::Notice(notice) => notices.push(notice),
                Letter::Acknowledgement(statement) => statements.push(self.take_statement(statement)),
            }
        }
        // Those who wait for the catalog at the same time share a commit.
        let (notices, statements) = futures::join!(self.take_notices(&notices), join_all(statements));
        let (mut notices, mut statements) = (notices.into_iter(), statements.into_iter());
        let next = |is_notice| {
            let next = if is_notice {
                notices.next()
            } else {
                statements.next()
            };
            next.unwrap_or(false)
        };
        are_notices.into_iter().map(next).collect()
    }
}

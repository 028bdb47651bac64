//! Brings objects to peers without anybody waiting for it: a peer that is slow or
//! does not answer holds up no other work.

use dm_core::envelope::ObjectId;
use futures::{StreamExt, stream};
use tokio::sync::{Mutex, mpsc};

use super::Copies;
use crate::ServiceError;

/// Objects that may wait. Of those beyond that, the copies are owed, and the walk
/// through the store that looks after copies finds them.
const MOST_WAITING: usize = 64 * 1024;
/// Objects that are brought to peers at the same time.
const AT_ONCE: usize = 16;

/// Objects that peers are to be told of.
pub(super) struct Telling {
    sender: mpsc::Sender<ObjectId>,
    receiver: Mutex<mpsc::Receiver<ObjectId>>,
}

impl Default for Telling {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        Self {
            sender,
            receiver: Mutex::new(receiver),
        }
    }
}

impl Copies {
    /// Has peers told of an object's newest envelope soon; never waits.
    pub(in crate::data) fn tell_later(&self, id: &ObjectId) {
        if self.telling.sender.try_send(*id).is_err() {
            self.owed.note_copies();
        }
    }

    /// Tells peers what they are to be told.
    pub(in crate::data) async fn tell_peers(&self) -> Result<(), ServiceError> {
        let mut receiver = self.telling.receiver.lock().await;
        stream::poll_fn(|context| receiver.poll_recv(context))
            .for_each_concurrent(AT_ONCE, |id| async move {
                if let Err(error) = self.distribute(&id).await {
                    tracing::warn!(locator = %id.locator, %error, "an object was not distributed");
                }
            })
            .await;
        Ok(())
    }
}

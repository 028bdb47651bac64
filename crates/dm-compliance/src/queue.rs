//! The bounded queue between those who record events and the sequencer.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dm_core::{
    lease::{Right, current_right},
    ports::{ComplianceError, Recorded},
    span::{self, TraceContext},
};
use tokio::sync::{Notify, oneshot};

use crate::leaf::Leaf;

/// What the sequencer answers.
pub(crate) type Answer = Result<Recorded, ComplianceError>;

/// An event that waits for its place in the log.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// The event.
    pub(crate) leaf: Leaf,
    /// By which right it is recorded.
    pub(crate) right: Right,
    /// The trace that it belongs to, where that is recorded.
    pub(crate) trace: Option<TraceContext>,
    /// Who waits for it.
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Events in the order of their arrival. It outlives the sequencer's task, so
/// that one that is started again goes on where the last one failed.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

impl Queue {
    /// An empty queue for at most `capacity` events.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            capacity,
        }
    }

    /// Lets an event wait; the receiver gets the answer.
    ///
    /// # Errors
    /// [`ComplianceError::Overloaded`] where the queue is full,
    /// [`ComplianceError::Stopped`] where it is closed.
    pub(crate) fn push(&self, leaf: Leaf) -> Result<oneshot::Receiver<Answer>, ComplianceError> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.closed {
            return Err(ComplianceError::Stopped);
        }
        if state.waiting.len() >= self.capacity {
            return Err(ComplianceError::Overloaded);
        }
        state.waiting.push_back(Waiting {
            leaf,
            right: current_right(),
            trace: span::recorded(),
            answer,
        });
        drop(state);
        self.changed.notify_one();
        Ok(receiver)
    }

    /// Takes what waits, at most `limit` events by one right, and waits for the first one;
    /// `None` once the queue is closed and empty. Dropping the future loses nothing.
    pub(crate) async fn next_batch(&self, limit: usize) -> Option<Vec<Waiting>> {
        loop {
            match self.take(limit) {
                (batch, _) if !batch.is_empty() => return Some(batch),
                (_, true) => return None,
                _ => self.changed.notified().await,
            }
        }
    }

    /// Accepts nothing more; what waits can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn take(&self, limit: usize) -> (Vec<Waiting>, bool) {
        let mut state = self.lock();
        let first = state.waiting.front().map(|waiting| &waiting.right);
        let same = state.waiting.iter().take(limit);
        let count = same.take_while(|waiting| Some(&waiting.right) == first).count();
        (state.waiting.drain(..count).collect(), state.closed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use dm_core::{
        Address,
        event::NewEvent,
        hash::DataHash,
        lease::{Epoch, in_epoch},
    };

    use super::*;

    fn leaf() -> Leaf {
        let event = NewEvent::data_share(DataHash::of(b"x"), Address::ZERO);
        Leaf::of(event.into_event(Address::ZERO, 0)).unwrap()
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_and_takes_again_when_there_is_room() {
        let queue = Queue::new(2);
        let _answers = [queue.push(leaf()).unwrap(), queue.push(leaf()).unwrap()];
        assert!(matches!(queue.push(leaf()), Err(ComplianceError::Overloaded)));
        assert_eq!(queue.next_batch(1).await.unwrap().len(), 1);
        assert!(queue.push(leaf()).is_ok());
    }

    #[tokio::test]
    async fn what_the_leader_records_shares_no_batch_with_what_others_record() {
        let queue = Queue::new(10);
        let mut answers = vec![queue.push(leaf()).unwrap(), queue.push(leaf()).unwrap()];
        in_epoch(Epoch(3), async { answers.push(queue.push(leaf()).unwrap()) }).await;
        answers.push(queue.push(leaf()).unwrap());
        for (events, epoch) in [(2, None), (1, Some(Epoch(3))), (1, None)] {
            let batch = queue.next_batch(10).await.unwrap();
            assert_eq!(batch.len(), events);
            assert!(batch.iter().all(|waiting| waiting.right.epoch == epoch));
        }
    }

    #[tokio::test]
    async fn a_closed_queue_gives_what_it_accepted_and_then_ends() {
        let queue = Queue::new(10);
        let _answer = queue.push(leaf()).unwrap();
        queue.close();
        assert!(matches!(queue.push(leaf()), Err(ComplianceError::Stopped)));
        assert_eq!(queue.next_batch(10).await.unwrap().len(), 1);
        assert!(queue.next_batch(10).await.is_none());
    }
}

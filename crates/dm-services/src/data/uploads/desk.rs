//! Who is at which upload: one at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dm_core::upload::UploadId;
use tokio::{sync::OwnedMutexGuard, time::Instant};
use tokio_util::sync::CancellationToken;

use super::UploadError;
use crate::data::seal::PartIntake;

/// Uploads whose state stays in memory between two requests: some 0.5 MiB each. That of
/// others is read from the store again.
const KEPT_IN_MEMORY: usize = 64;
/// How long nothing comes before the connection counts as dead, so that another one
/// may go on.
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// How long who is to go away is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The uploads that somebody is at, or was lately.
#[derive(Default)]
pub(super) struct Desk {
    places: Mutex<HashMap<UploadId, Arc<Place>>>,
}

struct Place {
    intake: Arc<tokio::sync::Mutex<Option<PartIntake>>>,
    turn: Mutex<Turn>,
}

/// Of whoever is at an upload now, or was last.
struct Turn {
    end: CancellationToken,
    /// Since when it waits for its client, where it does.
    waits_since: Option<Instant>,
    began: Instant,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            end: CancellationToken::new(),
            waits_since: None,
            began: Instant::now(),
        }
    }
}

/// A turn at an upload, which nobody else has meanwhile.
pub(super) struct Held {
    /// What is in memory of it.
    pub(super) intake: OwnedMutexGuard<Option<PartIntake>>,
    /// Asks whoever has the turn to end it.
    pub(super) end: CancellationToken,
    place: Arc<Place>,
}

impl Desk {
    /// Takes the turn at an upload, also from one whose client sends nothing any more.
    pub(super) async fn take(&self, id: UploadId) -> Result<Held, UploadError> {
        let place = self.place(id);
        if let Ok(intake) = place.intake.clone().try_lock_owned() {
            return Ok(Held::begin(place, intake));
        }
        if !place.turn().is_stalled() {
            return Err(UploadError::Busy);
        }
        Self::take_over(place).await
    }

    /// Takes the turn from whoever has it.
    pub(super) async fn take_away(&self, id: UploadId) -> Result<Held, UploadError> {
        Self::take_over(self.place(id)).await
    }

    async fn take_over(place: Arc<Place>) -> Result<Held, UploadError> {
        place.turn().end.cancel();
        let waiting = tokio::time::timeout(PATIENCE, place.intake.clone().lock_owned());
        let intake = waiting.await.map_err(|_| UploadError::Busy)?;
        Ok(Held::begin(place, intake))
    }

    /// Forgets an upload that is no more.
    pub(super) fn forget(&self, id: UploadId) {
        self.places().remove(&id);
    }

    fn place(&self, id: UploadId) -> Arc<Place> {
        let mut places = self.places();
        if let Some(place) = places.get(&id) {
            return place.clone();
        }
        tidy(&mut places);
        let place = Arc::new(Place {
            intake: Arc::default(),
            turn: Mutex::default(),
        });
        places.insert(id, place.clone());
        place
    }

    fn places(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more where it can: of those at which nobody is, the one goes first
/// at which nobody has been for the longest time.
fn tidy(places: &mut HashMap<UploadId, Arc<Place>>) {
    while places.len() >= KEPT_IN_MEMORY {
        let idle = places.iter().filter(|(_, place)| Arc::strong_count(place) == 1);
        let oldest = idle.min_by_key(|(_, place)| place.turn().began);
        let Some(id) = oldest.map(|(id, _)| *id) else {
            return;
        };
        places.remove(&id);
    }
}

impl Place {
    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    fn is_stalled(&self) -> bool {
        self.waits_since
            .is_some_and(|since| since.elapsed() >= STALLED_AFTER)
    }
}

impl Held {
    fn begin(place: Arc<Place>, intake: OwnedMutexGuard<Option<PartIntake>>) -> Self {
        let turn = Turn::default();
        let end = turn.end.clone();
        *place.turn() = turn;
        Self { intake, end, place }
    }

    /// Notes that the client is waited for, or is not.
    pub(super) fn waits(&self, waits: bool) {
        self.place.turn().waits_since = waits.then(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    const ID: UploadId = UploadId([1; 16]);

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_taken_only_from_one_whose_client_is_silent() {
        let desk = Desk::default();
        let first = desk.take(ID).await.unwrap();
        tokio::time::advance(2 * STALLED_AFTER).await;
        assert!(
            matches!(desk.take(ID).await, Err(UploadError::Busy)),
            "it is at work"
        );
        first.waits(true);
        assert!(
            matches!(desk.take(ID).await, Err(UploadError::Busy)),
            "it waits only now"
        );
        tokio::time::advance(STALLED_AFTER).await;
        let end = first.end.clone();
        let leaving = async {
            end.cancelled().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(desk.take(ID), leaving);
        assert!(!second.unwrap().end.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_go_is_not_waited_for_without_end() {
        let desk = Desk::default();
        let first = desk.take(ID).await.unwrap();
        assert!(matches!(desk.take_away(ID).await, Err(UploadError::Busy)));
        assert!(first.end.is_cancelled());
    }

    #[tokio::test]
    async fn only_the_last_uploads_stay_in_memory() {
        let desk = Desk::default();
        let held = desk.take(ID).await.unwrap();
        for n in 0..=KEPT_IN_MEMORY as u8 {
            desk.take(UploadId([n; 16])).await.ok();
        }
        assert!(desk.places().len() <= KEPT_IN_MEMORY);
        assert!(desk.places().contains_key(&ID), "somebody is at it");
        drop(held);
    }
}

//! What the provider has published: kept for a while, and asked for again within bounds.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use dm_core::ports::IdentityError;
use tokio::sync::Mutex;

/// For how long what was published counts while the provider does not answer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// When what is remembered is asked for again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Younger than this, it counts as it is.
    pub(crate) fresh: Duration,
    /// Between two questions, whoever wants to know.
    pub(crate) pause: Duration,
}

/// One document of the provider.
pub(crate) struct Remembered<T> {
    pace: Pace,
    known: RwLock<Known<T>>,
    /// Held by who asks.
    asking: Mutex<()>,
}

/// What the provider has answered.
struct Known<T> {
    value: Option<(Arc<T>, Instant)>,
    /// When the pause has begun in which nobody asks.
    asked_at: Option<Instant>,
    /// Why the last question had no answer.
    failure: Option<IdentityError>,
}

impl<T> Remembered<T> {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            known: RwLock::new(Known {
                value: None,
                asked_at: None,
                failure: None,
            }),
            asking: Mutex::default(),
        }
    }

    /// What is known now, however old it is.
    pub(crate) fn known(&self) -> Option<Arc<T>> {
        self.younger_than(LONGEST)
    }

    /// Why the last question had no answer.
    pub(crate) fn failure(&self) -> Option<IdentityError> {
        self.read().failure.clone()
    }

    /// The document, asked for again where it is old or `is_enough` does not hold for it, and
    /// the last question is some time ago. It need not hold for what is returned.
    pub(crate) async fn get(
        &self,
        is_enough: impl Fn(&T) -> bool,
        fetch: impl Future<Output = Result<T, IdentityError>>,
    ) -> Result<Arc<T>, IdentityError> {
        let fresh = || {
            self.younger_than(self.pace.fresh)
                .filter(|value| is_enough(value))
        };
        if let Some(value) = fresh() {
            return Ok(value);
        }
        let _asking = self.asking.lock().await;
        if let Some(value) = fresh() {
            return Ok(value);
        }
        if !self.must_pause() {
            self.ask(fetch).await;
            self.pause();
        }
        self.known().ok_or_else(|| {
            let not_asked = || IdentityError::Unreachable("it was not asked yet".to_owned());
            self.failure().unwrap_or_else(not_asked)
        })
    }

    /// Asks for the document where it is older than `age` or could not be had, although nobody needs
    /// it, so that [`Remembered::failure`] tells how the provider is. Only where there is no answer,
    /// who needs the document has to wait for the next question.
    pub(crate) async fn look(&self, age: Duration, fetch: impl Future<Output = Result<T, IdentityError>>) {
        let _asking = self.asking.lock().await;
        let is_well = self.younger_than(age).is_some() && self.failure().is_none();
        if is_well || self.must_pause() {
            return;
        }
        self.ask(fetch).await;
        if self.failure().is_some() {
            self.pause();
        }
    }

    async fn ask(&self, fetch: impl Future<Output = Result<T, IdentityError>>) {
        let answer = fetch.await;
        let mut known = self.write();
        match answer {
            Ok(value) => {
                known.value = Some((Arc::new(value), Instant::now()));
                known.failure = None;
            }
            Err(error) => {
                // A provider that stays away has one line, however often it is asked.
                if known.failure.as_ref() != Some(&error) {
                    tracing::warn!(%error, "sign-in with accounts");
                }
                known.failure = Some(error);
            }
        }
    }

    fn must_pause(&self) -> bool {
        let asked_at = self.read().asked_at;
        asked_at.is_some_and(|at| at.elapsed() < self.pace.pause)
    }

    fn pause(&self) {
        self.write().asked_at = Some(Instant::now());
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<T>> {
        let known = self.read();
        let (value, at) = known.value.as_ref()?;
        (at.elapsed() < age).then(|| value.clone())
    }

    fn read(&self) -> RwLockReadGuard<'_, Known<T>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known<T>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::cell::Cell;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn away() -> Result<u32, IdentityError> {
        Err(IdentityError::Unreachable("away".to_owned()))
    }

    #[tokio::test]
    async fn a_document_is_asked_for_once_however_often_something_is_missing_in_it() {
        let remembered = Remembered::new(Pace {
            fresh: HOUR,
            pause: HOUR,
        });
        let asked = Cell::new(0);
        for _ in 0..1000 {
            let fetch = async {
                asked.set(asked.get() + 1);
                Ok(7)
            };
            assert_eq!(*remembered.get(|_| false, fetch).await.unwrap(), 7);
        }
        assert_eq!(asked.get(), 1);
    }

    #[tokio::test]
    async fn what_is_known_counts_while_the_provider_is_away() {
        let pace = Pace {
            fresh: Duration::ZERO,
            pause: Duration::ZERO,
        };
        let remembered = Remembered::new(pace);
        assert!(remembered.get(|_| true, async { away() }).await.is_err());
        assert_eq!(*remembered.get(|_| true, async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(*remembered.get(|_| true, async { away() }).await.unwrap(), 1);
        assert_eq!(*remembered.get(|_| true, async { Ok(2) }).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_provider_that_is_away_is_not_asked_again_and_again() {
        let remembered = Remembered::new(Pace {
            fresh: HOUR,
            pause: HOUR,
        });
        assert!(remembered.get(|_| true, async { away() }).await.is_err());
        let told = remembered.get(|_| true, async { Ok(1) }).await;
        assert_eq!(told, Err(IdentityError::Unreachable("away".to_owned())));
    }

    #[tokio::test]
    async fn a_look_keeps_nobody_from_asking_for_what_is_missing() {
        let remembered = Remembered::new(Pace {
            fresh: HOUR,
            pause: HOUR,
        });
        remembered.look(HOUR, async { Ok(1) }).await;
        assert_eq!(
            *remembered
                .get(|value| *value == 2, async { Ok(2) })
                .await
                .unwrap(),
            2
        );
        remembered.look(HOUR, async { away() }).await;
        assert_eq!(remembered.failure(), None, "it is young, so nobody was asked");
    }

    #[tokio::test]
    async fn a_failure_is_told_until_there_is_an_answer_again() {
        let remembered = Remembered::new(Pace {
            fresh: HOUR,
            pause: Duration::ZERO,
        });
        assert_eq!(remembered.failure(), None);
        remembered.look(HOUR, async { away() }).await;
        assert_eq!(remembered.failure(), away().err());
        remembered.look(HOUR, async { Ok(1) }).await;
        assert_eq!(remembered.failure(), None);
        assert!(remembered.get(|_| false, async { away() }).await.is_ok());
        assert_eq!(
            remembered.failure(),
            away().err(),
            "what is known counts, and it is away"
        );
    }
}

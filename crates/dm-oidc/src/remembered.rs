//! What the provider has published: kept for a while, and asked for again within bounds.

use std::{
    sync::{Arc, PoisonError, RwLock},
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
    value: RwLock<Option<(Arc<T>, Instant)>>,
    /// When it was last asked for, and what went wrong; held by who asks.
    last: Mutex<Option<(Instant, Option<IdentityError>)>>,
}

impl<T> Remembered<T> {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            value: RwLock::default(),
            last: Mutex::default(),
        }
    }

    /// What is known now, however old it is.
    pub(crate) fn known(&self) -> Option<Arc<T>> {
        self.younger_than(LONGEST)
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
        let mut last = self.last.lock().await;
        if let Some(value) = fresh() {
            return Ok(value);
        }
        let failure = match &*last {
            Some((asked, failure)) if asked.elapsed() < self.pace.pause => failure.clone(),
            _ => {
                let failure = self.ask(fetch).await.err();
                *last = Some((Instant::now(), failure.clone()));
                failure
            }
        };
        match (self.known(), failure) {
            (Some(value), _) => Ok(value),
            (None, Some(failure)) => Err(failure),
            (None, None) => Err(IdentityError::Unreachable("it was not asked yet".to_owned())),
        }
    }

    async fn ask(&self, fetch: impl Future<Output = Result<T, IdentityError>>) -> Result<(), IdentityError> {
        let fetched = fetch
            .await
            .inspect_err(|error| tracing::warn!(%error, "sign-in with accounts"))?;
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        *value = Some((Arc::new(fetched), Instant::now()));
        Ok(())
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<T>> {
        let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
        let (value, at) = value.as_ref()?;
        (at.elapsed() < age).then(|| value.clone())
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
}

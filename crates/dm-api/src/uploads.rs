//! How many uploads there are at once, and how slow one may be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::http::{
    StatusCode,
    header::{self, HeaderValue},
};
use dm_core::config::UploadsConfig;

use crate::error::ApiError;

/// When a client that found no place may come back.
const COME_BACK_AFTER: Duration = Duration::from_secs(5);

/// The places for uploads of one node, shared by its worker threads.
#[derive(Clone)]
pub(crate) struct UploadPlaces {
    config: UploadsConfig,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    in_all: u32,
    by_key: HashMap<Arc<str>, u32>,
}

/// A place for one upload, which is free again once this is dropped.
pub(crate) struct UploadPlace {
    key_id: Arc<str>,
    taken: Arc<Mutex<Taken>>,
}

impl UploadPlaces {
    pub(crate) fn new(config: UploadsConfig) -> Self {
        Self {
            config,
            taken: Arc::default(),
        }
    }

    /// Takes a place for an upload of this API key: 429 where the key has too many of
    /// them, 503 where the node has.
    pub(crate) fn take(&self, key_id: &Arc<str>) -> Result<UploadPlace, ApiError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = taken.by_key.get(key_id).copied().unwrap_or(0);
        if of_key >= self.config.max_at_once_per_key {
            return Err(ApiError::too_many(
                "Too many uploads of this API key are under way",
                COME_BACK_AFTER,
            ));
        }
        if taken.in_all >= self.config.max_at_once {
            let wait = HeaderValue::from(COME_BACK_AFTER.as_secs());
            return Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the node takes no more uploads at the moment",
            )
            .with_header(header::RETRY_AFTER, wait));
        }
        taken.in_all += 1;
        taken.by_key.insert(key_id.clone(), of_key + 1);
        Ok(UploadPlace {
            key_id: key_id.clone(),
            taken: self.taken.clone(),
        })
    }

    /// The pace that an upload has to keep, where it may stand still for `patience`.
    pub(crate) fn pace(&self, patience: Duration) -> UploadPace {
        UploadPace {
            patience,
            bytes_per_second: self.config.min_bytes_per_second,
            debt: Duration::ZERO,
        }
    }
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all = taken.in_all.saturating_sub(1);
        if let Some(of_key) = taken.by_key.get_mut(&self.key_id) {
            *of_key -= 1;
            if *of_key == 0 {
                taken.by_key.remove(&self.key_id);
            }
        }
    }
}

/// Whether the bytes of an upload come fast enough. Waiting for them runs into debt,
/// their coming pays it back; what came too fast counts for nothing later. So an
/// upload ends that was slower than the least rate for as long as it may stand still.
pub(crate) struct UploadPace {
    patience: Duration,
    bytes_per_second: u64,
    debt: Duration,
}

impl UploadPace {
    /// How long the next piece may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience.saturating_sub(self.debt)
    }

    /// Notes a piece that was waited for since `began`.
    pub(crate) fn note(&mut self, bytes: usize, began: Instant) {
        if self.bytes_per_second == 0 {
            return;
        }
        let paid = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        self.debt = (self.debt + began.elapsed()).saturating_sub(paid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(in_all: u32, per_key: u32) -> UploadPlaces {
        UploadPlaces::new(UploadsConfig {
            max_at_once: in_all,
            max_at_once_per_key: per_key,
            ..UploadsConfig::default()
        })
    }

    #[test]
    fn a_place_that_was_given_up_is_free_again() {
        let places = places(3, 2);
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let first = places.take(&one);
        let _second = places.take(&one);
        assert!(places.take(&one).is_err());
        let _third = places.take(&other);
        assert!(places.take(&other).is_err(), "the node has no more places");
        drop(first);
        assert!(places.take(&one).is_ok());
    }

    #[test]
    fn a_trickle_runs_out_of_patience_and_a_steady_stream_does_not() {
        let second = Duration::from_secs(1);
        let long_ago = |time| Instant::now().checked_sub(time).unwrap();
        let mut pace = places(1, 1).pace(30 * second);
        for _ in 0..1000 {
            pace.note(1024, long_ago(second));
        }
        assert!(pace.patience() > 25 * second);
        pace.note(1 << 30, long_ago(second));
        pace.note(1, long_ago(29 * second));
        assert!(pace.patience() < 2 * second, "what came fast was not saved up");
        pace.note(1, long_ago(29 * second));
        assert_eq!(pace.patience(), Duration::ZERO);
    }

    #[test]
    fn without_a_least_rate_only_standing_still_counts() {
        let mut places = places(1, 1);
        places.config.min_bytes_per_second = 0;
        let mut pace = places.pace(Duration::from_secs(30));
        let began = Instant::now().checked_sub(Duration::from_secs(29)).unwrap();
        pace.note(1, began);
        assert_eq!(pace.patience(), Duration::from_secs(30));
    }
}

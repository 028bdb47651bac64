//! A store whose tables others change as well: it learns of that, and gives signs of life.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use dm_core::ports::StoreError;

use super::{
    Objects,
    epochs::{self, SIGN_PAUSE},
    recovery::Sweep,
};
use crate::commits::{committer::Need, transaction::Transaction};

/// Between two looks at what others have changed.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// Between two looks through the bucket.
const SWEEP_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);

impl Objects {
    /// Until it is stopped: rings when others have changed objects, and gives signs of life.
    pub(crate) fn follow(&self, stop: &AtomicBool) {
        let mut signed = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(LOOK_PAUSE);
            match self.committer.look(&*self.engine) {
                Ok(true) => self.changed.notify_one(),
                Ok(false) => {}
                // A database that is away is seen again later.
                Err(error) => tracing::debug!(%error, "could not look what other instances store"),
            }
            if signed.elapsed() >= SIGN_PAUSE {
                signed = Instant::now();
                if let Err(error) = self.give_sign() {
                    tracing::warn!(%error, "the object store could not give a sign of life");
                }
            }
        }
    }

    /// Gives a sign of life, and begins another epoch where it came too late.
    fn give_sign(&self) -> Result<(), StoreError> {
        let (bucket, epoch) = (self.bucket.clone(), self.ids.epoch());
        let sign =
            move |transaction: &mut Transaction<'_>| epochs::give_sign(transaction, bucket.as_deref(), epoch);
        if let Some(begun) = self.committer.run_blocking(Need::Nothing, sign)? {
            self.ids.go_on_in(begun);
            tracing::warn!(
                epoch = begun,
                "this instance was silent for too long: objects that it was writing are refused"
            );
        }
        Ok(())
    }

    /// Says that this store writes no more.
    pub(crate) fn sign_off(&self) -> Result<(), StoreError> {
        let epoch = self.ids.epoch();
        let end = move |transaction: &mut Transaction<'_>| {
            epochs::end(transaction, epoch);
            Ok(())
        };
        self.committer.run_blocking(Need::Nothing, end)
    }
}

/// Looks through the bucket again and again, until it is stopped.
pub(crate) fn sweep_on(sweep: &Sweep, objects: &Arc<Objects>, stop: &AtomicBool) {
    let mut swept: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        if swept.is_none_or(|swept| swept.elapsed() >= SWEEP_PAUSE) {
            sweep.run(objects.ids.epoch(), stop);
            swept = Some(Instant::now());
        }
        thread::sleep(LOOK_PAUSE);
    }
}

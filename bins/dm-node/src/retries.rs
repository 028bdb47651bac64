//! How often a broken transfer is taken up again.

use std::time::Duration;

/// Attempts in a row that bring nothing, after which a command gives up: some two minutes.
const MAX_ATTEMPTS: u32 = 9;
/// Longest pause between two attempts, in seconds.
const LONGEST_PAUSE_SECS: u64 = 30;

/// The attempts of one transfer.
#[derive(Default)]
pub(crate) struct Retries {
    in_vain: u32,
    place: u64,
}

impl Retries {
    /// Waits before the next attempt, which begins at this byte; longer each time, unless
    /// bytes have come since the last one.
    ///
    /// # Errors
    /// The reason why the last attempt failed, once there were enough of them.
    pub(crate) async fn pause(&mut self, place: u64, reason: anyhow::Error) -> anyhow::Result<()> {
        if place > self.place {
            self.in_vain = 0;
        }
        self.place = place;
        self.in_vain += 1;
        if self.in_vain > MAX_ATTEMPTS {
            return Err(reason);
        }
        let pause = (1 << (self.in_vain - 1)).min(LONGEST_PAUSE_SECS);
        eprintln!("{reason:#}; goes on at byte {place} in {pause} s");
        tokio::time::sleep(Duration::from_secs(pause)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_attempts_that_bring_nothing_count() {
        let mut retries = Retries::default();
        for place in 1..100 {
            retries.pause(place, anyhow!("broken")).await.unwrap();
        }
        let mut more = 0;
        while retries.pause(99, anyhow!("broken")).await.is_ok() {
            more += 1;
        }
        assert_eq!(more, MAX_ATTEMPTS - 1);
    }
}

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;

/// How much the newest measurement counts against those before.
const WEIGHT: f64 = 0.4;

/// How fast holders deliver chunks, as measured in one fetch. Does no I/O.
#[derive(Default)]
pub(crate) struct Speeds {
    /// Seconds for a chunk.
    pace: HashMap<PeerId, f64>,
}

impl Speeds {
    /// The holder took this long for `chunks` chunks.
    pub(crate) fn measured(&mut self, holder: PeerId, chunks: u32, took: Duration) {
        if chunks == 0 {
            return;
        }
        let newest = took.as_secs_f64() / f64::from(chunks);
        self.pace
            .entry(holder)
            .and_modify(|pace| *pace += WEIGHT * (newest - *pace))
            .or_insert(newest);
    }

    /// How long the holder probably takes for `chunks` chunks; `None` where it
    /// has not delivered any yet.
    pub(crate) fn expected(&self, holder: &PeerId, chunks: u32) -> Option<Duration> {
        let pace = self.pace.get(holder)?;
        Duration::try_from_secs_f64(pace * f64::from(chunks)).ok()
    }

    /// How many chunks the holder probably delivers in `time`, at most `most`
    /// and at least one; `None` where it has not delivered any yet.
    pub(crate) fn chunks_within(&self, holder: &PeerId, time: Duration, most: u32) -> Option<u32> {
        let pace = self.pace.get(holder)?;
        // A float that is too large becomes the largest number.
        let chunks = (time.as_secs_f64() / pace.max(f64::MIN_POSITIVE)) as u32;
        Some(chunks.clamp(1, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_measurements_count_most() {
        let (mut speeds, holder) = (Speeds::default(), PeerId::random());
        assert_eq!(speeds.expected(&holder, 1), None);
        speeds.measured(holder, 4, Duration::from_secs(4));
        assert_eq!(speeds.expected(&holder, 2), Some(Duration::from_secs(2)));
        for _ in 0..30 {
            speeds.measured(holder, 10, Duration::from_secs(1));
        }
        assert_eq!(speeds.chunks_within(&holder, Duration::from_secs(1), 16), Some(9));
        speeds.measured(holder, 0, Duration::from_secs(100));
        assert_eq!(speeds.chunks_within(&holder, Duration::from_secs(1), 16), Some(9));
    }

    #[test]
    fn who_takes_no_time_or_forever_is_asked_for_a_sane_number() {
        let (mut speeds, instant, stuck) = (Speeds::default(), PeerId::random(), PeerId::random());
        speeds.measured(instant, 4, Duration::ZERO);
        speeds.measured(stuck, 1, Duration::MAX);
        let second = Duration::from_secs(1);
        assert_eq!(speeds.chunks_within(&instant, second, 16), Some(16));
        assert_eq!(speeds.chunks_within(&stuck, second, 16), Some(1));
    }
}

/// SplitMix64: small, fast, and the same everywhere.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Numbers that follow from the seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is at least 1.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from 0 to 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Time until the next of events of which `rate` happen in an hour, in
    /// milliseconds.
    pub(crate) fn until_next(&mut self, rate: f64) -> u64 {
        let hours = -(1.0 - self.fraction()).ln() / rate;
        (hours * super::HOUR as f64) as u64 + 1
    }
}

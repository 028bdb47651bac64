use dm_core::{config::NetworkConfig, envelope::ObjectId};

use super::PeerKey;

/// How repair is done. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairConfig {
    /// Peers that shall hold each object beside its owner.
    pub factor: u32,
    /// Between two challenges of one holder over one object.
    pub challenge_interval: u64,
    /// How long a holder may be away before it is replaced, where enough
    /// others are left. Where fewer are, it is shorter; where none is, zero.
    pub grace: u64,
    /// How much later each further holder begins to replace one: they agree
    /// on their order without talking.
    pub turn: u64,
    /// How long a copy counts that a peer has taken and not proven.
    pub claim_patience: u64,
    /// First pause before a peer that is silent, or a copy that nobody took,
    /// is tried again; it doubles up to `longest_pause`.
    pub first_pause: u64,
    /// See `first_pause`.
    pub longest_pause: u64,
    /// A holder that has been away this long is no holder any more. Who
    /// answered a challenge wrongly gets no copy for as long; who only had no
    /// copy any more, for `longest_pause`.
    pub forget_after: u64,
    /// Challenges in a second.
    pub challenges_per_second: u64,
    /// Searches for holders in a second.
    pub searches_per_second: u64,
    /// Bytes of copies in a second.
    pub bytes_per_second: u64,
    /// Objects of which copies are made at the same time.
    pub places: usize,
    /// What was begun and has not ended after this long is begun anew.
    pub longest_step: u64,
}

impl Default for RepairConfig {
    fn default() -> Self {
        const SECOND: u64 = 1000;
        const HOUR: u64 = 3600 * SECOND;
        Self {
            factor: 3,
            challenge_interval: 6 * HOUR,
            grace: 120 * SECOND,
            turn: 20 * SECOND,
            claim_patience: 300 * SECOND,
            first_pause: 60 * SECOND,
            longest_pause: 4 * HOUR,
            forget_after: 7 * 24 * HOUR,
            challenges_per_second: 50,
            searches_per_second: 20,
            bytes_per_second: 32 << 20,
            places: 32,
            longest_step: HOUR,
        }
    }
}

impl RepairConfig {
    /// The config that an operator has set.
    pub fn of(network: &NetworkConfig) -> Self {
        let millis = |seconds: u64| seconds.saturating_mul(1000);
        Self {
            factor: network.replication_factor,
            challenge_interval: millis(network.challenge_interval_secs),
            grace: millis(network.repair_grace_secs),
            first_pause: millis(network.health_check_interval_secs),
            challenges_per_second: network.challenges_per_sec,
            bytes_per_second: network.repair_bytes_per_sec,
            ..Self::default()
        }
    }

    /// How long is waited before a missing copy is replaced, with this many
    /// left, the own one counted.
    pub(super) fn grace_with(&self, copies: u32) -> u64 {
        let full = u64::from(self.factor.max(2) - 1);
        let others = u64::from(copies.saturating_sub(1)).min(full);
        self.grace * others / full
    }

    /// How long a peer may be away before the objects that it holds are looked at.
    pub(super) fn away_patience(&self) -> u64 {
        (self.grace / 4).min(30 * 1000)
    }

    /// The pause after this many failures in a row.
    pub(super) fn pause_after(&self, failures: u32) -> u64 {
        let factor = 1u64 << failures.saturating_sub(1).min(32);
        self.first_pause.saturating_mul(factor).min(self.longest_pause)
    }

    /// Up to a sixteenth of the challenge interval and at most two minutes,
    /// always the same for an object and a peer: what was begun together is
    /// not repeated together.
    pub(super) fn spread(&self, object: &ObjectId, peer: PeerKey) -> u64 {
        let most = (self.challenge_interval / 16).min(2 * 60 * 1000);
        (peer.distance(object) as u64) % (most + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_the_defaults_of_repair() {
        assert_eq!(
            RepairConfig::of(&NetworkConfig::default()),
            RepairConfig::default()
        );
    }

    #[test]
    fn the_fewer_copies_are_left_the_sooner_one_is_made() {
        let config = RepairConfig::default();
        assert_eq!(config.grace_with(1), 0);
        assert_eq!(config.grace_with(2), config.grace / 2);
        assert_eq!(config.grace_with(3), config.grace);
        assert_eq!(config.grace_with(9), config.grace);
        let single = RepairConfig { factor: 1, ..config };
        assert_eq!(single.grace_with(1), 0);
    }

    #[test]
    fn pauses_grow_to_their_limit() {
        let config = RepairConfig::default();
        assert_eq!(config.pause_after(1), config.first_pause);
        assert_eq!(config.pause_after(2), config.first_pause * 2);
        assert_eq!(config.pause_after(u32::MAX), config.longest_pause);
    }
}

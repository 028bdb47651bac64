//! The events that wait for an anchor, and what their age says of the log.

use std::time::Duration;

use dm_core::{
    health::{Finding, Trouble},
    ports::ChainError,
};

/// How old an event may be that is not anchored. An anchor takes some blocks.
const LATE: Duration = Duration::from_secs(120);

/// Events that wait for an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unanchored {
    /// Position of the oldest.
    pub(crate) first: u64,
    /// How many they are.
    pub(crate) count: u64,
    /// When the oldest was recorded, in milliseconds since the Unix epoch.
    pub(crate) since: u64,
    /// Why the last anchor could not be made.
    pub(crate) trouble: Option<ChainError>,
}

impl Unanchored {
    /// What they say at `now` (milliseconds since the Unix epoch) of the log's health.
    pub(crate) fn finding(&self, now: u64) -> Finding {
        if u128::from(now.saturating_sub(self.since)) < LATE.as_millis() {
            return Finding::Working;
        }
        let why = match &self.trouble {
            Some(error) => error.to_string(),
            None => "no block has the anchor yet".to_owned(),
        };
        let (count, first) = (self.count, self.first);
        let reason = format!("{count} events from number {first} on are not anchored: {why}");
        Finding::Degraded(Trouble::new(reason, action(self.trouble.as_ref())).since(self.since))
    }
}

/// What helps.
fn action(trouble: Option<&ChainError>) -> &'static str {
    match trouble {
        None | Some(ChainError::NotMined(_)) => {
            "wait for a block, or see in part `account` what keeps the transaction out of it"
        }
        Some(ChainError::Unavailable(_) | ChainError::WrongChain { .. }) => {
            "look at the endpoints of the chain; the events are anchored when it answers"
        }
        Some(ChainError::InsufficientFunds { .. }) => {
            "send coins for gas to the operator account; the events are anchored then"
        }
        Some(ChainError::Refused(_)) => {
            "remove the reason, such as a max_fee_gwei below the price; the anchor is tried again every few seconds"
        }
        Some(ChainError::Reverted(_)) => {
            "see whether another node uses the same node account; the anchor is tried again every few seconds"
        }
        Some(ChainError::Journal(_)) => "make room on the disk of the data directory, and look at its health",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn after(age: Duration, trouble: Option<ChainError>) -> Finding {
        let since = NOW - age.as_millis() as u64;
        let unanchored = Unanchored {
            first: 7,
            count: 3,
            since,
            trouble,
        };
        unanchored.finding(NOW)
    }

    #[test]
    fn an_event_that_was_just_recorded_is_no_trouble() {
        let refused = ChainError::Refused("gas costs too much".to_owned());
        assert_eq!(after(LATE / 2, Some(refused)), Finding::Working);
    }

    #[test]
    fn events_that_stay_without_anchor_are_told_with_the_reason_and_since_when() {
        let refused = ChainError::Refused("gas costs too much".to_owned());
        let Finding::Degraded(trouble) = after(2 * LATE, Some(refused)) else {
            panic!("nothing is wrong");
        };
        assert_eq!(trouble.since, Some(NOW - 2 * LATE.as_millis() as u64));
        assert!(trouble.reason.contains("3 events from number 7"), "{trouble:?}");
        assert!(trouble.reason.contains("gas costs too much"), "{trouble:?}");
    }
}

//! Subscriptions: programs that are called when something happens.

use std::{collections::BTreeMap, fmt, str::FromStr};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::journal::Topics;

/// Longest name of a subscription, in characters.
pub const MAX_NAME: usize = 100;
/// Longest address of a receiver, in bytes.
pub const MAX_URL: usize = 2048;
/// Labels in one filter.
pub const MAX_FILTER_LABELS: usize = 32;

/// Names a subscription: `sub_` and 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub [u8; 8]);

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sub_{}", hex::encode(self.0))
    }
}

/// The text names no subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be sub_ and 16 hexadecimal digits")]
pub struct InvalidSubscriptionId;

impl FromStr for SubscriptionId {
    type Err = InvalidSubscriptionId;

    fn from_str(text: &str) -> Result<Self, InvalidSubscriptionId> {
        let digits = text.strip_prefix("sub_").ok_or(InvalidSubscriptionId)?;
        let mut id = [0; 8];
        hex::decode_to_slice(digits, &mut id).map_err(|_| InvalidSubscriptionId)?;
        Ok(Self(id))
    }
}

/// Which events of its topics a subscription is for: those that have all of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventMatch {
    /// Only data of this owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// Only what concerns this recipient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    /// Only data with these labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl EventMatch {
    /// Whether an event with this data is wanted.
    pub fn admits(&self, data: &Value) -> bool {
        let is_account = |wanted: Option<Address>, names: &[&str]| {
            wanted.is_none_or(|wanted| {
                let named = names.iter().find_map(|name| data[name].as_str());
                named.and_then(|text| text.parse().ok()) == Some(wanted)
            })
        };
        is_account(self.from, &["from", "owner"])
            && is_account(self.recipient, &["recipient"])
            && self
                .labels
                .iter()
                .all(|(key, value)| data["labels"][key].as_str() == Some(value))
    }
}

/// Whether events are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionState {
    /// They are.
    Active,
    /// Not until an operator says so; then all that has happened meanwhile.
    Paused,
    /// No more: the receiver said that it is gone.
    Ended,
}

impl SubscriptionState {
    /// The name in JSON and in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// How far the deliveries of a subscription are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Every event up to this position was delivered, is not wanted, or was given up.
    pub read_to: u64,
    /// Attempts for the next event that failed.
    pub attempts: u32,
    /// When the next event is tried again, in milliseconds since the Unix epoch; 0: at once.
    pub next_try: u64,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Events that were forgotten before they could be delivered, since deliveries began
    /// at the place where the subscription was made or rewound to.
    pub missed: u64,
}

/// A program that is called when something happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Its name, for people.
    pub name: String,
    /// Where it is called.
    pub url: String,
    /// What it is told of.
    pub topics: Topics,
    /// Which events of these topics.
    pub filter: EventMatch,
    /// The key that signs the calls, sealed under a secret of the node account.
    pub sealed_secret: Vec<u8>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// Whether events are delivered.
    pub state: SubscriptionState,
    /// How far the deliveries are.
    pub progress: Progress,
}

/// An event that a receiver did not take, however often it was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Position of the event in the journal.
    pub position: u64,
    /// Its topic.
    pub topic: String,
    /// Attempts that failed.
    pub attempts: u32,
    /// When it was given up, in milliseconds since the Unix epoch.
    pub failed_at: u64,
    /// Why the last attempt failed.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = SubscriptionId([0xab; 8]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "sub_",
            "sub_ab",
            "subs_abababababababab",
            "sub_abababababababababab",
        ] {
            assert_eq!(
                text.parse::<SubscriptionId>(),
                Err(InvalidSubscriptionId),
                "{text}"
            );
        }
    }

    #[test]
    fn a_filter_admits_what_has_all_that_it_names() {
        let (owner, recipient) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let data = json!({"owner": owner, "recipient": recipient, "labels": {"kind": "report"}});
        let filter = |from, recipient, label: Option<(&str, &str)>| EventMatch {
            from,
            recipient,
            labels: label
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        };
        assert!(filter(None, None, None).admits(&json!(null)));
        assert!(filter(Some(owner), Some(recipient), Some(("kind", "report"))).admits(&data));
        assert!(!filter(Some(recipient), None, None).admits(&data));
        assert!(!filter(None, Some(owner), None).admits(&data));
        assert!(!filter(None, None, Some(("kind", "other"))).admits(&data));
        assert!(!filter(None, None, Some(("other", "report"))).admits(&data));
        assert!(!filter(Some(owner), None, None).admits(&json!({"owner": 1})));
    }
}

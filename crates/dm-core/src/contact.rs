//! Contacts: names for the addresses of others, and how far they are trusted.

use std::{borrow::Cow, fmt, str::FromStr};

use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    address::{InvalidAddress, parse_address},
    address_record::AddressRecord,
    named_enum::named_enum,
};

/// Longest name, in characters: shorter than the digits of an address or a hash.
const MAX_NAME: usize = 32;
/// Longest note, in characters.
pub const MAX_NOTE: usize = 500;

/// The name of a contact: a letter, and up to 31 more of `A-Za-z0-9_.-`. Its case does not
/// count; it is kept in lower case. So no name reads as an address or a hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ContactName(String);

/// The text is no name of a contact; completes "`<field>` …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a letter and up to 31 more letters, digits, `_`, `.` or `-`")]
pub struct InvalidContactName;

impl ContactName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContactName {
    type Err = InvalidContactName;

    fn from_str(text: &str) -> Result<Self, InvalidContactName> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        let begins_well = text.starts_with(|first: char| first.is_ascii_alphabetic());
        if begins_well && text.len() <= MAX_NAME && text.bytes().all(is_allowed) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidContactName)
        }
    }
}

impl fmt::Display for ContactName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ContactName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

named_enum! {
    /// How far a contact is trusted with what it sends.
    pub enum Trust {
        /// What it shares is let in.
        Accept = "accept",
        /// What it shares gets in as that of a stranger does.
        Ask = "ask",
        /// What it shares is kept out: its objects get no room.
        Block = "block",
    }

    /// The text names no degree of trust; completes "`<field>` …".
    pub struct UnknownTrust("is no degree of trust");
}

/// An address that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its name.
    pub name: ContactName,
    /// Its node account.
    pub address: Address,
    /// How far it is trusted.
    pub trust: Trust,
    /// What the operator has noted: at most [`MAX_NOTE`] characters.
    pub note: Option<String>,
    /// When it was added, in milliseconds since the Unix epoch.
    pub added_at: u64,
    /// What its address record said when the operator last confirmed the contact; `None`
    /// until a record has been seen.
    pub confirmed: Option<SeenRecord>,
    /// What the record says since then, if that is something else.
    pub changed: Option<RecordChange>,
}

/// What of an address record an operator may want to confirm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRecord {
    /// The HPKE key that grants are made for.
    pub hpke_public_key: [u8; 32],
    /// The peers that act for the address.
    pub peers: Vec<String>,
}

/// An address record that differs from what the operator has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// When it was seen, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What it says.
    pub record: SeenRecord,
}

named_enum! {
    /// A part of an address record.
    pub enum RecordPart {
        /// The HPKE key.
        Key = "key",
        /// The peer.
        Peer = "peer",
    }

    /// The text names no part of a record.
    pub struct UnknownRecordPart("is no part of an address record");
}

impl From<&AddressRecord> for SeenRecord {
    fn from(record: &AddressRecord) -> Self {
        Self {
            hpke_public_key: record.hpke_public_key,
            peers: record.peers().map(str::to_owned).collect(),
        }
    }
}

impl SeenRecord {
    /// What differs between two records. Instances of a node come and go: only where none of its
    /// peers is left, its peer is another one.
    pub fn differences(&self, other: &Self) -> Vec<RecordPart> {
        let key = (self.hpke_public_key != other.hpke_public_key).then_some(RecordPart::Key);
        let is_other = !self.peers.iter().any(|peer| other.peers.contains(peer));
        let peer = is_other.then_some(RecordPart::Peer);
        key.into_iter().chain(peer).collect()
    }
}

impl Contact {
    /// What of the address record has changed since the operator confirmed it.
    pub fn changes(&self) -> Vec<RecordPart> {
        match (&self.confirmed, &self.changed) {
            (Some(confirmed), Some(changed)) => confirmed.differences(&changed.record),
            _ => Vec::new(),
        }
    }

    /// Takes note of the record that the address has now. The first one counts as
    /// confirmed, and so does one that differs only in some of the peers; a record that is as
    /// confirmed again ends a change. Whether that made a difference.
    pub fn see(&mut self, record: SeenRecord, now: u64) -> bool {
        let Some(confirmed) = &self.confirmed else {
            self.confirmed = Some(record);
            return true;
        };
        if confirmed.differences(&record).is_empty() {
            let is_same = *confirmed == record;
            self.confirmed = Some(record);
            return self.changed.take().is_some() || !is_same;
        }
        if self
            .changed
            .as_ref()
            .is_some_and(|changed| changed.record == record)
        {
            return false;
        }
        self.changed = Some(RecordChange { at: now, record });
        true
    }

    /// The operator knows of the change.
    pub fn confirm(&mut self) {
        if let Some(changed) = self.changed.take() {
            self.confirmed = Some(changed.record);
        }
    }
}

/// Somebody as clients and operators write it: an address, or the name of a contact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// An address.
    Address(Address),
    /// A contact, whose address the node knows.
    Contact(ContactName),
}

impl From<Address> for Party {
    fn from(address: Address) -> Self {
        Self::Address(address)
    }
}

impl FromStr for Party {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        match text.parse() {
            Ok(name) => Ok(Self::Contact(name)),
            Err(InvalidContactName) => parse_address(text).map(Self::Address),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Contact(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

    #[test]
    fn a_name_begins_with_a_letter_and_its_case_does_not_count() {
        for name in ["a", "Acme_2.example-org", &"x".repeat(32), "ACME"] {
            let parsed: ContactName = name.parse().unwrap();
            assert_eq!(parsed.as_str(), name.to_lowercase());
        }
        let long = "x".repeat(33);
        let huge = "x".repeat(10 * 1024);
        for name in [
            "",
            "1acme",
            "_a",
            ".a",
            "..",
            "-a",
            "a b",
            " a",
            "a/b",
            "a\\b",
            "a%2fb",
            "a\0",
            "a\n",
            "a\u{7f}",
            "ä",
            "аcme",
            "a\u{202e}",
            &long,
            &huge,
        ] {
            assert_eq!(name.parse::<ContactName>(), Err(InvalidContactName), "{name:?}");
            let json = serde_json::to_string(name).unwrap();
            assert!(serde_json::from_str::<ContactName>(&json).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_reads_as_an_address_is_no_name() {
        let digits = &ADDRESS[2..];
        for text in [ADDRESS, digits, &"f".repeat(64), "0xacme", "0Xacme"] {
            assert_eq!(text.parse::<ContactName>(), Err(InvalidContactName), "{text}");
        }
        assert_eq!(ADDRESS.parse(), parse_address(ADDRESS).map(Party::Address));
        assert_eq!(
            ADDRESS.replace("9Fd", "9fD").parse::<Party>(),
            Err(InvalidAddress::Checksum)
        );
        assert_eq!(digits.parse::<Party>(), Err(InvalidAddress::Format));
        assert_eq!("Acme".parse(), Ok(Party::Contact("acme".parse().unwrap())));
    }

    fn record(key: u8, peers: &str) -> SeenRecord {
        SeenRecord {
            hpke_public_key: [key; 32],
            peers: peers.split(' ').map(str::to_owned).collect(),
        }
    }

    fn contact() -> Contact {
        Contact {
            name: "acme".parse().unwrap(),
            address: Address::repeat_byte(1),
            trust: Trust::Accept,
            note: None,
            added_at: 1,
            confirmed: None,
            changed: None,
        }
    }

    #[test]
    fn the_first_record_is_believed_and_another_one_is_a_change_until_it_is_confirmed() {
        let mut contact = contact();
        assert!(contact.see(record(1, "peer"), 10));
        assert!(!contact.see(record(1, "peer"), 11));
        assert_eq!(contact.changes(), []);
        assert!(contact.see(record(2, "peer"), 12));
        assert!(!contact.see(record(2, "peer"), 13));
        assert_eq!(contact.changes(), [RecordPart::Key]);
        assert!(contact.see(record(2, "other"), 14));
        assert_eq!(contact.changes(), [RecordPart::Key, RecordPart::Peer]);
        assert_eq!(contact.changed.as_ref().unwrap().at, 14);
        contact.confirm();
        assert_eq!(contact.changes(), []);
        assert_eq!(contact.confirmed, Some(record(2, "other")));
        assert!(!contact.see(record(2, "other"), 15));
    }

    #[test]
    fn instances_that_come_and_go_are_no_change_as_long_as_one_is_left() {
        let mut contact = contact();
        contact.see(record(1, "first"), 10);
        assert!(contact.see(record(1, "second first"), 11));
        assert!(contact.see(record(1, "second"), 12));
        assert_eq!(contact.confirmed, Some(record(1, "second")));
        assert_eq!(contact.changes(), []);
        assert!(contact.see(record(1, "first"), 13));
        assert_eq!(contact.changes(), [RecordPart::Peer]);
    }

    #[test]
    fn a_record_that_is_as_confirmed_again_is_no_change() {
        let mut contact = contact();
        contact.see(record(1, "peer"), 10);
        contact.see(record(2, "peer"), 11);
        assert!(contact.see(record(1, "peer"), 12));
        assert_eq!(contact.changed, None);
    }
}

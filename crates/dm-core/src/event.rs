//! Compliance events: the facts that the log keeps and the chain anchors.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::{
    acknowledgement::SignedAcknowledgement, hash::DataHash, mandate::Mandate, named_enum::named_enum,
};

named_enum! {
    /// What kind of fact an event states.
    pub enum EventKind {
        /// Data was shared with a recipient.
        DataShare = "data_share",
        /// Data was read.
        DataAccess = "data_access",
        /// This node has told an owner that it has read and checked its data.
        Acknowledgement = "acknowledgement",
        /// A recipient has read and checked data of this node.
        Delivery = "delivery",
        /// A further recipient was given access.
        Grant = "grant",
        /// A recipient's access was withdrawn.
        Revoke = "revoke",
        /// An object and its key were destroyed.
        DataDelete = "data_delete",
        /// Tokens were moved.
        Transfer = "transfer",
        /// A key was replaced by a newer version.
        KeyRotation = "key_rotation",
    }

    /// The text names no kind of event; completes "`<field>` …".
    pub struct UnknownEventKind("is no event type");
}

/// One compliance fact. Its leaf in the log is its canonical JSON
/// ([RFC 8785](https://www.rfc-editor.org/rfc/rfc8785)); the random nonce keeps
/// who sees only the leaf hash from guessing what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Version of this format: 1.
    pub version: u8,
    /// What happened.
    pub event_type: EventKind,
    /// The node account in whose log the event stands.
    pub log: Address,
    /// The data that it concerns, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_hash: Option<DataHash>,
    /// Who received something, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    /// When it was recorded, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// 16 random bytes in hexadecimal.
    #[serde(with = "hex::serde")]
    pub nonce: [u8; 16],
    /// What else belongs to the fact, such as a payment's transaction.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// The signed statement of the user who ordered it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<Box<Mandate>>,
}

/// A fact that has happened and is to be recorded; the log adds its own
/// address, the time and the nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// The data that it concerns, if any.
    pub data_hash: Option<DataHash>,
    /// Who received something, if anybody.
    pub recipient: Option<Address>,
    /// What else belongs to the fact.
    pub details: BTreeMap<String, String>,
    /// The signed statement of the user who ordered it, if one did.
    pub mandate: Option<Box<Mandate>>,
}

impl NewEvent {
    /// That `data_hash` was shared with `recipient`.
    pub fn data_share(data_hash: DataHash, recipient: Address) -> Self {
        Self {
            kind: EventKind::DataShare,
            data_hash: Some(data_hash),
            recipient: Some(recipient),
            details: BTreeMap::new(),
            mandate: None,
        }
    }

    /// That `data_hash` and its key were destroyed.
    pub fn data_delete(data_hash: DataHash) -> Self {
        Self {
            kind: EventKind::DataDelete,
            data_hash: Some(data_hash),
            recipient: None,
            details: BTreeMap::new(),
            mandate: None,
        }
    }

    /// That `recipient` has no access to `data_hash` any more.
    pub fn revoke(data_hash: DataHash, recipient: Address) -> Self {
        Self {
            kind: EventKind::Revoke,
            data_hash: Some(data_hash),
            recipient: Some(recipient),
            details: BTreeMap::new(),
            mandate: None,
        }
    }

    /// That this node has acknowledged `data_hash`.
    pub fn acknowledgement(data_hash: DataHash, statement: &SignedAcknowledgement) -> Self {
        Self {
            kind: EventKind::Acknowledgement,
            ..Self::delivery(data_hash, statement)
        }
    }

    /// That `data_hash` has arrived at a recipient, which has said so.
    pub fn delivery(data_hash: DataHash, statement: &SignedAcknowledgement) -> Self {
        let text = hex::encode(statement.bytes());
        Self {
            kind: EventKind::Delivery,
            data_hash: Some(data_hash),
            recipient: Some(statement.recipient),
            details: [(Event::STATEMENT.to_owned(), text)].into(),
            mandate: None,
        }
    }

    /// Completes the fact to an event of `log`, recorded now (`timestamp` in
    /// milliseconds since the Unix epoch), with a fresh nonce.
    pub fn into_event(self, log: Address, timestamp: u64) -> Event {
        Event {
            version: 1,
            event_type: self.kind,
            log,
            data_hash: self.data_hash,
            recipient: self.recipient,
            timestamp,
            nonce: rand::random(),
            details: self.details,
            mandate: self.mandate,
        }
    }
}

impl EventKind {
    /// Whether its events contain a statement that proves what they say.
    pub const fn has_evidence(self) -> bool {
        matches!(self, Self::Acknowledgement | Self::Delivery)
    }
}

impl Event {
    /// The detail with a signed statement, in hexadecimal.
    pub const STATEMENT: &'static str = "statement";

    /// The canonical JSON, which is the leaf's data.
    ///
    /// # Errors
    /// Only where memory runs out: every event has a canonical form.
    pub fn canonical(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json_canonicalizer::to_vec(self)
    }
}

//! News: what happens in the node, for operators, clients and plugins.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use serde::Serialize;
use serde_json::Value;

use crate::{
    act::Act,
    address::{checksummed, checksummed_if_any},
    contact::{ContactName, RecordPart},
    event::EventKind,
    hash::{DataHash, Locator},
    health::{HealthReport, PartHealth},
    peer::NetworkStats,
    person::Person,
    share::ShareStatus,
};

mod of_changes;

/// What happened, and what belongs to it; never a payload or a secret. As JSON it is
/// `{"type": …, "data": …}`; names and fields are part of the interface of plugins and
/// of the dashboard. Addresses have their EIP-55 checksum.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", content = "data")]
#[non_exhaustive]
pub enum News {
    /// The node looked at the health of all its parts.
    #[serde(rename = "health.update")]
    HealthUpdate(Box<HealthReport>),
    /// A part's health changed, or whether it is there.
    #[serde(rename = "health.component_change")]
    HealthComponentChange(ComponentChange),
    /// The operator account has another balance of a token.
    #[serde(rename = "token.balance_update")]
    TokenBalanceUpdate {
        /// The operator account.
        #[serde(serialize_with = "checksummed")]
        address: Address,
        /// The token.
        #[serde(serialize_with = "checksummed")]
        token: Address,
        /// The balance in its smallest unit, as decimal digits.
        balance: String,
    },
    /// An order is done.
    #[serde(rename = "token.transfer_completed")]
    TokenTransferCompleted(OrderNews),
    /// An order failed, or an attempt of one that is tried again.
    #[serde(rename = "token.transfer_failed")]
    TokenTransferFailed(OrderNews),
    /// A token is supported from now on.
    #[serde(rename = "token.added")]
    TokenAdded {
        /// Its contract.
        #[serde(serialize_with = "checksummed")]
        address: Address,
        /// Its symbol.
        symbol: String,
    },
    /// This node shared data.
    #[serde(rename = "data.shared")]
    DataShared {
        /// The data.
        data_hash: DataHash,
        /// Who may read it.
        #[serde(serialize_with = "checksummed")]
        recipient: Address,
        /// How far the share has come.
        status: ShareStatus,
        /// The anchor's transaction, once there is one.
        tx_hash: Option<B256>,
    },
    /// The chain holds a share.
    #[serde(rename = "share.anchored")]
    ShareAnchored {
        /// The data.
        data_hash: DataHash,
        /// Who may read it.
        #[serde(serialize_with = "checksummed")]
        recipient: Address,
        /// The anchor's transaction.
        tx_hash: B256,
        /// Number of its block.
        block: u64,
        /// Time of its block in seconds since the Unix epoch.
        anchored_at: u64,
    },
    /// A recipient may not read data of this node any more.
    #[serde(rename = "data.revoked")]
    DataRevoked {
        /// The data.
        data_hash: DataHash,
        /// Who could read it.
        #[serde(serialize_with = "checksummed")]
        recipient: Address,
    },
    /// The key of data was destroyed because somebody ordered it.
    #[serde(rename = "data.erased")]
    DataErased {
        /// The data.
        data_hash: DataHash,
    },
    /// The key of data was destroyed because the data's time is over.
    #[serde(rename = "data.expired")]
    DataExpired {
        /// The data.
        data_hash: DataHash,
    },
    /// Data of another owner has come: the inbox lists it, or, where it does not, this node has
    /// read it.
    #[serde(rename = "data.received")]
    DataReceived {
        /// The data.
        data_hash: DataHash,
        /// Who shared it.
        #[serde(serialize_with = "checksummed")]
        owner: Address,
        /// Plaintext bytes.
        size: u64,
    },
    /// This node has read data that its inbox lists.
    #[serde(rename = "data.fetched")]
    DataFetched {
        /// The data.
        data_hash: DataHash,
        /// Who shared it.
        #[serde(serialize_with = "checksummed")]
        owner: Address,
        /// Plaintext bytes.
        size: u64,
    },
    /// A recipient has said that it has read data: to this node, or this node itself.
    #[serde(rename = "data.acknowledged")]
    DataAcknowledged {
        /// The data.
        data_hash: DataHash,
        /// Who shared it.
        #[serde(serialize_with = "checksummed")]
        owner: Address,
        /// Who has read it.
        #[serde(serialize_with = "checksummed")]
        recipient: Address,
        /// When the recipient had first read it, in milliseconds since the Unix epoch.
        fetched_at: u64,
        /// When it has said so, in milliseconds since the Unix epoch.
        acknowledged_at: u64,
        /// Position of the event in this node's log: the receipt's id.
        receipt: u64,
    },
    /// A share was checked against the chain.
    #[serde(rename = "data.verified")]
    DataVerified {
        /// The data.
        data_hash: DataHash,
        /// Whether the chain holds the share.
        verified: bool,
    },
    /// The compliance log has another event.
    #[serde(rename = "compliance.event")]
    ComplianceEvent {
        /// Its position.
        index: u64,
        /// Its kind.
        event_type: EventKind,
        /// The data that it is about.
        data_hash: Option<DataHash>,
        /// The other side.
        #[serde(serialize_with = "checksummed_if_any")]
        recipient: Option<Address>,
        /// Milliseconds since the Unix epoch.
        timestamp: u64,
    },
    /// The address record of a contact says something else than what the operator has
    /// confirmed.
    #[serde(rename = "contact.changed")]
    ContactChanged {
        /// The contact.
        name: ContactName,
        /// Its address.
        #[serde(serialize_with = "checksummed")]
        address: Address,
        /// What of the record has changed.
        what: Vec<RecordPart>,
    },
    /// A first connection with a peer stands.
    #[serde(rename = "network.peer_connected")]
    PeerConnected {
        /// The peer.
        peer_id: String,
    },
    /// The last connection with a peer is gone.
    #[serde(rename = "network.peer_disconnected")]
    PeerDisconnected {
        /// The peer.
        peer_id: String,
    },
    /// A peer's health changed, or it is banned.
    #[serde(rename = "network.peer_health")]
    PeerHealth(PeerNews),
    /// The node looked at the totals of its network.
    #[serde(rename = "network.stats_update")]
    NetworkStatsUpdate(NetworkStats),
    /// An address that sends wrong API keys has to wait.
    #[serde(rename = "security.wrong_api_keys")]
    WrongApiKeys {
        /// The client's address.
        address: String,
        /// Wrong keys in a row.
        attempts: u32,
    },
    /// A person has signed in to the console.
    #[serde(rename = "person.signed_in")]
    PersonSignedIn {
        /// Who.
        #[serde(flatten)]
        person: Person,
        /// Id of the session.
        session: String,
    },
    /// The session of a person was ended before its time.
    #[serde(rename = "person.signed_out")]
    PersonSignedOut {
        /// Whose it was.
        #[serde(flatten)]
        person: Person,
        /// Id of the session.
        session: String,
    },
    /// A person has asked the node to change something.
    #[serde(rename = "person.acted")]
    PersonActed {
        /// Who.
        #[serde(flatten)]
        person: Person,
        /// For what, and what came of it.
        #[serde(flatten)]
        act: Act,
    },
    /// Somebody has administered the node with an API key.
    #[serde(rename = "api_key.acted")]
    ApiKeyActed {
        /// Id of the key.
        key_id: Arc<str>,
        /// What the operator calls the key.
        name: Arc<str>,
        /// What was asked for, and what came of it.
        #[serde(flatten)]
        act: Act,
    },
    /// The node runs.
    #[serde(rename = "system.node_started")]
    NodeStarted {
        /// Its name in the configuration.
        node_id: String,
        /// Its account.
        #[serde(serialize_with = "checksummed")]
        address: Address,
    },
    /// The node stops.
    #[serde(rename = "system.node_stopping")]
    NodeStopping {},
    /// Something is wrong that an operator has to know.
    #[serde(rename = "system.error")]
    SystemError(SystemTrouble),
}

/// A part of the node, and how it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComponentChange {
    /// Name of the part.
    pub component: String,
    /// Whether it is there, for parts that come and go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connected: Option<bool>,
    /// Its health, for parts that say how they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<PartHealth>,
}

/// What has become of an order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrderNews {
    /// Its id.
    pub id: String,
    /// Its kind, such as `transfer`.
    pub kind: &'static str,
    /// What it is for, such as `refund`.
    pub purpose: &'static str,
    /// Its transaction, once there is one.
    pub tx_hash: Option<B256>,
    /// What was moved, for orders that move money.
    #[serde(flatten)]
    pub movement: Option<Movement>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it is tried again, in seconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<f64>,
}

/// Money that moves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Movement {
    /// The token; the zero address is the chain's own coin.
    #[serde(serialize_with = "checksummed")]
    pub token: Address,
    /// Who pays.
    #[serde(serialize_with = "checksummed_if_any")]
    pub from: Option<Address>,
    /// Who is paid.
    #[serde(serialize_with = "checksummed")]
    pub to: Address,
    /// In the token's smallest unit, as decimal digits.
    pub amount: String,
}

/// What is known of a peer now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerNews {
    /// The peer.
    pub peer_id: String,
    /// Whether it answers and behaves.
    pub healthy: bool,
    /// Until when it is ignored, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banned_until: Option<u64>,
    /// Why it is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What an operator has to know.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "component", rename_all = "lowercase")]
pub enum SystemTrouble {
    /// Stored objects are damaged, or not counted as they are.
    Storage {
        /// The object, where it is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        locator: Option<Locator>,
        /// Who owns it.
        #[serde(
            skip_serializing_if = "Option::is_none",
            serialize_with = "checksummed_if_any"
        )]
        owner: Option<Address>,
        /// Damaged objects.
        damaged: u64,
        /// How many of them were mended.
        repaired: u64,
        /// Bytes that the store holds beyond what it counts.
        #[serde(skip_serializing_if = "Option::is_none")]
        drift: Option<i128>,
    },
    /// The log and the chain contradict each other.
    Compliance {
        /// How.
        error: String,
    },
}

/// Topics that the journal keeps, in the order of their names. The others pass and are
/// gone: what peers and clients without a key can bring about must not fill it.
pub const DURABLE_TOPICS: [&str; 21] = [
    "api_key.acted",
    "compliance.event",
    "contact.changed",
    "data.acknowledged",
    "data.erased",
    "data.expired",
    "data.fetched",
    "data.received",
    "data.revoked",
    "data.shared",
    "health.component_change",
    "person.acted",
    "person.signed_in",
    "person.signed_out",
    "share.anchored",
    "system.error",
    "system.node_started",
    "system.node_stopping",
    "token.added",
    "token.transfer_completed",
    "token.transfer_failed",
];

impl News {
    /// Whether it passes: the journal does not keep it.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::HealthUpdate(_)
                | Self::TokenBalanceUpdate { .. }
                | Self::DataVerified { .. }
                | Self::PeerConnected { .. }
                | Self::PeerDisconnected { .. }
                | Self::PeerHealth(_)
                | Self::NetworkStatsUpdate(_)
                | Self::WrongApiKeys { .. }
        )
    }

    /// Its topic, such as `data.shared`, and its data as JSON.
    pub fn parts(&self) -> (String, Value) {
        // Names, numbers and hashes always have a JSON form.
        let mut json = serde_json::to_value(self).unwrap_or_default();
        let topic = json["type"].as_str().unwrap_or_default().to_owned();
        (topic, json["data"].take())
    }

    /// The data that it is about, where it is about data.
    pub fn subject(&self) -> Option<DataHash> {
        match self {
            Self::DataShared { data_hash, .. }
            | Self::ShareAnchored { data_hash, .. }
            | Self::DataRevoked { data_hash, .. }
            | Self::DataErased { data_hash }
            | Self::DataExpired { data_hash }
            | Self::DataReceived { data_hash, .. }
            | Self::DataFetched { data_hash, .. }
            | Self::DataAcknowledged { data_hash, .. }
            | Self::DataVerified { data_hash, .. } => Some(*data_hash),
            Self::ComplianceEvent { data_hash, .. } => *data_hash,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;

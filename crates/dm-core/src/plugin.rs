//! Plugins: what they are asked, what they answer, and how they are doing.

use std::{collections::BTreeMap, fmt, time::Duration};

use alloy_primitives::{Address, U256};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    bus::NodeEvent,
    descriptor::Description,
    hash::DataHash,
    journal::{Cursor, JournalEvent, JournalId},
};

/// Longest note or reason that is kept of a verdict, in bytes.
pub const MAX_NOTE: usize = 1024;
/// Bytes that each piece of data repeats of the one before it, so that a
/// pattern of up to this length lies in one piece as a whole.
pub const PIECE_OVERLAP: usize = 1024;
/// Longest name of a plugin, in bytes.
pub const MAX_NAME: usize = 64;

/// What a plugin can be called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// What has happened in the node.
    Events,
    /// A share, before it happens.
    Share,
    /// The data of a share, before it is stored.
    Content,
    /// A retrieval, before it happens.
    Retrieval,
    /// Data of others, before it is listed and before it is fetched.
    Receive,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Events => "events",
            Self::Share => "share",
            Self::Content => "content",
            Self::Retrieval => "retrieval",
            Self::Receive => "receive",
        })
    }
}

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginInfo {
    /// Its name: `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// Its version, in its own words.
    pub version: String,
    /// What it wants to be called for.
    pub hooks: Vec<Hook>,
    /// How long each call may take, its start included.
    pub call_limit: Duration,
    /// Calls that it takes at the same time; further ones wait.
    pub parallel_calls: usize,
    /// Bytes of keys and values that it may keep.
    pub store_limit: u64,
}

impl PluginInfo {
    /// A plugin with the limits that suit most: a second for each call, 64
    /// calls at the same time, and 16 MiB of its own data.
    pub fn new(name: impl Into<String>, version: impl Into<String>, hooks: &[Hook]) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            hooks: hooks.to_vec(),
            call_limit: Duration::from_secs(1),
            parallel_calls: 64,
            store_limit: 16 << 20,
        }
    }
}

/// Whether a text can be the name of a plugin.
pub fn is_plugin_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// A share that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareView {
    /// What is to be shared.
    pub data_hash: DataHash,
    /// With whom.
    pub recipient: Address,
    /// Bytes of the data.
    pub size: u64,
    /// Token and amount that the recipient pays, if anything.
    pub price: Option<(Address, U256)>,
}

/// A retrieval that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrievalView {
    /// What is to be read.
    pub data_hash: DataHash,
    /// Who shared it.
    pub owner: Address,
    /// Bytes of the data.
    pub size: u64,
}

/// Something that has happened, as plugins hear of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginEvent {
    /// Where it stands in the journal; an event that comes again has the same place. `None`
    /// for one that the journal does not keep, and that does not come again.
    pub place: Option<Cursor>,
    /// What happened, such as `data.shared`.
    pub topic: String,
    /// What belongs to it; see [`News`](crate::news::News).
    pub data: Value,
    /// When it happened, in milliseconds since the Unix epoch.
    pub at: u64,
}

impl PluginEvent {
    /// An event of the journal.
    pub fn of_journal(journal: JournalId, event: JournalEvent) -> Self {
        Self {
            place: Some(Cursor {
                journal,
                position: event.position,
            }),
            topic: event.topic,
            data: event.data,
            at: event.at,
        }
    }

    /// An event that passes.
    pub fn passing(event: &NodeEvent) -> Self {
        let (topic, data) = event.parts();
        Self {
            place: None,
            topic,
            data,
            at: (event.timestamp * 1000.0).round() as u64,
        }
    }
}

/// What is about to happen with data that somebody else has shared with this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiveStage {
    /// The inbox lists it, or shows what its sender says of it now.
    Listing,
    /// It is read here for the first time.
    Fetch,
}

/// Data that somebody else has shared with this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedView {
    /// The data.
    pub data_hash: DataHash,
    /// Who shared it.
    pub owner: Address,
    /// Bytes of the data.
    pub size: u64,
    /// Whether the share was found on the chain.
    pub anchored: bool,
    /// What its sender says of it.
    pub description: Description,
    /// What is about to happen.
    pub stage: ReceiveStage,
}

/// A part of data that somebody wants to share, or that was received. Parts come in order; each but
/// the first repeats the last [`PIECE_OVERLAP`] bytes before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Place of the first of the bytes in the data.
    pub offset: u64,
    /// Plaintext.
    pub bytes: Bytes,
}

/// What a plugin says to what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may happen.
    Allow,
    /// It does not happen.
    Refuse {
        /// Why; the client reads it. What is beyond [`MAX_NOTE`] is cut off.
        reason: String,
    },
    /// It may happen, with a note.
    Annotate {
        /// Stays with it. What is beyond [`MAX_NOTE`] is cut off.
        note: String,
    },
}

/// Notes of plugins, by the plugins' names.
pub type Notes = BTreeMap<String, String>;

/// Why a plugin did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PluginFault(pub String);

impl PluginFault {
    /// A fault with its description.
    pub fn new(description: impl fmt::Display) -> Self {
        Self(description.to_string())
    }
}

/// How a plugin is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// It is being loaded.
    Starting,
    /// It is called.
    Running,
    /// It has failed and is started again after a pause.
    Failed,
    /// An operator has switched it off.
    Disabled,
}

/// What an operator sees of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// Its version, once it was loaded.
    pub version: Option<String>,
    /// What it is called for, once it was loaded.
    pub hooks: Vec<Hook>,
    /// How it is doing.
    pub state: PluginState,
    /// Whether nothing happens without it.
    pub required: bool,
    /// How often it has failed since the node started.
    pub failures: u64,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// Events that it did not hear of since the node started: it was too slow, away for too
    /// long, or failed on them again and again.
    pub events_missed: u64,
}

/// A text without what is beyond `limit` bytes.
pub fn cut_to(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
    text
}

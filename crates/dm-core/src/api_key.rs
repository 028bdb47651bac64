//! API keys: who may call what.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

mod rights;
mod route_name;

pub use rights::Rights;
pub use route_name::{InvalidRouteName, RouteName};

/// What the bearer of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Share data.
    Share,
    /// Read data, receipts, history and the state of the network.
    Read,
    /// Everything, the management of keys included.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Share, Self::Read, Self::Admin];

    /// The name in requests and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no scope (share, read, admin)")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text.trim())
            .ok_or(UnknownScope)
    }
}

/// An API key as the catalog keeps it: without the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKeyRecord {
    /// Public part of the key.
    pub id: String,
    /// What the operator calls it.
    pub name: String,
    /// SHA-256 of the whole key. The key has 256 random bits, so that a slow
    /// password hash would add nothing.
    #[serde(skip)]
    pub secret_hash: [u8; 32],
    /// What it allows.
    #[serde(flatten)]
    pub rights: Arc<Rights>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// When it was revoked, in milliseconds since the Unix epoch.
    pub revoked_at: Option<u64>,
    /// What it was used for so far.
    #[serde(flatten)]
    pub usage: KeyUsage,
}

/// What a key was used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KeyUsage {
    /// Bytes of the bodies that passed for it, in both directions.
    pub bytes_used: u64,
    /// When it was last used, in milliseconds since the Unix epoch.
    pub last_used_at: Option<u64>,
}

/// Who a request comes from, once its key was recognised; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Id of the API key.
    pub key_id: Arc<str>,
    /// What it allows.
    pub rights: Arc<Rights>,
    /// When the key ends, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
}

//! API keys: who may call what.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

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
    pub scopes: BTreeSet<Scope>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// When it was revoked, in milliseconds since the Unix epoch.
    pub revoked_at: Option<u64>,
}

/// Who a request comes from, once its key was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Id of the API key.
    pub key_id: String,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
}

impl Principal {
    /// Whether the key's scopes contain `scope`; `admin` contains them all.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

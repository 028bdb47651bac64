//! API keys: who may call what.

use std::sync::Arc;

use serde::Serialize;

use crate::{named_enum::named_enum, person::Person};

mod rights;
mod route_name;

pub use rights::Rights;
pub use route_name::{InvalidRouteName, RouteName};

named_enum! {
    /// What the bearer of a key may do.
    pub enum Scope {
        /// Share data.
        Share = "share",
        /// Read data, receipts, history and the state of the network.
        Read = "read",
        /// Everything, the management of keys included.
        Admin = "admin",
    }

    /// The text names no scope; completes "`<field>` …".
    pub struct UnknownScope("is no scope");
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

/// Who a request comes from, once its key or token was recognised; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Id of the API key; for a person [`Principal::PERSON`] and the id that the identity
    /// provider gives them.
    pub key_id: Arc<str>,
    /// What people call the key, or the person.
    pub name: Arc<str>,
    /// What it allows.
    pub rights: Arc<Rights>,
    /// When the key ends, or the person's token, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// Who it is, where it is a person who has no API key.
    pub person: Option<Arc<Person>>,
}

impl Principal {
    /// Begins the id of a person; no API key has such an id.
    pub const PERSON: &str = "person:";

    /// A person with these rights.
    pub fn of_person(person: Person, rights: Arc<Rights>, expires_at: Option<u64>) -> Self {
        Self {
            key_id: format!("{}{}", Self::PERSON, person.subject).into(),
            name: person.name.as_str().into(),
            rights,
            expires_at,
            person: Some(Arc::new(person)),
        }
    }
}

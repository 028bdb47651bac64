//! What can be set about the inbox.

use serde::Deserialize;

/// Whose shares are listed in the inbox. Contacts always are, and who is blocked never is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// Those of contacts.
    Contacts,
    /// Also those of strangers, once they are anchored: each has then cost its sender gas.
    #[default]
    Anchored,
    /// All.
    Anyone,
}

/// When owners are told that their data was read and checked here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledge {
    /// When it is fetched.
    #[default]
    OnFetch,
    /// When a client asks for it.
    OnRequest,
    /// Never.
    Never,
}

/// What the inbox lets in, and what becomes of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboxConfig {
    /// Whose shares are listed.
    pub accept: Accept,
    /// When what was fetched is acknowledged.
    pub acknowledge: Acknowledge,
}

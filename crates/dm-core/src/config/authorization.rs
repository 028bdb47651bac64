//! What can be set about authorised users.

use serde::Deserialize;

/// Who may order shares.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthorizationConfig {
    /// Whether data is shared, and access granted, only where an authorised user
    /// has signed for it.
    pub required: bool,
}

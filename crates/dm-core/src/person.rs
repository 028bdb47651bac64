//! People who sign in with the account that their company gives them.

use serde::Serialize;

/// A person, as the identity provider knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The provider's id of the person (`sub`): it never becomes another's.
    pub subject: String,
    /// What people call them; it may change, and two may have the same.
    pub name: String,
}

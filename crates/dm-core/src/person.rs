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

/// What a person has asked the node to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Act {
    /// Who.
    #[serde(flatten)]
    pub person: Person,
    /// Method of the request.
    pub method: String,
    /// Pattern of the route, such as `/api_keys/{id}`.
    pub route: String,
    /// What the request named in its path, without the query.
    pub path: String,
    /// HTTP status of the answer; `None` where the client went away before it.
    pub status: Option<u16>,
    /// The answer's `X-Request-Id`.
    pub request_id: String,
}

//! Node attestations: an authorised user's signed statement that a node is the one that
//! it says it is.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::user::{KeyKind, UserId};

/// Longest name of a node, in characters.
const MAX_NODE_ID: usize = 100;
/// Longest fingerprint of a key, in bytes: `sha256:` and 64 digits.
const MAX_KEY: usize = 71;
/// Longest text of a signature, in bytes.
const MAX_SIGNATURE: usize = 1368;

/// What a statement is about; separates it from all else that a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeDomain {
    /// That a node is what it says, in the first version of the format.
    #[serde(rename = "datamgmt/node/1")]
    V1,
}

/// That `user_id` knows the node of this name, account and peer id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeStatement {
    /// The node account, to which log, objects and address record belong. It stays the
    /// same when another operator account takes over.
    pub account: Address,
    /// The node's configured name.
    pub node_id: String,
    /// libp2p peer id in its text form.
    pub peer_id: String,
    /// What this is.
    pub statement: NodeDomain,
    /// Who says so.
    pub user_id: UserId,
}

impl NodeStatement {
    /// The text that is signed: canonical JSON
    /// ([RFC 8785](https://www.rfc-editor.org/rfc/rfc8785)).
    ///
    /// # Errors
    /// Only where memory runs out: every statement has a canonical form.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json_canonicalizer::to_string(self)
    }
}

/// The setting `node_signature`: who attests the node, and the signature, as
/// `USER_ID:SIGNATURE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSignature {
    /// Who attests the node.
    pub user_id: UserId,
    /// The signature over the [`NodeStatement`], as with a
    /// [`PresentedMandate`](crate::mandate::PresentedMandate).
    pub signature: String,
}

/// The text is no setting of this form; completes "`node_signature`: …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an authorised user, a colon, and the user's signature")]
pub struct InvalidNodeSignature;

impl std::str::FromStr for NodeSignature {
    type Err = InvalidNodeSignature;

    fn from_str(text: &str) -> Result<Self, InvalidNodeSignature> {
        let (user_id, signature) = text.trim().split_once(':').ok_or(InvalidNodeSignature)?;
        if signature.is_empty() || signature.len() > MAX_SIGNATURE {
            return Err(InvalidNodeSignature);
        }
        Ok(Self {
            user_id: user_id.parse().map_err(|_| InvalidNodeSignature)?,
            signature: signature.to_owned(),
        })
    }
}

/// A node attestation as an address record carries it: account and peer id of the
/// statement are those of the record. Only those who know the user's public key can
/// check the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAttestation {
    /// Who attests the node.
    pub user_id: UserId,
    /// The node's name.
    pub node_id: String,
    /// Fingerprint of the user's key.
    pub key: String,
    /// What kind of key it is.
    pub key_kind: KeyKind,
    /// The signature.
    pub signature: String,
}

impl NodeAttestation {
    /// What was signed, by the account and peer id of the record.
    pub fn statement(&self, account: Address, peer_id: &str) -> NodeStatement {
        NodeStatement {
            account,
            node_id: self.node_id.clone(),
            peer_id: peer_id.to_owned(),
            statement: NodeDomain::V1,
            user_id: self.user_id.clone(),
        }
    }

    /// Whether no part is longer than it can be.
    pub(crate) fn is_bounded(&self) -> bool {
        self.node_id.chars().count() <= MAX_NODE_ID
            && self.key.len() <= MAX_KEY
            && self.signature.len() <= MAX_SIGNATURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_statement_is_what_the_documentation_says() {
        let statement = NodeStatement {
            account: Address::repeat_byte(0xAB),
            node_id: "node-1".to_owned(),
            peer_id: "12D3KooW".to_owned(),
            statement: NodeDomain::V1,
            user_id: "alice".parse().unwrap(),
        };
        assert_eq!(
            statement.canonical().unwrap(),
            concat!(
                r#"{"account":"0xabababababababababababababababababababab","node_id":"node-1","#,
                r#""peer_id":"12D3KooW","statement":"datamgmt/node/1","user_id":"alice"}"#
            )
        );
    }

    #[test]
    fn the_setting_is_a_user_a_colon_and_a_signature() {
        let read: NodeSignature = " alice:c2lnbmF0dXJl\n".parse().unwrap();
        assert_eq!(
            (read.user_id.as_str(), read.signature.as_str()),
            ("alice", "c2lnbmF0dXJl")
        );
        for text in [
            "",
            "alice",
            "alice:",
            ":c2ln",
            "al ice:c2ln",
            &format!("alice:{}", "x".repeat(1369)),
        ] {
            assert_eq!(text.parse::<NodeSignature>(), Err(InvalidNodeSignature), "{text}");
        }
    }
}

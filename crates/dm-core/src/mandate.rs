//! Mandates: an authorised user's signed statement that some data is to be
//! shared with somebody.
//!
//! The statement is canonical JSON
//! ([RFC 8785](https://www.rfc-editor.org/rfc/rfc8785)): one text for one
//! content, so that what was signed can be shown to anybody. It names
//! everything that could be mistaken: the data, the recipient, the payment, the
//! node, its log, the chain, the user, and when it ends.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    hash::DataHash,
    payment::PaymentTerms,
    user::{KeyKind, UserId},
};

/// Longest text of a statement, in bytes.
const MAX_STATEMENT: usize = 2048;
/// Longest text of a signature, in bytes: base64 of what an RSA key of 8192 bits makes.
const MAX_SIGNATURE: usize = 1368;

/// What a statement is about; separates it from all else that a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareDomain {
    /// That data is to be shared, in the first version of the format.
    #[serde(rename = "datamgmt/share/1")]
    V1,
}

/// That `user_id` wants this node to share this data with this recipient.
/// Addresses are `0x` and 40 lower-case digits in the text, and fields stand in
/// the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareStatement {
    /// EIP-155 id of the node's chain.
    pub chain_id: u64,
    /// What is to be shared.
    pub data_hash: DataHash,
    /// When the statement ends, in milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// The account in whose log the share is to be recorded: names of nodes
    /// need not be unique, and this is.
    pub log: Address,
    /// The node's configured name.
    pub node_id: String,
    /// What the recipient shall pay; `null` for nothing.
    pub payment: Option<StatedPayment>,
    /// Who shall be able to read.
    pub recipient: Address,
    /// What this is.
    pub statement: ShareDomain,
    /// Who says so.
    pub user_id: UserId,
}

/// The payment that a statement asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedPayment {
    /// How much in the token's smallest unit, in decimal digits.
    pub amount: String,
    /// The token.
    pub token: Address,
}

impl From<&PaymentTerms> for StatedPayment {
    fn from(terms: &PaymentTerms) -> Self {
        Self {
            amount: terms.amount.to_string(),
            token: terms.token,
        }
    }
}

/// Why a text is no statement; completes "statement …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStatement {
    /// Longer than any statement is.
    #[error("must have at most {MAX_STATEMENT} bytes")]
    TooLong,
    /// No JSON, or not these fields.
    #[error("must be a datamgmt/share/1 statement: {0}")]
    Malformed(String),
    /// The content is that of a statement, and not its text.
    #[error("must be canonical JSON (RFC 8785), which is {0}")]
    NotCanonical(String),
}

impl ShareStatement {
    /// Reads a statement that came from anywhere.
    ///
    /// # Errors
    /// [`InvalidStatement`].
    pub fn parse(text: &str) -> Result<Self, InvalidStatement> {
        if text.len() > MAX_STATEMENT {
            return Err(InvalidStatement::TooLong);
        }
        let statement: Self =
            serde_json::from_str(text).map_err(|error| InvalidStatement::Malformed(error.to_string()))?;
        let canonical = statement
            .canonical()
            .map_err(|error| InvalidStatement::Malformed(error.to_string()))?;
        if canonical == text {
            Ok(statement)
        } else {
            Err(InvalidStatement::NotCanonical(canonical))
        }
    }

    /// The text that is signed.
    ///
    /// # Errors
    /// Only where memory runs out: every statement has a canonical form.
    pub fn canonical(&self) -> Result<String, serde_json::Error> {
        serde_json_canonicalizer::to_string(self)
    }
}

/// A statement and a signature as a client hands them over; nothing of it has
/// been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedMandate {
    /// Whose signature it is.
    pub user_id: String,
    /// The text that was signed.
    pub statement: String,
    /// Base64 of the signature; of an Ethereum account `0x` and 130 hexadecimal digits.
    pub signature: String,
}

impl PresentedMandate {
    /// Whether the signature is longer than any that a key makes.
    pub fn has_endless_signature(&self) -> bool {
        self.signature.len() > MAX_SIGNATURE
    }
}

/// Who ordered a share, and the proof of it, as it stands in the share's event:
/// whoever has the user's public key can check it without this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mandate {
    /// Name of the key: see
    /// [`AuthorizedUser::fingerprint`](crate::user::AuthorizedUser::fingerprint).
    pub key: String,
    /// What kind of key it is.
    pub key_kind: KeyKind,
    /// The signature: see [`PresentedMandate::signature`].
    pub signature: String,
    /// The text that was signed.
    pub statement: String,
    /// Who signed it.
    pub user_id: UserId,
}

impl Mandate {
    /// Names the statement, whatever signature it bears: SHA-256 of its text.
    pub fn digest(&self) -> B256 {
        <[u8; 32]>::from(Sha256::digest(&self.statement)).into()
    }
}

/// A mandate whose signature, user and node have been checked, by whoever made the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedMandate {
    mandate: Mandate,
    statement: ShareStatement,
}

impl VerifiedMandate {
    /// A mandate that the caller has checked.
    pub fn new(mandate: Mandate, statement: ShareStatement) -> Self {
        Self { mandate, statement }
    }

    /// What goes into the event.
    pub fn mandate(&self) -> &Mandate {
        &self.mandate
    }

    /// What was signed.
    pub fn statement(&self) -> &ShareStatement {
        &self.statement
    }
}

/// A mandate that is kept with its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMandate {
    /// Who ordered the share.
    pub mandate: Mandate,
    /// When its statement ends, in milliseconds since the Unix epoch.
    pub expires_at: u64,
}

impl From<&VerifiedMandate> for KeptMandate {
    fn from(verified: &VerifiedMandate) -> Self {
        Self {
            mandate: verified.mandate.clone(),
            expires_at: verified.statement.expires_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statement() -> ShareStatement {
        ShareStatement {
            chain_id: 31337,
            data_hash: DataHash::of(b"data"),
            expires_at: 1_800_000_000_000,
            log: Address::repeat_byte(0xAB),
            node_id: "näher \"1\"".to_owned(),
            payment: Some(StatedPayment {
                amount: "1000000000000000000000000000000".to_owned(),
                token: Address::repeat_byte(0xCD),
            }),
            recipient: Address::repeat_byte(0xEF),
            statement: ShareDomain::V1,
            user_id: "alice".parse().unwrap(),
        }
    }

    #[test]
    fn the_text_of_a_statement_is_what_the_documentation_says() {
        let text = statement().canonical().unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"chain_id":31337,"#,
                r#""data_hash":"3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7","#,
                r#""expires_at":1800000000000,"log":"0xabababababababababababababababababababab","#,
                r#""node_id":"näher \"1\"","payment":{"amount":"1000000000000000000000000000000","#,
                r#""token":"0xcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"},"#,
                r#""recipient":"0xefefefefefefefefefefefefefefefefefefefef","#,
                r#""statement":"datamgmt/share/1","user_id":"alice"}"#
            )
        );
        assert_eq!(ShareStatement::parse(&text), Ok(statement()));
    }

    #[test]
    fn a_free_share_says_so() {
        let free = ShareStatement {
            payment: None,
            ..statement()
        };
        let text = free.canonical().unwrap();
        assert!(text.contains(r#""payment":null"#), "{text}");
        assert_eq!(ShareStatement::parse(&text), Ok(free));
    }

    #[test]
    fn a_text_that_says_the_same_otherwise_is_refused_with_the_canonical_one() {
        let text = statement().canonical().unwrap();
        let without_payment = text.replace(
            r#""payment":{"amount":"1000000000000000000000000000000","token":"0xcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"},"#,
            "",
        );
        for other in [
            format!(" {text}"),
            text.replace(':', ": "),
            text.replace("0xabab", "0xABAB"),
            text.replace("31337", "31337.0"),
            text.replace("ä", "\\u00e4"),
            without_payment,
        ] {
            assert!(ShareStatement::parse(&other).is_err(), "{other}");
        }
        let spaced = text.replace(':', ": ");
        assert_eq!(
            ShareStatement::parse(&spaced),
            Err(InvalidStatement::NotCanonical(text))
        );
    }

    #[test]
    fn other_statements_further_fields_and_endless_texts_are_refused() {
        let text = statement().canonical().unwrap();
        for other in [
            text.replace("datamgmt/share/1", "datamgmt/share/2"),
            text.replace("datamgmt/share/1", "datamgmt/node/1"),
            text.replace(r#","user_id""#, r#","until":1,"user_id""#),
            text.replace(r#"{"chain_id":31337,"#, r#"{"chain_id":31337,"chain_id":31337,"#),
            text.replace("alice", "al ice"),
            text.replace("näher", &"n".repeat(MAX_STATEMENT)),
            "[".repeat(MAX_STATEMENT),
            String::new(),
        ] {
            assert!(ShareStatement::parse(&other).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_statement_is_read_back(
            chain_id in 0..(1_u64 << 53), expires_at in 0..(1_u64 << 53), node_id in "\\PC{1,100}",
            id in "[A-Za-z0-9_.-]{1,100}", amount in "[1-9][0-9]{0,30}", bytes: [u8; 20], paid: bool,
        ) {
            let stated = ShareStatement {
                chain_id,
                expires_at,
                node_id,
                recipient: bytes.into(),
                user_id: id.parse().unwrap(),
                payment: paid.then(|| StatedPayment { amount, token: bytes.into() }),
                ..statement()
            };
            let text = stated.canonical().unwrap();
            prop_assert_eq!(ShareStatement::parse(&text), Ok(stated));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
            let _ = ShareStatement::parse(&text);
        }

        #[test]
        fn a_changed_byte_is_another_statement_or_none(at in 0usize..400, byte in 0x20u8..0x7f) {
            let text = ShareStatement { node_id: "node".to_owned(), ..statement() }.canonical().unwrap();
            let mut changed = text.clone().into_bytes();
            let at = at % changed.len();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            if let Ok(read) = ShareStatement::parse(&changed) {
                prop_assert_eq!(read.canonical().unwrap(), changed);
            }
        }
    }
}

//! What can come back instead of an answer.

use alloy::{
    rpc::json_rpc::{ErrorPayload, RpcError},
    transports::{TransportError, TransportErrorKind},
};
use dm_core::ports::ChainError;

/// Longest text of a chain that is passed on, in characters.
const MAX_TEXT: usize = 300;
/// What is said of an answer that is none.
const NONSENSE: &str = "its answer makes no sense";

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum RpcFailure {
    /// None came, or none that makes sense.
    Unavailable(String),
    /// The chain is another one than before.
    WrongChain {
        /// Id of the right chain.
        expected: u64,
        /// Id of the one that answers.
        found: u64,
    },
    /// The chain understood the request and refused it.
    Refused(ErrorPayload),
}

impl RpcFailure {
    /// What a transport's error means.
    pub(super) fn from_transport(error: TransportError) -> Self {
        match error {
            RpcError::ErrorResp(payload) => Self::Refused(payload),
            other => Self::Unavailable(reason(&other)),
        }
    }

    /// An answer came that is none.
    pub(crate) fn nonsense() -> Self {
        Self::Unavailable(NONSENSE.to_owned())
    }
}

/// A transport's error in words.
pub(super) fn reason(error: &TransportError) -> String {
    match error {
        RpcError::DeserError { .. } | RpcError::NullResp => NONSENSE.to_owned(),
        other => shortened(&other.to_string()),
    }
}

/// For requests that a chain has no reason to refuse.
impl From<RpcFailure> for ChainError {
    fn from(failure: RpcFailure) -> Self {
        match failure {
            RpcFailure::Unavailable(reason) => Self::Unavailable(reason),
            RpcFailure::WrongChain { expected, found } => Self::WrongChain { expected, found },
            RpcFailure::Refused(payload) => Self::Unavailable(shortened(&payload.message)),
        }
    }
}

/// Whether the same request may well succeed a moment later.
pub(super) fn is_transient(error: &TransportError) -> bool {
    match error {
        RpcError::ErrorResp(payload) => payload.is_retry_err(),
        RpcError::Transport(TransportErrorKind::NonRetryable(_)) => false,
        RpcError::Transport(kind) => match kind.as_http_error() {
            Some(http) => http.status == 408 || http.status == 429 || http.status >= 500,
            None => true,
        },
        _ => false,
    }
}

/// The beginning of a text that came from outside.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

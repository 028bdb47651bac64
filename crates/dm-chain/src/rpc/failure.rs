//! What can come back instead of an answer.

use std::fmt::Write;

use alloy::rpc::json_rpc::ErrorPayload;
use dm_core::ports::ChainError;

use super::error_origin::Objection;
use crate::{reverts::in_words, text::shortened};

/// What is said of an answer that is none.
pub(super) const NONSENSE: &str = "its answer makes no sense";

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum RpcFailure {
    /// No endpoint gave one that makes sense.
    Unavailable(String),
    /// An endpoint answers, and does not serve the method to this client.
    NotServed(String),
    /// The chain is another one than before.
    WrongChain {
        /// Id of the right chain.
        expected: u64,
        /// Id of the one that answers.
        found: u64,
    },
    /// The EVM undid the call.
    Reverted(ErrorPayload),
    /// The chain understood the request and refused it.
    Refused(ErrorPayload),
}

impl RpcFailure {
    /// An answer came that is none.
    pub(crate) fn nonsense() -> Self {
        Self::Unavailable(NONSENSE.to_owned())
    }
}

impl From<RpcFailure> for ChainError {
    fn from(failure: RpcFailure) -> Self {
        match failure {
            RpcFailure::Unavailable(reason) | RpcFailure::NotServed(reason) => Self::Unavailable(reason),
            RpcFailure::WrongChain { expected, found } => Self::WrongChain { expected, found },
            RpcFailure::Reverted(payload) => Self::Reverted(in_words(&payload)),
            RpcFailure::Refused(payload) => Self::Refused(shortened(&payload.message)),
        }
    }
}

/// Why an endpoint did not answer. No text in it shows a secret of its URL.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No answer came, or one that makes no sense.
    Silent {
        /// What happened.
        reason: String,
        /// Whether the same request may well succeed a moment later.
        passes: bool,
    },
    /// It does not serve the request.
    Objected {
        /// Of which kind the reason is.
        objection: Objection,
        /// The reason.
        reason: String,
    },
    /// It is the end of another chain.
    WrongChain {
        /// Id of that chain.
        found: u64,
    },
    /// The EVM undid the call.
    Reverted(ErrorPayload),
    /// The chain has a reason against the request.
    Refused(ErrorPayload),
}

impl Trouble {
    /// No answer came in time.
    pub(super) fn timed_out() -> Self {
        Self::Silent {
            reason: "no answer in time".to_owned(),
            passes: true,
        }
    }

    /// Whether another endpoint would say the same.
    fn is_final(&self) -> bool {
        matches!(self, Self::Reverted(_) | Self::Refused(_))
    }

    fn passes(&self) -> bool {
        match self {
            Self::Silent { passes, .. } => *passes,
            Self::Objected { objection, .. } => objection.passes(),
            Self::WrongChain { .. } | Self::Reverted(_) | Self::Refused(_) => false,
        }
    }

    /// Whether the chain may be another one when the endpoint answers again.
    pub(super) fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Silent { .. }
                | Self::Objected {
                    objection: Objection::Internal,
                    ..
                }
        )
    }

    fn reason(&self) -> String {
        match self {
            Self::Silent { reason, .. } | Self::Objected { reason, .. } => reason.clone(),
            Self::WrongChain { found } => format!("it is an endpoint of chain {found}"),
            Self::Reverted(payload) | Self::Refused(payload) => shortened(&payload.message),
        }
    }
}

/// Why no endpoint answered, each with its name.
#[derive(Debug, Default)]
pub(super) struct Troubles(Vec<(String, Trouble)>);

impl Troubles {
    /// The whole took too long.
    pub(super) fn timed_out() -> Self {
        Self(vec![(String::new(), Trouble::timed_out())])
    }

    /// The next endpoint did not answer, either.
    pub(super) fn add(&mut self, name: &str, trouble: Trouble) {
        self.0.push((name.to_owned(), trouble));
    }

    /// Whether all further endpoints would say the same.
    pub(super) fn are_final(&self) -> bool {
        self.0.last().is_some_and(|(_, last)| last.is_final())
    }

    /// Whether the same request may well succeed a moment later.
    pub(super) fn pass(&self) -> bool {
        !self.are_final() && self.0.iter().any(|(_, trouble)| trouble.passes())
    }

    /// Whether none of the endpoints has answered at all.
    pub(super) fn are_an_outage(&self) -> bool {
        self.0.iter().all(|(_, trouble)| trouble.is_outage())
    }

    /// What they mean together on the chain with the id `expected`.
    pub(super) fn into_failure(mut self, expected: Option<u64>) -> RpcFailure {
        let other_chain = self
            .0
            .iter()
            .all(|(_, trouble)| matches!(trouble, Trouble::WrongChain { .. }));
        match self.0.pop() {
            Some((_, Trouble::Reverted(payload))) => return RpcFailure::Reverted(payload),
            Some((_, Trouble::Refused(payload))) => return RpcFailure::Refused(payload),
            Some((_, Trouble::WrongChain { found })) if other_chain => {
                return match expected {
                    Some(expected) => RpcFailure::WrongChain { expected, found },
                    None => RpcFailure::nonsense(),
                };
            }
            last => self.0.extend(last),
        }
        match self.0.iter().any(|(_, trouble)| is_not_served(trouble)) {
            true => RpcFailure::NotServed(self.in_words()),
            false => RpcFailure::Unavailable(self.in_words()),
        }
    }

    fn in_words(&self) -> String {
        match &*self.0 {
            [(_, only)] => only.reason(),
            several => several.iter().fold(String::new(), |mut words, (name, trouble)| {
                let separator = if words.is_empty() { "" } else { "; " };
                // Writing to a text does not fail.
                let _ = write!(words, "{separator}{name}: {}", trouble.reason());
                words
            }),
        }
    }
}

fn is_not_served(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::Objected { objection, .. } if !objection.passes())
}

//! What can go wrong when the node serves a client.

use alloy_primitives::{Address, B256, U256};

use dm_core::{
    descriptor::InvalidDescription,
    inbox::ItemState,
    operation::OperationId,
    ports::{
        CatalogError, ChainError, ComplianceError, FetchError, KeyRingError, NetworkError, PasswordError,
        SignerError, StoreError, TokenError,
    },
    token::NATIVE_TOKEN,
};

/// What an account lacks to pay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{account} {}, {needed} are needed", self.what_there_is())]
pub struct Shortfall {
    /// Who should pay.
    pub account: Address,
    /// In which token.
    pub token: Address,
    /// What is needed, in its smallest unit.
    pub needed: U256,
    /// What there is.
    pub balance: U256,
    /// What the account allows the operator account to take.
    pub allowance: U256,
}

impl Shortfall {
    fn what_there_is(&self) -> String {
        let Self {
            token,
            balance,
            allowance,
            ..
        } = self;
        if self.balance >= self.needed {
            format!("has {balance} of token {token} and allows {allowance} of it to be taken")
        } else {
            format!("has {balance} of token {token}")
        }
    }
}

/// What lies behind an error: an error of a port with its own source, or a sentence.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a service did not do what a client asked; each variant is something
/// that the client or the operator can act on.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A field of the request is not valid.
    #[error("{field} {reason}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// Completes the sentence "`<field>` …".
        reason: String,
    },
    /// A field is well formed, and the node or the chain does not accept it.
    #[error("{field} {reason}")]
    Rejected {
        /// Name of the field.
        field: &'static str,
        /// Completes the sentence "`<field>` …".
        reason: String,
    },
    /// The chain undid a transaction, or would.
    #[error("the transaction fails: {0}")]
    TransactionFailed(String),
    /// The chain does not take a transaction, or the account cannot sign it.
    #[error("the transaction was refused: {0}")]
    TransactionRefused(String),
    /// The endpoints belong to another chain than the node's: the operator must act.
    #[error("expected chain id {expected}, found {found}")]
    WrongChain {
        /// The node's chain.
        expected: u64,
        /// The one that is there now.
        found: u64,
    },
    /// The payment for a share is on its way; the request, repeated, goes on
    /// with it.
    #[error("the payment is not mined yet; repeat the request to go on with it, it is not charged again")]
    PaymentPending {
        /// Its transaction, once there is one.
        tx_hash: Option<B256>,
    },
    /// A share failed after it was paid for.
    #[error(
        "{cause}; payment {tx_hash} counts when the request is repeated within {refund_after_secs} s and is given back after that"
    )]
    PaidInVain {
        /// Why it failed.
        cause: Box<ServiceError>,
        /// The payment's transaction.
        tx_hash: B256,
        /// When the payment is given back, in seconds.
        refund_after_secs: u64,
    },
    /// There is no refund with this id.
    #[error("there is no refund {0}")]
    UnknownRefund(OperationId),
    /// That cannot be done with a refund as it is; completes "the refund …".
    #[error("the refund {0}")]
    RefundSettled(String),
    /// The idempotency key was used for another request.
    #[error("Idempotency-Key was already used for another request")]
    IdempotencyKeyReused,
    /// No authorised user has ordered it, as far as can be seen.
    #[error("{field} {reason}")]
    Unmandated {
        /// Name of the field.
        field: &'static str,
        /// Completes the sentence "`<field>` …".
        reason: String,
    },
    /// The authorised user's statement is for something else; completes
    /// "statement …".
    #[error("statement {0}")]
    MandateUnfit(String),
    /// Nobody has the data.
    #[error("Data not found")]
    NotFound,
    /// The data exists, and this node has no grant for it.
    #[error("this node has no access to the data")]
    NotGranted,
    /// A plugin does not let it happen.
    #[error("plugin {plugin} refuses this: {reason}")]
    Refused {
        /// Name of the plugin.
        plugin: String,
        /// Why, in the plugin's words.
        reason: String,
    },
    /// There is no plugin of this name.
    #[error("there is no plugin {0}")]
    UnknownPlugin(String),
    /// The configuration says that nothing happens without the plugin.
    #[error("plugin {0} is required by the configuration and cannot be switched off")]
    RequiredPlugin(String),
    /// There is no such version of the key-encryption key.
    #[error("there is no version {0} of the key-encryption key")]
    UnknownKey(u32),
    /// A version of the key-encryption key cannot be destroyed yet.
    #[error("version {version} of the key-encryption key is needed: {reason}")]
    KeyNeeded {
        /// Which version.
        version: u32,
        /// What needs it.
        reason: String,
    },
    /// The data was not read and checked here yet, so that it cannot be acknowledged.
    #[error("the data was not fetched yet; read it before you acknowledge it")]
    NotFetched,
    /// An item of the inbox can be read no more, so that it cannot be acknowledged.
    #[error("the item is {}, so that it cannot be acknowledged any more", .0.as_str())]
    ItemOver(ItemState),
    /// The operator wants nothing to be acknowledged.
    #[error("this node acknowledges nothing: inbox.acknowledge is \"never\"")]
    AcknowledgesNothing,
    /// The share is logged and not yet anchored, so that there is no receipt.
    #[error("it is not anchored yet; try again soon")]
    NotAnchored,
    /// Somebody cannot pay.
    #[error(transparent)]
    PaymentRequired(Box<Shortfall>),
    /// What a peer or the store delivered is not what was asked for.
    #[error("the data cannot be delivered intact: {0}")]
    Damaged(Cause),
    /// Disk full or quota reached.
    #[error("no space left to store data")]
    StorageFull,
    /// Too much to do just now.
    #[error("the node is overloaded; try again soon")]
    Overloaded,
    /// Something that the node needs is away or stopping.
    #[error(transparent)]
    Unavailable(Cause),
    /// The operator must act: the log has forked, a store is damaged.
    #[error(transparent)]
    Fault(Cause),
}

impl ServiceError {
    /// A field that is not valid, with a reason that completes "`<field>` …".
    pub fn invalid(field: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Invalid {
            field,
            reason: reason.to_string(),
        }
    }

    /// An order that no authorised user has signed, with a reason that completes
    /// "`<field>` …".
    pub fn unmandated(field: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Unmandated {
            field,
            reason: reason.to_string(),
        }
    }

    /// Whether another instance has taken over what was to be done.
    pub(crate) fn is_of_a_lost_turn(&self) -> bool {
        let Self::Unavailable(cause) = self else {
            return false;
        };
        matches!(cause.downcast_ref(), Some(CatalogError::TurnLost))
    }

    /// A field that is not accepted, with a reason that completes "`<field>` …".
    pub fn rejected(field: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Rejected {
            field,
            reason: reason.to_string(),
        }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::StorageFull,
            StoreError::Corrupt(_) | StoreError::Mismatch(_) => Self::Damaged(error.into()),
            // Something behind the node, which may come back.
            StoreError::Unavailable(_) | StoreError::Unsettled(_) | StoreError::Failed(_) => {
                Self::Unavailable(error.into())
            }
            StoreError::Missing | StoreError::Stale { .. } | StoreError::Conflict => {
                Self::Fault(error.into())
            }
        }
    }
}

impl From<CatalogError> for ServiceError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Full => Self::StorageFull,
            // Something behind the node, which may come back.
            CatalogError::Unavailable(_)
            | CatalogError::Unsettled(_)
            | CatalogError::NotLeading(_)
            | CatalogError::TurnLost
            | CatalogError::Failed(_) => Self::Unavailable(error.into()),
            CatalogError::Conflict(_) | CatalogError::Corrupt(_) => Self::Fault(error.into()),
        }
    }
}

impl From<ComplianceError> for ServiceError {
    fn from(error: ComplianceError) -> Self {
        match error {
            ComplianceError::Overloaded => Self::Overloaded,
            ComplianceError::Stopped => Self::Unavailable(error.into()),
            ComplianceError::Catalog(error) => error.into(),
            ComplianceError::Chain(error) => error.into(),
            ComplianceError::Forked(_) | ComplianceError::NoEvent(_) | ComplianceError::Corrupt(_) => {
                Self::Fault(error.into())
            }
        }
    }
}

impl From<ChainError> for ServiceError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::InsufficientFunds {
                account,
                balance,
                needed,
            } => Self::PaymentRequired(Box::new(Shortfall {
                account,
                token: NATIVE_TOKEN,
                needed,
                balance,
                allowance: U256::ZERO,
            })),
            ChainError::Reverted(reason) => Self::TransactionFailed(reason),
            ChainError::Refused(reason) => Self::TransactionRefused(reason),
            ChainError::WrongChain { expected, found } => Self::WrongChain { expected, found },
            ChainError::Unavailable(_) | ChainError::NotMined(_) | ChainError::Journal(_) => {
                Self::Unavailable(error.into())
            }
        }
    }
}

impl From<TokenError> for ServiceError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::NoContract(_) => Self::rejected("address", "has no contract"),
            TokenError::NotErc20 { reason, .. } => {
                Self::rejected("address", format!("is no ERC-20 token: {reason}"))
            }
            TokenError::Chain(error) => error.into(),
        }
    }
}

impl From<NetworkError> for ServiceError {
    fn from(error: NetworkError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<FetchError> for ServiceError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::NoHolder(_) => Self::Damaged(error.into()),
            FetchError::Stopped => Self::Unavailable(error.into()),
        }
    }
}

impl From<KeyRingError> for ServiceError {
    fn from(error: KeyRingError) -> Self {
        match error {
            // The disk of the key file; it may work again.
            KeyRingError::Failed(_) => Self::Unavailable(error.into()),
            other => Self::Fault(other.into()),
        }
    }
}

impl From<PasswordError> for ServiceError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Wrong => Self::invalid("old_password", error),
            PasswordError::Unusable => Self::invalid("new_password", error),
            PasswordError::Failed(_) => Self::Unavailable(error.into()),
        }
    }
}

impl From<InvalidDescription> for ServiceError {
    fn from(InvalidDescription { field, reason }: InvalidDescription) -> Self {
        Self::Invalid { field, reason }
    }
}

impl From<SignerError> for ServiceError {
    fn from(error: SignerError) -> Self {
        Self::Fault(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_what_lies_behind_it() {
        let disk = std::io::Error::other("the disk is gone");
        let error = ServiceError::from(StoreError::Failed(Box::new(disk)));
        let ServiceError::Unavailable(cause) = &error else {
            panic!("{error:?}");
        };
        assert!(cause.downcast_ref::<StoreError>().is_some());
        let mut chain = std::iter::successors(std::error::Error::source(&error), |error| error.source());
        assert!(chain.any(|error| error.to_string() == "the disk is gone"));
    }

    #[test]
    fn an_error_of_the_chain_keeps_its_kind() {
        let away = ChainError::Unavailable("no route".into());
        assert!(matches!(ServiceError::from(away), ServiceError::Unavailable(_)));
        let late = ChainError::NotMined(B256::ZERO);
        assert!(matches!(ServiceError::from(late), ServiceError::Unavailable(_)));
        let undone = ServiceError::from(ChainError::Reverted("paused".into()));
        assert!(matches!(undone, ServiceError::TransactionFailed(reason) if reason == "paused"));
        let refused = ServiceError::from(ChainError::Refused("too large".into()));
        assert!(matches!(refused, ServiceError::TransactionRefused(reason) if reason == "too large"));
        let wrong = ServiceError::from(ChainError::WrongChain {
            expected: 1,
            found: 5,
        });
        assert!(matches!(
            wrong,
            ServiceError::WrongChain {
                expected: 1,
                found: 5
            }
        ));
        let limited = TokenError::Chain(ChainError::Unavailable("limit exceeded".into()));
        assert!(matches!(
            ServiceError::from(limited),
            ServiceError::Unavailable(_)
        ));
    }
}

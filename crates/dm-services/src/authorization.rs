//! Decides whether an authorised user has ordered a share.

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    hash::DataHash,
    mandate::{Mandate, PresentedMandate, ShareStatement, StatedPayment, VerifiedMandate},
    ports::{Chain, UsedMandates},
    share::ShareTerms,
    user::UserId,
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::{Authorizer, AuthorizerError, ServiceError};

/// For how long a statement may be good: those that were used are remembered
/// until they end.
const LONGEST_VALIDITY: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// How long statements are remembered after their end, for clocks that are set back.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two looks whether the user of an order that is under way is still authorised.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Between two times at which ended statements are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// What the service works with.
#[derive(Clone)]
pub struct AuthorizationPorts {
    /// Knows the users.
    pub authorizer: Authorizer,
    /// Remembers used statements.
    pub used: Arc<dyn UsedMandates>,
    /// Says which chain this is.
    pub chain: Arc<dyn Chain>,
}

/// What an operator can set, and who the node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationConfig {
    /// Whether a share needs a user's signed statement.
    pub required: bool,
    /// The node's configured name.
    pub node_id: String,
    /// The account in whose log shares are recorded.
    pub log: Address,
}

/// What statements for this node say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementContext {
    /// Whether a share needs a statement.
    pub required: bool,
    /// The node's name.
    pub node_id: String,
    /// The account in whose log shares are recorded.
    pub log: Address,
    /// EIP-155 id of the chain.
    pub chain_id: u64,
}

/// Checks the signed statements that come with shares; cheap to clone.
#[derive(Clone)]
pub struct ShareAuthorization {
    inner: Arc<Inner>,
}

struct Inner {
    ports: AuthorizationPorts,
    config: AuthorizationConfig,
    /// Never changes: a node stays on its chain.
    chain_id: OnceCell<u64>,
}

impl ShareAuthorization {
    /// A service over these ports.
    pub fn new(ports: AuthorizationPorts, config: AuthorizationConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                ports,
                config,
                chain_id: OnceCell::new(),
            }),
        }
    }

    /// What a statement for this node has to say.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where the chain has not answered yet.
    pub async fn context(&self) -> Result<StatementContext, ServiceError> {
        let config = &self.inner.config;
        Ok(StatementContext {
            required: config.required,
            node_id: config.node_id.clone(),
            log: config.log,
            chain_id: self.chain_id().await?,
        })
    }

    async fn chain_id(&self) -> Result<u64, ServiceError> {
        let ask = || self.inner.ports.chain.chain_id();
        Ok(*self.inner.chain_id.get_or_try_init(ask).await?)
    }

    /// The terms together with the user's statement that orders them. All of it
    /// is checked but the data hash, which may not be known yet.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what is no statement or signature,
    /// [`ServiceError::Unmandated`] where no authorised user has signed it,
    /// [`ServiceError::MandateUnfit`] where it is for something else or has ended.
    pub async fn admit(
        &self,
        presented: Option<PresentedMandate>,
        terms: ShareTerms,
    ) -> Result<ShareTerms, ServiceError> {
        let Some(presented) = presented else {
            self.ensure_not_required()?;
            return Ok(terms);
        };
        let user: UserId = presented
            .user_id
            .parse()
            .map_err(|reason| ServiceError::invalid("user_id", reason))?;
        let statement = ShareStatement::parse(&presented.statement)
            .map_err(|reason| ServiceError::invalid("statement", reason))?;
        if presented.has_endless_signature() {
            return Err(ServiceError::invalid("signature", "is longer than any signature"));
        }
        self.ensure_meant(&statement, &user, &terms).await?;
        let key = self
            .inner
            .ports
            .authorizer
            .verify(&user, &presented.statement, &presented.signature)
            .await?;
        let mandate = Mandate {
            key: key.fingerprint,
            key_kind: key.kind,
            signature: presented.signature,
            statement: presented.statement,
            user_id: user,
        };
        Ok(ShareTerms {
            mandate: Some(Box::new(VerifiedMandate::new(mandate, statement))),
            ..terms
        })
    }

    fn ensure_not_required(&self) -> Result<(), ServiceError> {
        if self.inner.config.required {
            return Err(ServiceError::unmandated(
                "user_id",
                "is required, with a signed statement: this node shares only what an authorised user orders",
            ));
        }
        Ok(())
    }

    /// A statement is good for one user, node, chain, time and share.
    async fn ensure_meant(
        &self,
        statement: &ShareStatement,
        user: &UserId,
        terms: &ShareTerms,
    ) -> Result<(), ServiceError> {
        let config = &self.inner.config;
        ensure_same("user", &statement.user_id, user)?;
        ensure_same("node", &statement.node_id, &config.node_id)?;
        ensure_same("the log of", &statement.log, &config.log)?;
        ensure_same("chain", &statement.chain_id, &self.chain_id().await?)?;
        ensure_current(statement.expires_at, now_ms())?;
        ensure_same("recipient", &statement.recipient, &terms.recipient)?;
        let payment = terms.payment.as_ref().map(StatedPayment::from);
        ensure_same(
            "the payment of",
            &described(statement.payment.as_ref()),
            &described(payment.as_ref()),
        )
    }

    /// Whether the statement is for this data, if there has to be one.
    pub(super) fn ensure_for(
        &self,
        data_hash: &DataHash,
        mandate: Option<&VerifiedMandate>,
    ) -> Result<(), ServiceError> {
        match mandate {
            Some(mandate) => ensure_same("data", &mandate.statement().data_hash, data_hash),
            None => self.ensure_not_required(),
        }
    }

    /// Whether a new share may be made on the statement: once, and only while
    /// its user is authorised. Callers hold the turn of the data hash.
    pub(super) async fn ensure_unused(&self, mandate: &VerifiedMandate) -> Result<(), ServiceError> {
        let ports = &self.inner.ports;
        let signed = mandate.mandate();
        if ports.used.is_mandate_used(signed.digest()).await? {
            return Err(ServiceError::MandateUnfit(
                "was used already, for a share that has ended; a new one must be signed".to_owned(),
            ));
        }
        if ports
            .authorizer
            .is_authorized(&signed.user_id, &signed.key)
            .await?
        {
            return Ok(());
        }
        Err(AuthorizerError::UnknownUser(signed.user_id.clone()).into())
    }

    /// Comes to its end, with the reason, once the user who has signed for these terms is
    /// known to be authorised no more: what is under way for it ends within a second.
    pub async fn lost(&self, terms: &ShareTerms) -> ServiceError {
        let Some(mandate) = &terms.mandate else {
            return std::future::pending().await;
        };
        let signed = mandate.mandate();
        let authorizer = &self.inner.ports.authorizer;
        loop {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            let is_authorized = authorizer.is_authorized(&signed.user_id, &signed.key);
            // A catalog that does not answer says nothing about the user.
            if matches!(is_authorized.await, Ok(false)) {
                return AuthorizerError::UnknownUser(signed.user_id.clone()).into();
            }
        }
    }

    /// Forgets statements that have ended, until `shutdown`.
    ///
    /// # Errors
    /// Faults of the catalog; whoever supervises it starts it again.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let forgetting = async {
            loop {
                let ended = now_ms().saturating_sub(REMEMBERED.as_millis() as u64);
                self.inner.ports.used.forget_mandates(ended).await?;
                tokio::time::sleep(FORGET_INTERVAL).await;
            }
        };
        shutdown.run_until_cancelled(forgetting).await.unwrap_or(Ok(()))
    }
}

fn ensure_same<T: PartialEq + std::fmt::Display>(
    what: &str,
    stated: &T,
    expected: &T,
) -> Result<(), ServiceError> {
    if stated == expected {
        return Ok(());
    }
    Err(ServiceError::MandateUnfit(format!(
        "is for {what} {stated}, not {expected}"
    )))
}

fn ensure_current(expires_at: u64, now: u64) -> Result<(), ServiceError> {
    if expires_at <= now {
        return Err(ServiceError::MandateUnfit(format!(
            "has ended: expires_at is {expires_at}, and it is {now}"
        )));
    }
    if expires_at - now > LONGEST_VALIDITY.as_millis() as u64 {
        return Err(ServiceError::MandateUnfit(format!(
            "is good for too long: expires_at is {expires_at}, more than 366 days away"
        )));
    }
    Ok(())
}

fn described(payment: Option<&StatedPayment>) -> String {
    match payment {
        None => "nothing".to_owned(),
        Some(payment) => format!("{} of token {}", payment.amount, payment.token),
    }
}

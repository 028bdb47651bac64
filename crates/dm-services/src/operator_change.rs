//! Another operator account takes over, and nothing that was begun is lost.
//!
//! The node account stays what its log, its objects and its grants are
//! named after. What changes is who anchors, pays and is paid: the controller of
//! the log on the chain, to which the account before hands it over.

use std::{convert::Infallible, sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    ports::{
        BegunKeyChange, ChainError, ComplianceError, ComplianceLog, KeyChange, KeyChangeDetails, KeyChanges,
        OperatorHandover, OperatorKeyError, OperatorKeys, Signer,
    },
    secret::SecretString,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    OrderExecutor,
    key_journal::{KeyJournal, details},
};

/// Pause between two looks for a change that was interrupted, or that another instance has begun
/// or finished.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a request waits for the leader to finish a change.
const PATIENCE: Duration = Duration::from_secs(120);

/// What events call the operator account.
const OPERATOR_ACCOUNT: &str = "operator_account";

/// What the change of the operator account needs.
#[derive(Clone)]
pub struct OperatorChangePorts {
    /// Where the log is handed over.
    pub chain: Arc<dyn OperatorHandover>,
    /// Where the keys are.
    pub keys: Arc<dyn OperatorKeys>,
    /// Remembers that it was begun.
    pub changes: Arc<dyn KeyChanges>,
    /// Takes note of the change.
    pub log: Arc<dyn ComplianceLog>,
}

/// Changes the operator account of the running node.
#[derive(Clone)]
pub struct OperatorChange {
    ports: OperatorChangePorts,
    journal: KeyJournal,
    executor: OrderExecutor,
    /// Held by the one change at a time.
    turn: Arc<Mutex<()>>,
}

/// Why the operator account is what it was, or not changed yet.
#[derive(Debug, thiserror::Error)]
pub enum OperatorChangeError {
    /// The key cannot be used, with a reason that completes "`private_key` …".
    #[error("private_key {0}")]
    Key(#[from] OperatorKeyError),
    /// The chain refuses, or did not answer. A handover that was begun goes on
    /// by itself.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The change could not be recorded.
    #[error(transparent)]
    Log(#[from] ComplianceError),
}

impl OperatorChange {
    /// The change of the account whose orders this executor has.
    pub fn new(ports: OperatorChangePorts, executor: OrderExecutor) -> Self {
        let journal = KeyJournal::new(ports.changes.clone(), ports.log.clone());
        Self {
            ports,
            journal,
            executor,
            turn: Arc::default(),
        }
    }

    /// Fails where the text is no private key.
    ///
    /// # Errors
    /// [`OperatorChangeError::Key`].
    pub fn check_key(&self, private_key: &SecretString) -> Result<(), OperatorChangeError> {
        self.ports.keys.account_of(private_key)?;
        Ok(())
    }

    /// Makes the account of this private key the operator account: durably, with an
    /// event of the log, and on the chain. Orders that were accepted before are begun
    /// by the account before. Returns when the handover is mined.
    ///
    /// # Errors
    /// [`OperatorChangeError`]. Where the chain fails after the checks, the change goes
    /// on in the background, through restarts too.
    pub async fn change_to(&self, private_key: &SecretString) -> Result<Address, OperatorChangeError> {
        let _turn = self.turn.lock().await;
        let account = self.ports.keys.account_of(private_key)?;
        if account == self.ports.chain.operator() {
            return Ok(account);
        }
        if self.ports.keys.successor().is_none() {
            self.ports.chain.check_successor(account).await?;
        }
        let (keys, private_key) = (self.ports.keys.clone(), private_key.clone());
        let successor = blocking(move || keys.keep_successor(&private_key)).await?;
        match self.executor.must_ask() {
            true => self.until_operator_is(account).await?,
            false => self.finish(successor).await?,
        }
        Ok(account)
    }

    /// Waits for the leader, which finds the successor with the keys, and finishes the change.
    async fn until_operator_is(&self, account: Address) -> Result<(), ChainError> {
        let changed = async {
            while self.ports.chain.operator() != account {
                tokio::time::sleep(LOOK_AGAIN_AFTER / 4).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, changed).await;
        waited.map_err(|_| ChainError::Unavailable("the leader has not handed the log over yet".to_owned()))
    }

    /// Acts as the operator account that the keys have, which another instance may have changed,
    /// until `shutdown`: for a node that may have several instances.
    ///
    /// # Errors
    /// Never.
    pub async fn follow(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let (keys, chain) = (&self.ports.keys, &self.ports.chain);
        let following = async {
            loop {
                // Whoever finishes a change acts as the successor before the keys say so. So this
                // is looked at first.
                if keys.successor().is_none() {
                    let operator = keys.operator();
                    if operator.address() != chain.operator() {
                        tracing::info!(account = %operator.address(), "another account is the operator account");
                        chain.act_as(operator);
                    }
                }
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
        };
        shutdown.run_until_cancelled(following).await;
        Ok(())
    }

    /// Finishes changes that were interrupted, until `shutdown`; an error ends it, and
    /// whoever supervises it starts it again.
    ///
    /// # Errors
    /// [`OperatorChangeError`]: the log is not handed over yet.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), OperatorChangeError> {
        let finishing = async {
            if let Err(error) = self.executor.read_anew().await {
                tracing::warn!(%error, "what another instance has begun is not known");
            }
            loop {
                self.finish_interrupted().await?;
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
        };
        shutdown.run_until_cancelled(finishing).await.unwrap_or(Ok(()))
    }

    async fn finish_interrupted(&self) -> Result<(), OperatorChangeError> {
        let _turn = self.turn.lock().await;
        match self.ports.keys.successor() {
            Some(successor) => self.finish(successor).await,
            None => Ok(()),
        }
    }

    /// Every step but the last may be the last before a crash; each can be repeated.
    async fn finish(&self, successor: Arc<dyn Signer>) -> Result<(), OperatorChangeError> {
        let to = successor.address();
        let begun = self.begun_change(to).await?;
        if let Err(error) = self.executor.look_after_all().await {
            tracing::warn!(%error, "orders wait while the operator account changes");
        }
        self.ports.chain.hand_over(successor).await?;
        if let Some(begun) = begun {
            self.journal
                .settle(&begun, operator_changed(&begun.change))
                .await?;
        }
        let keys = self.ports.keys.clone();
        blocking(move || keys.confirm_successor()).await?;
        tracing::info!(%to, "another account is the operator account");
        Ok(())
    }

    /// The change to this account as it was begun, also before a stop; `None` where its
    /// event is in the log. Once the log is handed over, the chain no longer says who had
    /// it before.
    async fn begun_change(&self, to: Address) -> Result<Option<BegunKeyChange>, OperatorChangeError> {
        let is_to =
            |change: &KeyChange| matches!(change, KeyChange::Operator { to: other, .. } if *other == to);
        let begun = self.journal.begun().await?;
        if let Some(begun) = begun.into_iter().find(|begun| is_to(&begun.change)) {
            return Ok(Some(begun));
        }
        let newest = self.journal.newest_of(OPERATOR_ACCOUNT).await?;
        let recorded: Option<Address> = newest.and_then(|details| details.get("to")?.parse().ok());
        if recorded == Some(to) {
            // A stop came between the settling and the confirming of the keys.
            return Ok(None);
        }
        let mut from = self.ports.chain.operator();
        if from == to {
            // Handed over, and begun by a version that did not remember it.
            from = recorded.unwrap_or_else(|| self.ports.log.log_address());
            if from == to {
                return Ok(None);
            }
        }
        Ok(Some(self.journal.begin(KeyChange::Operator { from, to }).await?))
    }
}

/// What the event of a change of the operator account says.
fn operator_changed(change: &KeyChange) -> Option<KeyChangeDetails> {
    let KeyChange::Operator { from, to } = change else {
        return None;
    };
    let more = [("from", from.to_string()), ("to", to.to_string())];
    Some(details(OPERATOR_ACCOUNT, more))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OperatorKeyError> + Send + 'static,
) -> Result<T, OperatorKeyError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(OperatorKeyError::Failed("the write was cut off".to_owned())))
}

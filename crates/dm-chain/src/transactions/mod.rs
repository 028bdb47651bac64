//! Transactions of one account, in one queue with its own nonces.
//!
//! [`Transactions`] is the handle. Behind it [`account`] is the task that does what
//! [`queue`] decides, by means of [`perform`]. [`journal`] keeps operations through
//! restarts, [`simulation`] tries calls beforehand, [`price`] asks what gas costs,
//! [`receipt`] what was mined, and [`rejection`] reads what chains say when they do not
//! take a transaction.

mod account;
mod journal;
mod meter;
mod perform;
mod price;
mod queue;
mod receipt;
mod rejection;
mod simulation;

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256};
use dm_core::{
    operation::OperationId,
    ports::{ChainError, OperationState},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

pub use self::meter::TransactionReading;
pub(crate) use self::{
    account::AccountDeps,
    queue::{Obstacle, Report, Stuck},
    receipt::receipt,
    simulation::Simulator,
};
use self::{
    account::Command,
    perform::stopped,
    queue::{QueueConfig, Subject},
};
use crate::{config::ClientConfig, rpc::Node, tx::Draft, wire::TransactionReceipt};

/// Commands that may wait for the account's task before callers wait.
const QUEUE_LENGTH: usize = 4096;
/// How long the receipt of a transaction that the queue has forgotten is waited for.
const FORGOTTEN_PATIENCE: Duration = Duration::from_secs(10);
/// Shortest pause between two looks for a transaction.
const FIRST_POLL: Duration = Duration::from_millis(2);

/// Makes transactions of one account; cheap to clone.
#[derive(Clone)]
pub(crate) struct Transactions {
    node: Arc<Node>,
    account: Address,
    commands: mpsc::Sender<Command>,
    poll_interval: Duration,
    mining_timeout: Duration,
    max_fee_per_gas: u128,
}

impl Transactions {
    /// Starts the account's task, which goes on with what the journal has kept;
    /// it ends when the last handle is gone. Must be called within a tokio runtime.
    pub(crate) fn start(config: &ClientConfig, deps: AccountDeps) -> Self {
        let (commands, inbox) = mpsc::channel(QUEUE_LENGTH);
        let (node, account) = (deps.node.clone(), deps.signer.address());
        let meter = deps.meter.clone();
        tokio::spawn(account::run(
            QueueConfig::new(account, config, meter),
            deps,
            inbox,
        ));
        Self {
            node,
            account,
            commands,
            poll_interval: config.poll_interval,
            mining_timeout: config.mining_timeout,
            max_fee_per_gas: config.max_fee_per_gas,
        }
    }

    /// The account.
    pub(crate) fn account(&self) -> Address {
        self.account
    }

    /// Tries calls of the account.
    pub(crate) fn simulator(&self) -> Simulator {
        Simulator::new(self.node.clone(), self.account)
    }

    /// Fails where the account could not pay for this now.
    ///
    /// # Errors
    /// [`ChainError::InsufficientFunds`], and [`ChainError::Refused`] where gas
    /// costs more than the ceiling.
    pub(crate) async fn check_funds(&self, draft: &Draft) -> Result<(), ChainError> {
        self.simulator().check_funds(draft, self.max_fee_per_gas).await
    }

    /// Sends a call and returns the transaction's hash, as soon as the chain
    /// has taken it. It may happen twice.
    pub(crate) async fn send(&self, draft: Draft) -> Result<B256, ChainError> {
        self.command(|answer| Command::Begin {
            id: None,
            draft,
            answer,
        })
        .await
    }

    /// Begins an operation: once, however often it is called.
    pub(crate) async fn begin(&self, id: OperationId, draft: Draft) -> Result<B256, ChainError> {
        self.command(|answer| Command::Begin {
            id: Some(id),
            draft,
            answer,
        })
        .await
    }

    /// The newest hash of an operation that was begun.
    pub(crate) async fn find(&self, id: OperationId) -> Result<Option<B256>, ChainError> {
        self.command(|answer| Command::Find { id, answer }).await
    }

    /// How far an operation is: now, or where there is a patience, once it is
    /// mined or the patience is over.
    pub(crate) async fn state(
        &self,
        id: OperationId,
        patience: Option<Duration>,
    ) -> Result<Option<OperationState>, ChainError> {
        self.ask(Subject::Operation(id), patience).await
    }

    /// Forgets an operation that is final.
    pub(crate) async fn conclude(&self, id: OperationId) -> Result<(), ChainError> {
        self.command(|answer| Command::Conclude { id, answer }).await
    }

    /// Reads the journal again before whatever is asked after this.
    pub(crate) async fn read_anew(&self) -> Result<(), ChainError> {
        self.command(|answer| Command::ReadAnew { answer }).await
    }

    /// How the account's transactions get on.
    ///
    /// # Errors
    /// Where the chain or the journal could not be reached since the start.
    pub(crate) async fn report(&self) -> Result<Report, ChainError> {
        self.command(|answer| Command::Report { answer }).await
    }

    /// Waits until a transaction that was sent is mined, or one in its place.
    ///
    /// # Errors
    /// [`ChainError::NotMined`] after the configured time, and soon where the queue
    /// has given it up.
    pub(crate) async fn wait(&self, hash: B256) -> Result<TransactionReceipt, ChainError> {
        let deadline = Instant::now() + self.mining_timeout;
        let state = self.ask(Subject::Hash(hash), Some(self.mining_timeout)).await?;
        let (hash, deadline) = match state {
            Some(OperationState::Mined(mined)) => (mined.tx_hash, deadline),
            Some(_) => (hash, deadline),
            // It is final, or the queue has given it up.
            None => (hash, deadline.min(Instant::now() + FORGOTTEN_PATIENCE)),
        };
        let mut pause = FIRST_POLL;
        loop {
            if let Some(receipt) = receipt(&self.node, hash).await? {
                return Ok(receipt);
            }
            if Instant::now() >= deadline {
                return Err(ChainError::NotMined(hash));
            }
            sleep(pause).await;
            pause = (pause * 2).min(self.poll_interval);
        }
    }

    async fn ask(
        &self,
        subject: Subject,
        patience: Option<Duration>,
    ) -> Result<Option<OperationState>, ChainError> {
        let until = patience.map(|patience| Instant::now() + patience);
        self.command(|answer| Command::Ask {
            subject,
            until,
            answer,
        })
        .await
    }

    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, ChainError>>) -> Command,
    ) -> Result<T, ChainError> {
        let (answer, receiver) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }
}

//! The task that does what an account's queue decides.

use std::{collections::HashMap, sync::Arc, time::Duration};

use alloy::primitives::B256;
use dm_core::{
    operation::OperationId,
    ports::{ChainError, KeyValueStore, OperationState, Signer},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    journal::Journal,
    meter::TransactionMeter,
    perform::Performer,
    queue::{Action, Answer, Event, Queue, QueueConfig, Report, Subject, Ticket},
    simulation::Simulator,
};
use crate::{
    backend::EvmBackend,
    rpc::Node,
    tx::{Call, Draft},
};

/// Longest pause between two attempts to find the chain at the start.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Far enough away never to come.
const NEVER: Duration = Duration::from_secs(86_400 * 365);
/// The ticket of orders that nobody waits for.
const NOBODY: Ticket = 0;

/// What the task is asked to do.
pub(super) enum Command {
    /// Make a transaction.
    Begin {
        id: Option<OperationId>,
        draft: Draft,
        answer: oneshot::Sender<Result<B256, ChainError>>,
    },
    /// Say the hash of an operation that was begun.
    Find {
        id: OperationId,
        answer: oneshot::Sender<Result<Option<B256>, ChainError>>,
    },
    /// Say how far a transaction is.
    Ask {
        subject: Subject,
        until: Option<Instant>,
        answer: oneshot::Sender<Result<Option<OperationState>, ChainError>>,
    },
    /// Forget an operation that is final.
    Conclude {
        id: OperationId,
        answer: oneshot::Sender<Result<(), ChainError>>,
    },
    /// Read the journal again, which another instance may have changed.
    ReadAnew {
        answer: oneshot::Sender<Result<(), ChainError>>,
    },
    /// Say how the transactions get on.
    Report {
        answer: oneshot::Sender<Result<Report, ChainError>>,
    },
}

/// What the task works with.
#[derive(Clone)]
pub(crate) struct AccountDeps {
    /// The chain.
    pub(crate) node: Arc<Node>,
    /// Signs and decodes.
    pub(crate) backend: &'static dyn EvmBackend,
    /// Whose transactions they are.
    pub(crate) signer: Arc<dyn Signer>,
    /// Keeps what was begun.
    pub(crate) journal: Arc<dyn KeyValueStore>,
    /// Counts what comes of them.
    pub(crate) meter: Arc<TransactionMeter>,
}

/// Carries out commands until all who could give some are gone.
pub(super) async fn run(config: QueueConfig, deps: AccountDeps, mut commands: mpsc::Receiver<Command>) {
    let mut held = Vec::new();
    while let Some(mut account) = open(&config, &deps, held, &mut commands).await {
        match account.run(&mut commands).await {
            End::NobodyAsks => return,
            End::ReadAnew => {}
            End::Outdated => {
                tracing::warn!("another instance has changed the journal of this account; it is read again");
            }
        }
        held = account.unanswered();
    }
}

/// Why an account is let go.
enum End {
    /// All who could give commands are gone.
    NobodyAsks,
    /// Its journal is not what it was loaded from.
    Outdated,
    /// Somebody wants it to be loaded again.
    ReadAnew,
}

/// Waits for the chain; who asks for something meanwhile hears why it is not there, and so do
/// those whose commands are held.
async fn open(
    config: &QueueConfig,
    deps: &AccountDeps,
    mut held: Vec<Command>,
    commands: &mut mpsc::Receiver<Command>,
) -> Option<Account> {
    let mut pause = config.poll_interval;
    loop {
        let error = match Account::load(config, deps).await {
            Ok(mut account) => {
                held.into_iter().for_each(|command| account.take(command));
                return Some(account);
            }
            Err(error) => error,
        };
        held.drain(..).for_each(|command| command.refuse(&error));
        tracing::debug!(%error, "the account's transactions wait for the chain");
        let until = Instant::now() + pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
        // The command that begins the next attempt is answered by it.
        let next = tokio::select! {
            command = commands.recv() => Some(command?),
            () = sleep_until(until) => None,
        };
        if let Some(command) = next {
            match Account::load(config, deps).await {
                Ok(mut account) => {
                    account.take(command);
                    return Some(account);
                }
                Err(error) => command.refuse(&error),
            }
        }
    }
}

/// An account whose chain is known.
struct Account {
    queue: Queue,
    performer: Performer,
    work: FuturesUnordered<BoxFuture<'static, Option<Event>>>,
    /// Commands that wait for an answer of the queue.
    waiting: HashMap<Ticket, Command>,
    next_ticket: Ticket,
}

impl Account {
    async fn load(config: &QueueConfig, deps: &AccountDeps) -> Result<Self, ChainError> {
        let AccountDeps {
            node,
            backend,
            signer,
            journal,
            meter,
        } = deps.clone();
        let chain_id = node.known_chain_id().await?;
        let journal = Journal::new(journal, chain_id, signer.address());
        let kept = journal.load().await?;
        Ok(Self {
            queue: Queue::restore(config, kept, Instant::now()),
            performer: Performer::new(node, backend, signer, chain_id, journal, meter),
            work: FuturesUnordered::new(),
            waiting: HashMap::new(),
            next_ticket: NOBODY + 1,
        })
    }

    async fn run(&mut self, commands: &mut mpsc::Receiver<Command>) -> End {
        self.tell(Event::Woken);
        while !self.performer.journal.is_outdated() {
            let wake_at = self.queue.wake_at().unwrap_or_else(|| Instant::now() + NEVER);
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::ReadAnew { answer }) => {
                        self.end_writing().await;
                        // Who asked may have gone.
                        let _ = answer.send(Ok(()));
                        return End::ReadAnew;
                    }
                    Some(command) => self.take(command),
                    None => {
                        self.finish_writing().await;
                        return End::NobodyAsks;
                    }
                },
                Some(event) = self.work.next(), if !self.work.is_empty() => {
                    if let Some(event) = event {
                        self.tell(event);
                    }
                }
                () = sleep_until(wake_at) => self.tell(Event::Woken),
            }
        }
        End::Outdated
    }

    /// Whoever opens the journal next must not meet a change that is under way.
    async fn finish_writing(&mut self) {
        while self.queue.is_writing() {
            match self.work.next().await {
                Some(Some(event @ Event::Written(_))) => {
                    self.queue.handle(event, Instant::now());
                    break;
                }
                Some(_) => {}
                None => break,
            }
        }
    }

    /// Whoever waits for a change that is under way learns what comes of it.
    async fn end_writing(&mut self) {
        while self.queue.is_writing() && !self.performer.journal.is_outdated() {
            match self.work.next().await {
                Some(Some(event)) => self.tell(event),
                Some(None) => {}
                None => return,
            }
        }
    }

    fn take(&mut self, command: Command) {
        let ticket = self.next_ticket;
        let event = match &command {
            Command::Begin { id, draft, .. } => Event::Ordered {
                ticket,
                id: *id,
                draft: draft.clone(),
            },
            Command::Ask { subject, until, .. } => Event::Asked {
                ticket,
                subject: *subject,
                until: *until,
            },
            Command::Conclude { id, .. } => Event::Concluded { ticket, id: *id },
            Command::Find { .. } | Command::Report { .. } | Command::ReadAnew { .. } => {
                return self.answer_at_once(command);
            }
        };
        self.next_ticket += 1;
        self.waiting.insert(ticket, command);
        self.tell(event);
    }

    fn answer_at_once(&self, command: Command) {
        match command {
            Command::Find { id, answer } => drop(answer.send(Ok(self.queue.begun(&id)))),
            Command::Report { answer } => drop(answer.send(Ok(self.queue.report(Instant::now())))),
            // It was loaded just now.
            Command::ReadAnew { answer } => drop(answer.send(Ok(()))),
            Command::Begin { .. } | Command::Ask { .. } | Command::Conclude { .. } => {}
        }
    }

    fn tell(&mut self, event: Event) {
        for action in self.queue.handle(event, Instant::now()) {
            match action {
                Action::Answer(ticket, answer) => self.answer(ticket, answer),
                Action::FillGap(nonces) => {
                    tracing::info!(nonces, "filling a gap between the transactions of this account");
                    for _ in 0..nonces {
                        self.work.push(self.filler().boxed());
                    }
                }
                action => self.work.push(self.performer.clone().perform(action).boxed()),
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        // Who asked may have gone; what was begun goes on.
        match (self.waiting.remove(&ticket), answer) {
            (Some(Command::Begin { answer, .. }), Answer::Begun(result)) => drop(answer.send(result)),
            (Some(Command::Ask { answer, .. }), Answer::State(state)) => drop(answer.send(Ok(state))),
            (Some(Command::Conclude { answer, .. }), Answer::Concluded) => drop(answer.send(Ok(()))),
            _ => {}
        }
    }

    /// The commands that have no answer, in their order. Nothing of those that begin something
    /// was written down, so that they can be given again.
    fn unanswered(self) -> Vec<Command> {
        let mut waiting: Vec<_> = self.waiting.into_iter().collect();
        waiting.sort_unstable_by_key(|(ticket, _)| *ticket);
        waiting.into_iter().map(|(_, command)| command).collect()
    }

    /// A transaction that does nothing, so that those behind it can be mined.
    fn filler(&self) -> impl Future<Output = Option<Event>> + Send + 'static {
        let account = self.performer.signer.address();
        let simulator = Simulator::new(self.performer.node.clone(), account);
        async move {
            let call = Call::nothing(account);
            let gas_limit = simulator.gas(&call).await.ok()?;
            Some(Event::Ordered {
                ticket: NOBODY,
                id: None,
                draft: Draft::without_transfer(call, gas_limit),
            })
        }
    }
}

impl Command {
    fn refuse(self, error: &ChainError) {
        match self {
            Self::Begin { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Find { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Ask { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Conclude { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Report { answer } => drop(answer.send(Err(error.clone()))),
            // Nothing is loaded, so that nothing is out of date.
            Self::ReadAnew { answer } => drop(answer.send(Ok(()))),
        }
    }
}

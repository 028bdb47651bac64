//! The one task that anchors: brings the contract to the local log's size,
//! and watches what it anchored until it is final.
//!
//! Only this task writes checkpoints, so that sending, recovering and watching
//! never race. It holds nothing that must survive: after a failure or a restart
//! it compares the contract's head with the local log and goes on from there.

use std::{sync::Arc, time::Duration};

use dm_core::{
    Address,
    bus::EventBus,
    config::ComplianceConfig,
    ports::{Anchors, CatalogError, ChainError, ComplianceError},
    receipt::Checkpoint,
    span::Tracer,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{contradiction::Contradiction, send::InFlight};
use crate::{
    board::{Board, ChainState, OwnAnchoring},
    local_log::LocalLog,
};

mod contradiction;
mod head;
mod send;
mod traces;
mod watch;

/// First pause after the chain did not answer or refused.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Pause between two looks at a chain that has forked from the local log.
const FORKED_PAUSE: Duration = Duration::from_secs(60);
/// How long a stopping node waits for an anchor in flight.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// What the anchoring task is handed; cheap to clone.
#[derive(Clone)]
pub(crate) struct Deps {
    pub(crate) account: Address,
    pub(crate) log: LocalLog,
    pub(crate) anchors: Arc<dyn Anchors>,
    pub(crate) board: Arc<Board>,
    pub(crate) bus: EventBus,
    pub(crate) tracer: Tracer,
    pub(crate) config: ComplianceConfig,
}

/// What is known of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Nothing: at start, and after every failure.
    Unknown,
    /// Its newest checkpoint, which the local log agrees with; `None` for none.
    Known(Option<Checkpoint>),
}

/// Why anchoring does not go on.
#[derive(Debug)]
enum Trouble {
    /// The chain did not answer, or refused.
    Chain(ChainError),
    /// The chain contradicts the local log.
    Forked(String),
    /// The local log failed.
    Log(ComplianceError),
}

impl From<ChainError> for Trouble {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl From<ComplianceError> for Trouble {
    fn from(error: ComplianceError) -> Self {
        Self::Log(error)
    }
}

impl From<CatalogError> for Trouble {
    fn from(error: CatalogError) -> Self {
        Self::Log(error.into())
    }
}

/// The anchoring task.
pub(crate) struct Anchorer {
    deps: Deps,
    head: Head,
    in_flight: Option<InFlight>,
    next_look: Instant,
    next_look_at_newest: Instant,
    contradiction: Option<Contradiction>,
    pause: Duration,
}

impl Anchorer {
    /// A task that knows nothing of the contract yet.
    pub(crate) fn new(deps: Deps) -> Self {
        Self {
            next_look: Instant::now() + Duration::from_secs(deps.config.watch_interval_secs),
            next_look_at_newest: Instant::now() + watch::NEWEST_PAUSE,
            deps,
            head: Head::Unknown,
            in_flight: None,
            contradiction: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// Where the local log fails; the task can be started again.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), ComplianceError> {
        let _own = OwnAnchoring::begin(&self.deps.board);
        let patience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LAST_PATIENCE).await;
        };
        tokio::select! {
            ended = self.anchor_until(&shutdown) => ended,
            () = patience => Ok(()),
        }
    }

    async fn anchor_until(&mut self, shutdown: &CancellationToken) -> Result<(), ComplianceError> {
        while !shutdown.is_cancelled() {
            match self.step().await {
                Ok(()) => {
                    self.all_is_well();
                    self.rest_until_work(shutdown).await;
                }
                Err(Trouble::Log(error)) => return Err(error),
                Err(Trouble::Forked(reason)) => {
                    self.chain_contradicts(&reason);
                    self.back_off(shutdown).await;
                }
                Err(Trouble::Chain(error)) => {
                    self.chain_is_away(&error);
                    self.back_off(shutdown).await;
                }
            }
        }
        Ok(())
    }

    /// One look at what is open, when it is due, and one anchor, when there is
    /// something to anchor.
    async fn step(&mut self) -> Result<(), Trouble> {
        if Instant::now() >= self.next_look {
            self.look_at_open_checkpoints().await?;
            self.next_look = Instant::now() + Duration::from_secs(self.deps.config.watch_interval_secs);
        }
        let previous = match self.head {
            Head::Known(checkpoint) => checkpoint,
            Head::Unknown => {
                let checkpoint = self.compare_with_contract().await?;
                self.chain_agrees();
                checkpoint
            }
        };
        if self.deps.board.recorded() > previous.map_or(0, |checkpoint| checkpoint.size) {
            self.anchor_next(previous).await?;
        }
        Ok(())
    }

    fn all_is_well(&mut self) {
        self.pause = FIRST_PAUSE;
        self.deps.board.set_trouble(None);
        if self.deps.board.set_chain(ChainState::Reachable) {
            tracing::info!("the compliance log can be anchored");
        }
    }

    fn chain_is_away(&self, error: &ChainError) {
        self.deps.board.set_trouble(Some(error));
        if self.deps.board.set_away() {
            tracing::warn!(%error, "the compliance log cannot be anchored now; it will be later");
        } else {
            tracing::debug!(%error, "the compliance log still cannot be anchored");
        }
    }

    async fn back_off(&mut self, shutdown: &CancellationToken) {
        self.head = Head::Unknown;
        let pause = match self.deps.board.fault() {
            Some(_) => FORKED_PAUSE,
            None => self.pause,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => {}
        }
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
    }

    async fn rest_until_work(&self, shutdown: &CancellationToken) {
        let Head::Known(checkpoint) = self.head else {
            return;
        };
        let anchored = checkpoint.map_or(0, |checkpoint| checkpoint.size);
        let mut recorded = self.deps.board.recorded.subscribe();
        tokio::select! {
            _ = recorded.wait_for(|recorded| *recorded > anchored) => {}
            () = tokio::time::sleep_until(self.next_look) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

//! The manager: what the rest of the node sees of the compliance log.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_core::{
    Address,
    bus::EventBus,
    clock::now_ms,
    config::ComplianceConfig,
    event::NewEvent,
    ports::{
        AnchoredCheckpoint, Anchors, ChainError, ComplianceError, ComplianceLog, EventFilter, EventLog,
        HistoryPage, HistoryQuery, Recorded,
    },
    receipt::{Anchor, Receipt, Verification},
    span::Tracer,
    tasks::Supervisor,
};

use crate::{
    anchoring::{Anchorer, Deps},
    board::{Board, ChainState},
    following::Follower,
    leaf::Leaf,
    local_log::LocalLog,
    meter::LogReading,
    queue::Queue,
    sequencer::Sequencer,
    unanchored::Unanchored,
    verify::verify_offline,
};

mod history;

/// How long recording waits for the comparison with the chain. At start-up a
/// chain that is slower counts as away.
const COMPARISON: Duration = Duration::from_secs(10);

/// The transparency log of one node account.
///
/// Two supervised tasks do the work: one appends what is recorded, with many
/// events in one durable commit; one anchors what was appended, with all events
/// that came while the last anchor was in flight in the next one.
pub struct ComplianceManager {
    account: Address,
    log: LocalLog,
    anchors: Arc<dyn Anchors>,
    queue: Arc<Queue>,
    board: Arc<Board>,
}

impl ComplianceManager {
    /// Starts the log of `account` on `supervisor`, which also ends it: what
    /// was accepted is still recorded then, and an anchor in flight is waited
    /// for briefly.
    ///
    /// `tracer` is told of the anchors of events that belong to traces.
    ///
    /// The local log is compared with the chain before the first event is
    /// recorded. Where the chain cannot be reached, events are recorded, and
    /// compared as soon as it is back.
    ///
    /// # Errors
    /// [`ComplianceError::Catalog`] where the event log cannot be read.
    pub async fn start(
        account: Address,
        events: Arc<dyn EventLog>,
        anchors: Arc<dyn Anchors>,
        config: ComplianceConfig,
        bus: EventBus,
        tracer: Tracer,
        supervisor: &Supervisor,
    ) -> Result<Arc<Self>, ComplianceError> {
        let recorded = events.event_count().await?;
        let anchored = events
            .last_checkpoint()
            .await?
            .map_or(0, |last| last.checkpoint.size);
        let manager = Self {
            account,
            log: LocalLog::new(events),
            anchors,
            queue: Arc::new(Queue::new(config.max_waiting)),
            board: Arc::new(Board::new(recorded, anchored)),
        };
        manager.spawn_sequencer(supervisor);
        manager.spawn_anchoring(config, bus, tracer, supervisor);
        manager.spawn_follower(supervisor);
        Ok(Arc::new(manager))
    }

    fn spawn_sequencer(&self, supervisor: &Supervisor) {
        let sequencer = Sequencer {
            queue: self.queue.clone(),
            log: self.log.clone(),
            board: self.board.clone(),
        };
        supervisor.spawn("compliance.record", move |shutdown| {
            sequencer.clone().run(shutdown)
        });
    }

    fn spawn_anchoring(
        &self,
        config: ComplianceConfig,
        bus: EventBus,
        tracer: Tracer,
        supervisor: &Supervisor,
    ) {
        let deps = Deps {
            account: self.account,
            log: self.log.clone(),
            anchors: self.anchors.clone(),
            board: self.board.clone(),
            bus,
            tracer,
            config,
        };
        supervisor.spawn_leading("compliance.anchor", move |shutdown| {
            Anchorer::new(deps.clone()).run(shutdown)
        });
    }

    /// Where other instances write to the log, too.
    fn spawn_follower(&self, supervisor: &Supervisor) {
        if supervisor.is_alone() {
            return;
        }
        let follower = Follower {
            log: self.log.clone(),
            board: self.board.clone(),
        };
        supervisor.spawn("compliance.follow", move |shutdown| {
            follower.clone().run(shutdown)
        });
    }

    /// How the log gets on, without a look into the catalog.
    pub fn reading(&self) -> LogReading {
        self.board.reading()
    }

    /// What keeps the log from being written.
    pub(crate) fn fault_of_log(&self) -> Option<String> {
        self.board.fault().map(|fault| fault.to_string())
    }

    /// The events that no anchor covers, if there are some.
    pub(crate) async fn unanchored(&self) -> Result<Option<Unanchored>, ComplianceError> {
        let (recorded, anchored) = (self.board.recorded(), self.board.anchored());
        if anchored >= recorded {
            return Ok(None);
        }
        let oldest = self.log.events().event(anchored).await?;
        let trouble = self.board.anchoring.borrow().trouble.clone();
        Ok(oldest.map(|oldest| Unanchored {
            first: anchored,
            count: recorded - anchored,
            since: oldest.event.timestamp,
            trouble,
        }))
    }

    /// Waits until the local log was compared with the chain, or the chain is
    /// known to be away; and while the chain contradicts the local log.
    ///
    /// # Errors
    /// [`ComplianceError::Forked`] where the log has forked,
    /// [`ComplianceError::Chain`] where that is not known yet.
    async fn compared(&self) -> Result<(), ComplianceError> {
        let mut anchoring = self.board.anchoring.subscribe();
        let compared = anchoring.wait_for(|state| {
            let is_open = matches!(state.chain, ChainState::Unchecked | ChainState::Contradicts);
            !is_open || state.fault.is_some()
        });
        // Neither a slow chain nor a stopping node says anything about the log.
        let _ = tokio::time::timeout(COMPARISON, compared).await;
        let state = self.board.anchoring.borrow();
        match (&state.fault, state.chain) {
            (Some(fault), _) => Err(ComplianceError::Forked(fault.to_string())),
            (None, ChainState::Contradicts) => Err(contradicts().into()),
            (None, _) => Ok(()),
        }
    }

    async fn require_event(&self, index: u64) -> Result<(), ComplianceError> {
        if index >= self.board.recorded() {
            // Another instance may have recorded it a moment ago.
            let count = self.log.events().event_count().await?;
            self.board.note_recorded(count);
        }
        let exists = index < self.board.recorded();
        exists.then_some(()).ok_or(ComplianceError::NoEvent(index))
    }

    /// The checkpoint that first covered the event.
    async fn covering(&self, index: u64) -> Result<Option<AnchoredCheckpoint>, ComplianceError> {
        let newest = self.board.anchoring.borrow().newest_covering(index).copied();
        match newest {
            Some(checkpoint) => Ok(Some(checkpoint)),
            None => Ok(self.log.events().checkpoint_covering(index).await?),
        }
    }

    /// Waits for the anchor of an event as long as there is hope.
    async fn hoped_anchor(&self, index: u64) -> Result<Option<Anchor>, ComplianceError> {
        let mut anchoring = self.board.anchoring.subscribe();
        loop {
            let (anchored, chain, fault) = {
                let state = anchoring.borrow_and_update();
                (state.anchored, state.chain, state.fault.clone())
            };
            if index < anchored
                && let Some(checkpoint) = self.covering(index).await?
            {
                return Ok(Some(checkpoint.anchor));
            }
            if let Some(fault) = fault {
                return Err(ComplianceError::Forked(fault.to_string()));
            }
            if chain == ChainState::Away {
                return Ok(None);
            }
            if anchoring.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

#[async_trait]
impl ComplianceLog for ComplianceManager {
    #[tracing::instrument(skip_all, fields(kind = %event.kind))]
    async fn record(&self, event: NewEvent) -> Result<Recorded, ComplianceError> {
        self.compared().await?;
        let leaf = Leaf::of(event.into_event(self.account, now_ms()))?;
        let answer = self.queue.push(leaf)?;
        answer.await.map_err(|_| ComplianceError::Stopped)?
    }

    async fn wait_for_anchor(
        &self,
        index: u64,
        patience: Duration,
    ) -> Result<Option<Anchor>, ComplianceError> {
        self.require_event(index).await?;
        match tokio::time::timeout(patience, self.hoped_anchor(index)).await {
            Ok(anchor) => anchor,
            Err(_) => Ok(None),
        }
    }

    async fn find(&self, filter: &EventFilter) -> Result<Option<Recorded>, ComplianceError> {
        let page = self.log.events().events(filter, None, 1).await?;
        Ok(page.entries.into_iter().next().map(|entry| Recorded {
            index: entry.index,
            event: entry.event,
        }))
    }

    async fn receipt(&self, index: u64) -> Result<Option<Receipt>, ComplianceError> {
        self.require_event(index).await?;
        let Some(AnchoredCheckpoint {
            checkpoint, anchor, ..
        }) = self.covering(index).await?
        else {
            return Ok(None);
        };
        let entry = self.log.events().event(index).await?;
        let entry = entry.ok_or_else(|| ComplianceError::Corrupt(format!("event {index} is missing")))?;
        Ok(Some(Receipt {
            version: 1,
            event: entry.event,
            leaf_index: index,
            inclusion_proof: self.log.inclusion_proof(index, checkpoint.size).await?,
            checkpoint,
            anchor,
        }))
    }

    async fn verify(&self, receipt: &Receipt) -> Result<Verification, ComplianceError> {
        let leaf_hash = match verify_offline(receipt) {
            Ok(leaf_hash) => leaf_hash,
            Err(flaw) => return Ok(Verification::invalid(flaw.to_string())),
        };
        match self.anchors.proves(receipt, leaf_hash).await {
            Ok(true) => Ok(Verification::Valid),
            Ok(false) => Ok(Verification::invalid(
                "the chain does not have this checkpoint of this log",
            )),
            Err(ChainError::WrongChain { .. }) => Ok(Verification::invalid(format!(
                "the receipt is for the chain with id {}, which is not the chain of this node",
                receipt.anchor.chain_id
            ))),
            Err(error) => Err(error.into()),
        }
    }

    async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, ComplianceError> {
        let page = self
            .log
            .events()
            .events(&query.filter, query.before, query.limit)
            .await?;
        Ok(HistoryPage {
            entries: self.with_transactions(page.entries).await?,
            next: page.next,
        })
    }

    async fn anchors_of(&self, indexes: &[u64]) -> Result<BTreeMap<u64, Anchor>, ComplianceError> {
        self.anchors_of_events(indexes).await
    }

    async fn anchored_size(&self) -> Result<u64, ComplianceError> {
        Ok(self.board.anchored())
    }

    fn log_address(&self) -> Address {
        self.account
    }

    fn fault(&self) -> Option<String> {
        self.fault_of_log()
    }
}

fn contradicts() -> ChainError {
    ChainError::Unavailable("it contradicts the local log at the moment".to_owned())
}

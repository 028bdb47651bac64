//! What the manager, the sequencer and the anchoring task tell each other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dm_core::{
    ports::{AnchoredCheckpoint, ChainError},
    span::TraceContext,
};
use tokio::sync::watch;

use crate::meter::{LogMeter, LogReading};

/// Whether anchors can be made at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChainState {
    /// Not known yet: the local log has not been compared with the chain's.
    Unchecked,
    /// As far as is known.
    Reachable,
    /// The chain contradicts the local log. It is looked at again until it
    /// agrees, and nothing is recorded meanwhile.
    Contradicts,
    /// The chain did not answer or refused; or the node stops.
    Away,
}

/// The newest checkpoint and the events that it was the first to cover.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newest {
    /// The first of them.
    pub(crate) first: u64,
    /// The checkpoint, which covers them to its end.
    pub(crate) checkpoint: AnchoredCheckpoint,
}

/// How far anchoring is.
#[derive(Debug, Clone)]
pub(crate) struct Anchoring {
    /// Whether it can go on.
    pub(crate) chain: ChainState,
    /// Number of events that are anchored.
    pub(crate) anchored: u64,
    /// The anchor that was made last, where it is still unchanged; saves the
    /// callers who waited for it a look into the catalog.
    pub(crate) newest: Option<Newest>,
    /// Why nothing is recorded: a contradiction that has lasted.
    pub(crate) fault: Option<Arc<str>>,
    /// Why the last anchor could not be made.
    pub(crate) trouble: Option<ChainError>,
    /// Whether this instance makes them.
    is_own: bool,
}

/// That this instance anchors, until it is dropped: then nobody need wait for an anchor that
/// it does not make.
pub(crate) struct OwnAnchoring(Arc<Board>);

impl OwnAnchoring {
    pub(crate) fn begin(board: &Arc<Board>) -> Self {
        board.anchoring.send_modify(|state| state.is_own = true);
        Self(board.clone())
    }
}

impl Drop for OwnAnchoring {
    fn drop(&mut self) {
        self.0.anchoring.send_modify(|state| state.is_own = false);
        self.0.set_away();
    }
}

/// The shared state. Everybody may look; only the anchoring task writes `anchoring`, and the
/// follower while there is none.
#[derive(Debug)]
pub(crate) struct Board {
    /// Number of events that are recorded.
    pub(crate) recorded: watch::Sender<u64>,
    /// How far anchoring is.
    pub(crate) anchoring: watch::Sender<Anchoring>,
    meter: LogMeter,
}

impl Board {
    /// The state of a log at start-up.
    pub(crate) fn new(recorded: u64, anchored: u64) -> Self {
        Self {
            recorded: watch::Sender::new(recorded),
            anchoring: watch::Sender::new(Anchoring {
                chain: ChainState::Unchecked,
                anchored,
                newest: None,
                fault: None,
                trouble: None,
                is_own: false,
            }),
            meter: LogMeter::default(),
        }
    }

    /// Number of events that are recorded.
    pub(crate) fn recorded(&self) -> u64 {
        *self.recorded.borrow()
    }

    /// How the log gets on.
    pub(crate) fn reading(&self) -> LogReading {
        self.meter.reading(self.recorded(), self.anchored())
    }

    /// Number of events that are anchored.
    pub(crate) fn anchored(&self) -> u64 {
        self.anchoring.borrow().anchored
    }

    /// Notes that so many events are recorded, whichever instance did it.
    pub(crate) fn note_recorded(&self, count: u64) {
        let mut before = count;
        self.recorded.send_if_modified(|recorded| {
            before = *recorded;
            *recorded = count.max(before);
            count > before
        });
        if count > before {
            self.meter.recorded(before, count, Instant::now());
        }
    }

    /// Notes how many events another instance has anchored, where this one does not anchor. It
    /// can be waited for: what keeps that instance from anchoring is not known here.
    pub(crate) fn note_anchored_elsewhere(&self, anchored: u64) {
        self.anchoring.send_if_modified(|state| {
            let known = (state.anchored, state.chain);
            if state.is_own || known == (anchored, ChainState::Reachable) {
                return false;
            }
            if state.anchored != anchored {
                state.newest = None;
                state.anchored = anchored;
                self.meter.anchored_elsewhere(anchored);
            }
            if state.chain != ChainState::Contradicts {
                state.chain = ChainState::Reachable;
            }
            known != (state.anchored, state.chain)
        });
    }

    /// Why nothing is recorded: a contradiction that has lasted.
    pub(crate) fn fault(&self) -> Option<Arc<str>> {
        self.anchoring.borrow().fault.clone()
    }

    /// Notes why the last anchor could not be made, or that it was.
    pub(crate) fn set_trouble(&self, trouble: Option<&ChainError>) {
        // Nobody waits for it.
        self.anchoring.send_if_modified(|state| {
            state.trouble = trouble.cloned();
            false
        });
    }

    /// Notes whether anchors can be made, and whether that is news.
    pub(crate) fn set_chain(&self, chain: ChainState) -> bool {
        self.anchoring
            .send_if_modified(|state| std::mem::replace(&mut state.chain, chain) != chain)
    }

    /// Notes that no anchor can be made now, and whether that is news. A
    /// contradiction stays one: a chain that is away does not take it back.
    pub(crate) fn set_away(&self) -> bool {
        self.anchoring.send_if_modified(|state| match state.chain {
            ChainState::Away | ChainState::Contradicts => false,
            ChainState::Unchecked | ChainState::Reachable => {
                state.chain = ChainState::Away;
                true
            }
        })
    }

    /// Notes that the chain agrees with the local log. Returns the fault that
    /// is none any more, if there was one.
    pub(crate) fn set_agreed(&self) -> Option<Arc<str>> {
        let mut fault = None;
        self.anchoring.send_if_modified(|state| {
            fault = state.fault.take();
            let contradicted = state.chain == ChainState::Contradicts;
            if contradicted {
                state.chain = ChainState::Reachable;
            }
            contradicted
        });
        fault
    }

    /// Notes a new anchor.
    pub(crate) fn set_anchored(&self, checkpoint: AnchoredCheckpoint) {
        let size = checkpoint.checkpoint.size;
        self.meter.anchored(size, Instant::now());
        self.anchoring.send_modify(|state| {
            state.newest = Some(Newest {
                first: state.anchored,
                checkpoint,
            });
            state.anchored = size;
        });
    }

    /// Notes a request as an example of how long events wait for their anchors.
    pub(crate) fn note_example(&self, waited: Duration, trace: TraceContext) {
        self.meter.note_example(waited, trace);
    }

    /// Notes that anchors changed or left the chain, and how many events are
    /// anchored now.
    pub(crate) fn reset_anchored(&self, anchored: u64) {
        self.anchoring.send_modify(|state| {
            state.newest = None;
            state.anchored = anchored;
        });
    }

    /// Notes a contradiction that has lasted.
    pub(crate) fn set_fault(&self, fault: &str) {
        self.anchoring
            .send_modify(|state| state.fault = Some(fault.into()));
    }
}

impl Anchoring {
    /// The checkpoint that covers this event, where it is the newest one.
    pub(crate) fn newest_covering(&self, index: u64) -> Option<&AnchoredCheckpoint> {
        let newest = self.newest.as_ref()?;
        let covered = newest.first..newest.checkpoint.checkpoint.size;
        covered.contains(&index).then_some(&newest.checkpoint)
    }
}

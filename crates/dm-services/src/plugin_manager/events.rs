//! Hands a plugin what happens in the node: the events of the journal, each at least once,
//! and those of the bus that the journal does not keep, as far as it is fast enough.

use std::{convert::Infallible, sync::Arc, time::Duration};

use dm_core::{
    bus::NodeEvent,
    journal::{JournalEvent, Topics},
    plugin::{PluginEvent, PluginFault},
    ports::CatalogError,
};
use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    time::Instant,
};

use super::{PluginManager, Running, Slot, event_place::EventPlace};
use crate::ServiceError;

/// Events that are read from the journal at once.
const PAGE: usize = 100;
/// How long a plugin hears of events before it is kept how far it is: what it heard of after
/// that it hears of again after a kill.
const KEEP_AFTER: Duration = Duration::from_secs(1);
/// Pause after a fault of the catalog.
const AFTER_FAULT: Duration = Duration::from_secs(1);

/// The events of one start of a plugin.
struct Delivery {
    manager: PluginManager,
    slot: Arc<Slot>,
    running: Arc<Running>,
    passing: Receiver<NodeEvent>,
    place: EventPlace,
    /// The place that the store has.
    kept: EventPlace,
    kept_at: Instant,
}

/// Why deliveries ended.
enum End {
    /// The plugin is at fault.
    Faulty(PluginFault),
    /// Nothing comes any more.
    Closed,
    /// The catalog or the store is.
    Failed(ServiceError),
}

impl From<CatalogError> for End {
    fn from(error: CatalogError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ServiceError> for End {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error)
    }
}

impl PluginManager {
    /// Hands events on, one after the other, until the plugin stops. One that is slow holds
    /// up nobody else.
    pub(super) async fn deliver_events(
        self,
        slot: Arc<Slot>,
        running: Arc<Running>,
        place: EventPlace,
        passing: Receiver<NodeEvent>,
    ) {
        let stopping = running.stopping.clone();
        let mut delivery = Delivery {
            manager: self,
            slot,
            running,
            passing,
            place,
            kept: place,
            kept_at: Instant::now(),
        };
        let end = stopping.run_until_cancelled(delivery.go_on_through_faults());
        let fault = end.await.flatten();
        if let Err(error) = delivery.keep().await {
            tracing::warn!(plugin = delivery.slot.name, %error, "it was not kept how far a plugin is");
        }
        if let Some(fault) = fault {
            let Delivery {
                manager,
                slot,
                running,
                ..
            } = delivery;
            manager.stop_faulty(&slot, running, &fault);
        }
    }
}

impl Delivery {
    /// The fault of the plugin that ended it, if that was the reason.
    async fn go_on_through_faults(&mut self) -> Option<PluginFault> {
        loop {
            let Err(end) = self.go_on().await;
            match end {
                End::Faulty(fault) => return Some(fault),
                End::Closed => return None,
                End::Failed(error) => {
                    tracing::warn!(plugin = self.slot.name, %error, "a plugin hears of no events");
                    tokio::time::sleep(AFTER_FAULT).await;
                }
            }
        }
    }

    async fn go_on(&mut self) -> Result<Infallible, End> {
        let journal = self.manager.inner.journal.clone();
        let mut growth = journal.journal_growth();
        loop {
            growth.mark_unchanged();
            let before = self.place.read_to;
            let page = journal.journal_page(&Topics::all(), before, PAGE).await?;
            for event in page.events {
                self.hand_over(event).await?;
            }
            self.place.go_on_after(page.read_to);
            self.tell_what_passed().await?;
            if self.place.read_to > before {
                continue;
            }
            self.keep().await?;
            tokio::select! {
                // An error says that the catalog is closed.
                grown = growth.changed() => grown.map_err(|_| End::Closed)?,
                passed = self.passing.recv() => self.tell_passing(passed).await?,
            }
        }
    }

    async fn hand_over(&mut self, event: JournalEvent) -> Result<(), End> {
        let position = event.position;
        let forgotten = position.saturating_sub(self.place.read_to + 1);
        if forgotten > 0 {
            tracing::warn!(
                plugin = self.slot.name,
                forgotten,
                "a plugin was away for longer than events are kept"
            );
            self.slot.miss_events(forgotten);
            self.place.go_on_after(position - 1);
        }
        let event = PluginEvent::of_journal(self.place.journal, event);
        let Err(fault) = self.running.tell(&event).await else {
            self.place.go_on_after(position);
            return self.keep_from_time_to_time().await;
        };
        if self.place.failed_on(position) {
            tracing::warn!(
                plugin = self.slot.name,
                position,
                topic = event.topic,
                "a plugin misses an event on which it always fails"
            );
            self.slot.miss_events(1);
        }
        Err(End::Faulty(fault))
    }

    /// Tells what has passed on the bus meanwhile.
    async fn tell_what_passed(&mut self) -> Result<(), End> {
        loop {
            match self.passing.try_recv() {
                Ok(event) => self.tell_passing(Ok(event)).await?,
                Err(TryRecvError::Lagged(count)) => self.slot.miss_events(count),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(()),
            }
        }
    }

    async fn tell_passing(&self, passed: Result<NodeEvent, RecvError>) -> Result<(), End> {
        match passed {
            // The journal tells the others.
            Ok(event) if event.news.is_passing() => {
                let told = self.running.tell(&PluginEvent::passing(&event)).await;
                told.map_err(End::Faulty)
            }
            Ok(_) => Ok(()),
            Err(RecvError::Lagged(count)) => {
                self.slot.miss_events(count);
                Ok(())
            }
            Err(RecvError::Closed) => Err(End::Closed),
        }
    }

    async fn keep_from_time_to_time(&mut self) -> Result<(), End> {
        match self.kept_at.elapsed() < KEEP_AFTER {
            true => Ok(()),
            false => Ok(self.keep().await?),
        }
    }

    async fn keep(&mut self) -> Result<(), ServiceError> {
        self.kept_at = Instant::now();
        if self.kept != self.place {
            let store = self.manager.inner.store.as_ref();
            self.place.keep(&self.slot.name, store).await?;
            self.kept = self.place;
        }
        Ok(())
    }
}

//! Loads plugins, asks them, and keeps their faults away from the node.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use alloy_primitives::Address;
use dm_core::{
    bus::EventBus,
    hash::DataHash,
    news::{ComponentChange, News},
    plugin::{
        Hook, MAX_NOTE, Notes, PluginFault, PluginStatus, ReceivedView, RetrievalView, ShareView, Verdict,
        cut_to,
    },
    ports::{EventJournal, KeyValueStore, PluginSource, StoreError},
};
use tokio::{
    sync::{Mutex, Notify, SetOnce},
    time::Instant,
};

use super::ServiceError;

mod event_place;
mod events;
mod examiner;
mod guarded;
mod lifecycle;
mod meter;
mod operate;
mod own_store;
mod question;
mod registered;
mod share_notes;
mod slot;
mod starting;
mod switches;

pub use meter::PluginReading;
pub use registered::RegisteredPlugins;

pub(super) use examiner::Examiner;

use question::Question;
use share_notes::ShareNotes;
use slot::{Answer, Running, Slot};
use switches::switched_off;

/// What an operator can set, and what plugins are told of the node.
#[derive(Debug, Clone)]
pub struct PluginConfig {
    /// Name of the node.
    pub node_id: String,
    /// The account that the node acts for.
    pub address: Address,
    /// Plugins without which nothing happens that they have a say in.
    pub required: Vec<String>,
    /// Whether plugins with the hook `content` examine the data of others, too, when it is
    /// read here for the first time.
    pub examine_received: bool,
}

/// The plugins of a node; cheap to clone.
#[derive(Clone)]
pub struct PluginManager {
    inner: Arc<Inner>,
}

struct Inner {
    config: PluginConfig,
    store: Arc<dyn KeyValueStore>,
    journal: Arc<dyn EventJournal>,
    bus: EventBus,
    sources: OnceLock<Vec<Arc<dyn PluginSource>>>,
    disabled: BTreeSet<String>,
    /// Held while a plugin is switched on or off.
    switching: Mutex<()>,
    /// All known plugins in the order of their names.
    roster: RwLock<Arc<Vec<Arc<Slot>>>>,
    share_notes: ShareNotes,
    /// A plugin wants to be started.
    due: Notify,
    /// Set once all plugins have had their first start.
    started: SetOnce<()>,
}

impl PluginManager {
    /// A manager whose plugins do not run yet: until [`PluginManager::start`],
    /// what needs a required plugin is refused. `store` is for the manager and
    /// its plugins alone. Plugins hear of the events of the journal, and of those of the
    /// bus that it does not keep.
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn open(
        config: PluginConfig,
        store: Arc<dyn KeyValueStore>,
        journal: Arc<dyn EventJournal>,
        bus: EventBus,
    ) -> Result<Self, StoreError> {
        let disabled = switched_off(&*store).await?;
        let required: BTreeSet<&String> = config.required.iter().collect();
        let roster = required
            .into_iter()
            .map(|name| Arc::new(Slot::new(name.clone(), true, true)))
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                share_notes: ShareNotes::open(store.clone()).await?,
                sources: OnceLock::new(),
                roster: RwLock::new(Arc::new(roster)),
                due: Notify::new(),
                started: SetOnce::new(),
                config,
                store,
                journal,
                bus,
                disabled,
                switching: Mutex::new(()),
            }),
        })
    }

    /// How every plugin is doing, in the order of their names.
    pub fn statuses(&self) -> Vec<PluginStatus> {
        self.roster().iter().map(|slot| slot.status()).collect()
    }

    /// Waits until every plugin has had its first start, so that none is left out that
    /// has a say.
    pub(super) async fn wait_until_started(&self) {
        self.inner.started.wait().await;
    }

    /// Whether any plugin has, or may have, a say in this.
    pub(super) fn concerns(&self, hook: Hook) -> bool {
        self.roster().iter().any(|slot| slot.concerns(hook))
    }

    /// Asks whether a share may happen, and collects what plugins note on it.
    pub(super) async fn before_share(&self, share: &ShareView) -> Result<Notes, ServiceError> {
        self.ask(Question::Share(share)).await
    }

    /// Asks whether a retrieval may happen, and collects what plugins note on it.
    pub(super) async fn before_retrieval(&self, retrieval: &RetrievalView) -> Result<Notes, ServiceError> {
        self.ask(Question::Retrieval(retrieval)).await
    }

    /// Asks whether data of somebody else may be listed or fetched, and collects what
    /// plugins note on it.
    pub(super) async fn before_receive(&self, received: &ReceivedView) -> Result<Notes, ServiceError> {
        self.ask(Question::Receive(received)).await
    }

    /// Whether plugins examine the data of others, too, when it is read here first.
    pub(super) fn examines_received(&self) -> bool {
        self.inner.config.examine_received
    }

    /// Keeps notes on a share until it is in the log.
    pub(super) async fn keep_notes(
        &self,
        data_hash: &DataHash,
        recipient: Address,
        notes: Notes,
    ) -> Result<(), ServiceError> {
        Ok(self.inner.share_notes.keep(data_hash, recipient, notes).await?)
    }

    /// The notes on a share that is not in the log yet.
    pub(super) async fn notes_of(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Notes, ServiceError> {
        Ok(self.inner.share_notes.of(data_hash, recipient).await?)
    }

    /// The share is in the log.
    pub(super) async fn forget_notes(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<(), ServiceError> {
        Ok(self.inner.share_notes.forget(data_hash, recipient).await?)
    }

    /// Asks all plugins in the order of their names. The first that refuses
    /// decides.
    async fn ask(&self, question: Question<'_>) -> Result<Notes, ServiceError> {
        let mut notes = Notes::new();
        for slot in self.roster().iter() {
            match slot.ask(question).await? {
                Answer::None | Answer::Verdict(Verdict::Allow) => {}
                Answer::Verdict(Verdict::Annotate { note }) => {
                    notes.insert(slot.name.clone(), cut_to(note, MAX_NOTE));
                }
                Answer::Verdict(Verdict::Refuse { reason }) => {
                    return Err(ServiceError::Refused {
                        plugin: slot.name.clone(),
                        reason: cut_to(reason, MAX_NOTE),
                    });
                }
                Answer::Fault(running, fault) => {
                    self.stop_faulty(slot, running, &fault);
                    if slot.required {
                        return Err(slot.away());
                    }
                }
            }
        }
        Ok(notes)
    }

    /// Ends a start of a plugin that is at fault; it is started again later.
    fn stop_faulty(&self, slot: &Arc<Slot>, running: Arc<Running>, fault: &PluginFault) {
        if !slot
            .life()
            .failed(running.start, fault.to_string(), Instant::now())
        {
            return;
        }
        slot.set_running(None);
        self.note_failure(slot, fault);
        let slot = slot.clone();
        tokio::spawn(async move {
            let _turn = slot.turn.lock().await;
            running.shut_down().await;
        });
    }

    fn note_failure(&self, slot: &Slot, fault: &PluginFault) {
        tracing::error!(plugin = slot.name, %fault, "a plugin failed");
        self.inner
            .bus
            .publish(News::HealthComponentChange(ComponentChange {
                component: format!("plugin {}", slot.name),
                connected: Some(false),
                health: None,
            }));
        self.inner.due.notify_one();
    }

    fn roster(&self) -> Arc<Vec<Arc<Slot>>> {
        self.inner
            .roster
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The place of a plugin, which is made where there is none.
    fn place_of(&self, name: &str) -> Arc<Slot> {
        let mut roster = self.inner.roster.write().unwrap_or_else(PoisonError::into_inner);
        match roster.binary_search_by(|slot| slot.name.as_str().cmp(name)) {
            Ok(index) => roster[index].clone(),
            Err(index) => {
                let enabled = !self.inner.disabled.contains(name);
                let slot = Arc::new(Slot::new(name.to_owned(), false, enabled));
                let mut longer = Vec::clone(&roster);
                longer.insert(index, slot.clone());
                *roster = Arc::new(longer);
                slot
            }
        }
    }
}

//! Starts plugins, at the node's start and after faults, and shuts them down.

use std::{convert::Infallible, sync::Arc, time::Duration};

use dm_core::{
    news::{ComponentChange, News},
    plugin::{Hook, PluginFault, is_plugin_name},
    ports::{Plugin, PluginContext, PluginSource},
    tasks::Supervisor,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    PluginManager, Running, Slot, event_place::EventPlace, guarded::guarded, own_store::OwnStore,
    switches::switch_off,
};

/// How long a plugin may take to be made ready, its translation included.
const LOADING_PATIENCE: Duration = Duration::from_secs(60);

impl PluginManager {
    /// Starts all plugins in the order of their names. A supervised task starts
    /// those again that fail, and [`PluginManager::statuses`] reports them.
    pub async fn start(&self, sources: Vec<Arc<dyn PluginSource>>, supervisor: &Supervisor) {
        // Set once: a manager is started once.
        let _ = self.inner.sources.set(sources);
        for name in self.names().await {
            self.place_of(&name);
        }
        self.start_due().await;
        // As above.
        let _ = self.inner.started.set(());
        let manager = self.clone();
        supervisor.spawn("plugins", move |shutdown| manager.clone().run(shutdown));
    }

    async fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for source in self.sources() {
            match source.names().await {
                Ok(found) => names.extend(found.into_iter().filter(|name| is_plugin_name(name))),
                Err(error) => tracing::error!(%error, "plugins were not found"),
            }
        }
        names
    }

    pub(super) fn sources(&self) -> &[Arc<dyn PluginSource>] {
        self.inner.sources.get().map_or(&[], Vec::as_slice)
    }

    /// Shuts all plugins down, in the reverse order of their names. They are
    /// not started any more.
    pub async fn shut_down(&self) {
        for slot in self.roster().iter().rev() {
            switch_off(slot).await;
        }
    }

    async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        shutdown.run_until_cancelled(self.restart_when_due()).await;
        Ok(())
    }

    async fn restart_when_due(&self) {
        loop {
            let next = self.roster().iter().filter_map(|slot| slot.life().due()).min();
            match next {
                Some(due) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => self.start_due().await,
                        () = self.inner.due.notified() => {}
                    }
                }
                None => self.inner.due.notified().await,
            }
        }
    }

    async fn start_due(&self) {
        for slot in self.roster().iter() {
            self.start_if_due(slot).await;
        }
    }

    /// Starts the plugin if it is time for that.
    pub(super) async fn start_if_due(&self, slot: &Arc<Slot>) {
        let _turn = slot.turn.lock().await;
        let Some(start) = slot.life().begin(Instant::now()) else {
            return;
        };
        match self.make_ready(slot, start).await {
            Ok((running, place)) => self.begin_calling(slot, &Arc::new(running), place),
            Err(fault) => {
                if slot.life().failed(start, fault.to_string(), Instant::now()) {
                    self.note_failure(slot, &fault);
                }
            }
        }
    }

    /// The plugin, and where it goes on in the journal if it hears of events.
    async fn make_ready(
        &self,
        slot: &Slot,
        start: u64,
    ) -> Result<(Running, Option<EventPlace>), PluginFault> {
        let plugin = guarded(LOADING_PATIENCE, self.load(&slot.name)).await?;
        let info = plugin.info();
        slot.set_known(&info);
        if info.name != slot.name {
            return Err(PluginFault::new(format!("it calls itself {}", info.name)));
        }
        let store = OwnStore::open(self.inner.store.clone(), &info.name, info.store_limit)
            .await
            .map_err(PluginFault::new)?;
        let context = PluginContext {
            node_id: self.inner.config.node_id.clone(),
            address: self.inner.config.address,
            store: Arc::new(store),
        };
        let place = match info.hooks.contains(&Hook::Events) {
            true => Some(self.event_place(&info.name).await?),
            false => None,
        };
        let running = Running::new(start, info, plugin);
        let initializing = running.plugin.initialize(context);
        match guarded(running.info.call_limit, initializing).await {
            Ok(()) => Ok((running, place)),
            Err(fault) => {
                running.shut_down().await;
                Err(fault)
            }
        }
    }

    async fn load(&self, name: &str) -> Result<Arc<dyn Plugin>, PluginFault> {
        for source in self.sources() {
            if let Some(plugin) = source.load(name).await? {
                return Ok(plugin);
            }
        }
        Err(PluginFault::new("there is no plugin of this name"))
    }

    async fn event_place(&self, name: &str) -> Result<EventPlace, PluginFault> {
        let (store, journal) = (self.inner.store.as_ref(), self.inner.journal.as_ref());
        EventPlace::find(name, store, journal)
            .await
            .map_err(PluginFault::new)
    }

    fn begin_calling(&self, slot: &Arc<Slot>, running: &Arc<Running>, place: Option<EventPlace>) {
        let passing = self.inner.bus.subscribe();
        let version = running.info.version.clone();
        slot.set_running(Some(running.clone()));
        slot.life().started(running.start, Instant::now());
        if let Some(place) = place {
            let delivering = self
                .clone()
                .deliver_events(slot.clone(), running.clone(), place, passing);
            running.is_told_by(tokio::spawn(delivering));
        }
        tracing::info!(plugin = slot.name, version, "a plugin runs");
        self.inner
            .bus
            .publish(News::HealthComponentChange(ComponentChange {
                component: format!("plugin {}", slot.name),
                connected: Some(true),
                health: None,
            }));
    }
}

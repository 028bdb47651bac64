//! Which plugins operators have switched off, with whichever instance of the node.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use dm_core::{
    plugin::PluginState,
    ports::{KeyValueStore, StoreError, WriteBatch},
    tasks::Supervisor,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{PluginManager, Slot};

/// Where it stands that an operator has switched a plugin off.
const DISABLED: &str = "disabled/";
/// Plugins that can be switched off.
const MOST_DISABLED: usize = 10_000;
/// Between two looks at what was switched with other instances.
const PAUSE: Duration = Duration::from_secs(2);

/// The plugins that are switched off.
pub(super) async fn switched_off(store: &dyn KeyValueStore) -> Result<BTreeSet<String>, StoreError> {
    let entries = store.scan(DISABLED.as_bytes(), None, MOST_DISABLED).await?;
    let names = entries.iter().filter_map(|(key, _)| key.get(DISABLED.len()..));
    Ok(names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

impl PluginManager {
    /// Switches plugins on and off in the background as operators do it with other
    /// instances of the node, which have the same store. The notes of their plugins are found
    /// there as well.
    pub fn follow_others(&self, supervisor: &Supervisor) {
        self.inner.share_notes.share();
        let manager = self.clone();
        supervisor.spawn("switches of plugins", move |shutdown| {
            manager.clone().keep_following(shutdown)
        });
    }

    async fn keep_following(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        while shutdown
            .run_until_cancelled(tokio::time::sleep(PAUSE))
            .await
            .is_some()
        {
            if let Err(error) = self.take_over_switches().await {
                tracing::debug!(%error, "which plugins are switched off is not known at the moment");
            }
        }
        Ok(())
    }

    async fn take_over_switches(&self) -> Result<(), StoreError> {
        let _switching = self.inner.switching.lock().await;
        let off = switched_off(&*self.inner.store).await?;
        for slot in self.roster().iter().filter(|slot| !slot.required) {
            let is_off = slot.life().state() == PluginState::Disabled;
            match off.contains(&slot.name) {
                true if !is_off => switch_off(slot).await,
                false if is_off => self.switch_on(slot).await,
                _ => {}
            }
        }
        Ok(())
    }

    /// Starts a plugin that was off.
    pub(super) async fn switch_on(&self, slot: &Arc<Slot>) {
        slot.life().enable(Instant::now());
        self.start_if_due(slot).await;
    }

    /// Keeps for all instances and their next starts whether a plugin is switched off.
    pub(super) async fn keep_disabled(&self, name: &str, disabled: bool) -> Result<(), StoreError> {
        let key = format!("{DISABLED}{name}").into_bytes();
        let mut batch = WriteBatch::new();
        if disabled {
            batch.put(key, Vec::new());
        } else {
            batch.delete(key);
        }
        self.inner.store.commit(batch).await
    }
}

/// Shuts a plugin down, which is not started again.
pub(super) async fn switch_off(slot: &Slot) {
    let _turn = slot.turn.lock().await;
    slot.life().disable();
    if let Some(running) = slot.set_running(None) {
        running.shut_down().await;
    }
}

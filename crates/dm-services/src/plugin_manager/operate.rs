//! What operators do with plugins while the node runs.

use std::sync::Arc;

use dm_core::plugin::PluginStatus;
use tokio::time::Instant;

use super::{PluginManager, Slot, switches::switch_off};
use crate::ServiceError;

impl PluginManager {
    /// Switches a plugin on, for good, and starts it.
    ///
    /// # Errors
    /// [`ServiceError::UnknownPlugin`], and faults of the store.
    pub async fn enable(&self, name: &str) -> Result<PluginStatus, ServiceError> {
        let slot = self.find(name).await?;
        let _switching = self.inner.switching.lock().await;
        self.keep_disabled(name, false).await?;
        self.switch_on(&slot).await;
        Ok(slot.status())
    }

    /// Switches a plugin off, for good, and shuts it down.
    ///
    /// # Errors
    /// [`ServiceError::UnknownPlugin`], [`ServiceError::RequiredPlugin`], and
    /// faults of the store.
    pub async fn disable(&self, name: &str) -> Result<PluginStatus, ServiceError> {
        let slot = self.find(name).await?;
        if slot.required {
            return Err(ServiceError::RequiredPlugin(slot.name.clone()));
        }
        let _switching = self.inner.switching.lock().await;
        self.keep_disabled(name, true).await?;
        switch_off(&slot).await;
        Ok(slot.status())
    }

    /// Loads a plugin anew, as it is now; also one that was added after the
    /// node's start. A plugin that is switched off stays off.
    ///
    /// # Errors
    /// [`ServiceError::UnknownPlugin`].
    pub async fn reload(&self, name: &str) -> Result<PluginStatus, ServiceError> {
        let slot = self.find(name).await?;
        {
            let _turn = slot.turn.lock().await;
            if let Some(running) = slot.set_running(None) {
                running.shut_down().await;
            }
            slot.life().reload(Instant::now());
        }
        self.start_if_due(&slot).await;
        Ok(slot.status())
    }

    async fn find(&self, name: &str) -> Result<Arc<Slot>, ServiceError> {
        let known = self.roster().iter().find(|slot| slot.name == name).cloned();
        if let Some(slot) = known {
            return Ok(slot);
        }
        for source in self.sources() {
            let names = source.names().await;
            if names.is_ok_and(|names| names.iter().any(|found| found == name)) {
                return Ok(self.place_of(name));
            }
        }
        Err(ServiceError::UnknownPlugin(name.to_owned()))
    }
}

//! What a component offers.

use dm_core::plugin::Hook;
use wasmtime::{Engine, Store, component::InstancePre};

use crate::{
    bindings::{
        Plugin, PluginIndices,
        receiver::{Receiver, ReceiverIndices, exports::datamgmt::plugin::receiving},
    },
    host::HostState,
};

/// A component with its functions.
pub(crate) struct Exports {
    component: InstancePre<HostState>,
    plugin: PluginIndices,
    /// Only of a component with the hook `receive`: earlier ones do not have it.
    receiver: Option<ReceiverIndices>,
}

impl Exports {
    /// The functions of a component that is called for `hooks`.
    ///
    /// # Errors
    /// Where it lacks one.
    pub(crate) fn of(component: InstancePre<HostState>, hooks: &[Hook]) -> wasmtime::Result<Self> {
        let receives = hooks.contains(&Hook::Receive);
        Ok(Self {
            plugin: PluginIndices::new(&component)?,
            receiver: receives.then(|| ReceiverIndices::new(&component)).transpose()?,
            component,
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.component.engine()
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<HostState>) -> wasmtime::Result<Loaded> {
        let instance = self.component.instantiate_async(&mut *store).await?;
        let receiver = self.receiver.as_ref();
        let receiver = receiver.map(|receiver| receiver.load(&mut *store, &instance));
        Ok(Loaded {
            plugin: self.plugin.load(&mut *store, &instance)?,
            receiver: receiver.transpose()?,
        })
    }
}

/// The functions of one instance.
pub(crate) struct Loaded {
    pub(crate) plugin: Plugin,
    receiver: Option<Receiver>,
}

impl Loaded {
    /// Those of the hook `receive`, if the component is called for it.
    pub(crate) fn receiving(&self) -> Option<&receiving::Guest> {
        self.receiver.as_ref().map(Receiver::datamgmt_plugin_receiving)
    }
}

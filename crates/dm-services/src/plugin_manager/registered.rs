//! Plugins that are part of the program.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use dm_core::{
    plugin::PluginFault,
    ports::{Plugin, PluginSource},
};

/// Rust plugins of whoever builds a node of their own.
#[derive(Clone, Default)]
pub struct RegisteredPlugins {
    plugins: BTreeMap<String, Arc<dyn Plugin>>,
}

impl FromIterator<Arc<dyn Plugin>> for RegisteredPlugins {
    fn from_iter<T: IntoIterator<Item = Arc<dyn Plugin>>>(plugins: T) -> Self {
        Self {
            plugins: plugins
                .into_iter()
                .map(|plugin| (plugin.info().name, plugin))
                .collect(),
        }
    }
}

#[async_trait]
impl PluginSource for RegisteredPlugins {
    async fn names(&self) -> Result<Vec<String>, PluginFault> {
        Ok(self.plugins.keys().cloned().collect())
    }

    async fn load(&self, name: &str) -> Result<Option<Arc<dyn Plugin>>, PluginFault> {
        Ok(self.plugins.get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use dm_testing::plugins::SamplePlugin;

    use super::*;

    async fn open() -> (Arc<dyn PluginSource>, ()) {
        let sample: Arc<dyn Plugin> = Arc::new(SamplePlugin::default());
        (Arc::new(RegisteredPlugins::from_iter([sample])), ())
    }

    dm_testing::plugin_source_conformance!(open);
}

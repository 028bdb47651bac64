//! Folders of plugins that are built for a test.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::{collections::BTreeMap, fs, sync::Arc};

use async_trait::async_trait;
use dm_core::{
    Address,
    plugin::PluginFault,
    ports::{KeyValueStore, NodeFunctions, Plugin, PluginContext, PluginSource},
};
use dm_plugins::{Limits, Permission, PluginFolder, PluginFolderConfig};
use dm_testing::{key_value::MemoryKeyValueStore, plugins::SAMPLE};
use tempfile::TempDir;

/// The text of the sample, whose answer to a share can be replaced.
pub(crate) const SAMPLE_TEXT: &str = include_str!("sample.wat");
const ANSWER: &str = "(call $answer (local.get $size)) ;; the answer to a share";
/// The manifest of the sample.
pub(crate) const SAMPLE_MANIFEST: &str = r#"
name = "sample"
version = "1.0.0"
hooks = ["events", "share", "content", "retrieval", "receive"]
permissions = ["content"]
"#;

/// The sample with another answer to a share.
pub(crate) fn sample_that(answer: &str) -> String {
    assert_eq!(SAMPLE_TEXT.matches(ANSWER).count(), 1);
    SAMPLE_TEXT.replace(ANSWER, answer)
}

/// The sample as it was before there was the hook `receive`.
pub(crate) fn earlier_sample() -> String {
    let (earlier, _) = SAMPLE_TEXT.split_once(";; The hook `receive`").unwrap();
    format!("{earlier})")
}

/// A folder with one plugin.
pub(crate) struct Folder {
    pub(crate) dir: TempDir,
    pub(crate) source: Arc<PluginFolder>,
}

impl Folder {
    /// A folder with the sample, made of these parts; `granted` beside `content`.
    pub(crate) fn new(manifest: &str, component: &[u8], granted: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plugin = dir.path().join(SAMPLE);
        fs::create_dir(&plugin).unwrap();
        fs::write(plugin.join("plugin.toml"), manifest).unwrap();
        fs::write(plugin.join("plugin.wasm"), component).unwrap();
        let mut permissions = vec![Permission::Content];
        permissions.extend(granted.iter().map(|text| text.parse::<Permission>().unwrap()));
        let config = PluginFolderConfig {
            folder: dir.path().to_owned(),
            granted: BTreeMap::from([(SAMPLE.to_owned(), permissions)]),
            most: Limits {
                memory_bytes: 64 << 20,
                call_ms: 60_000,
                message_bytes: 64 << 20,
                store_bytes: 64 << 20,
            },
        };
        let source = PluginFolder::new(config, Arc::new(SmallNode)).unwrap();
        Self {
            dir,
            source: Arc::new(source),
        }
    }

    /// A folder with a plugin of this text.
    pub(crate) fn with_text(manifest: &str, text: &str, granted: &[&str]) -> Self {
        Self::new(manifest, &wat::parse_str(text).unwrap(), granted)
    }

    /// The plugin, loaded.
    pub(crate) async fn load(&self) -> Result<Arc<dyn Plugin>, PluginFault> {
        Ok(self.source.load(SAMPLE).await?.expect("it is there"))
    }

    /// The plugin, ready to be called.
    pub(crate) async fn ready(&self) -> Arc<dyn Plugin> {
        let plugin = self.load().await.unwrap();
        plugin.initialize(context()).await.unwrap();
        plugin
    }
}

/// What a plugin gets to work with.
pub(crate) fn context() -> PluginContext {
    let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
    PluginContext {
        node_id: "test".to_owned(),
        address: Address::repeat_byte(1),
        store,
    }
}

/// A node that is well and knows nothing.
pub(crate) struct SmallNode;

#[async_trait]
impl NodeFunctions for SmallNode {
    async fn health(&self) -> Result<String, PluginFault> {
        Ok("{\"status\":\"healthy\"}".to_owned())
    }

    async fn verify(&self, data_hash: &str) -> Result<String, PluginFault> {
        Err(PluginFault::new(format!("nothing is known of {data_hash}")))
    }
}

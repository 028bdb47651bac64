//! Loads a plugin from a folder, as a WebAssembly component, and asks it whether a share may
//! happen.

use std::{error::Error, fs, path::Path, sync::Arc};

use async_trait::async_trait;
use dm_core::{
    Address,
    config::{PluginsConfig, StorageConfig},
    hash::DataHash,
    plugin::{PluginFault, ShareView},
    ports::{NodeFunctions, PluginContext, PluginSource},
};
use dm_plugins::{PluginFolder, PluginFolderConfig};
use dm_storage::Storage;

const MANIFEST: &str = r#"
name = "sample"
version = "1.0.0"
hooks = ["share"]
"#;
/// A component in the text format. Real ones come from a compiler: see docs/plugins.md.
const COMPONENT: &str = include_str!("../../../crates/dm-plugins/tests/common/sample.wat");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let plugins = folder.path().join("plugins");
    install(&plugins.join("sample"))?;
    let storage = Storage::open(&folder.path().join("objects"), &StorageConfig::default())?;

    let options = PluginFolderConfig::new(plugins, &PluginsConfig::default())?;
    let source = PluginFolder::new(options, Arc::new(Node))?;
    let plugin = source.load("sample").await?.ok_or("no such plugin")?;
    let context = PluginContext {
        node_id: "embedder".to_owned(),
        address: Address::repeat_byte(1),
        store: storage.namespace("plugins"),
    };
    plugin.initialize(context).await?;

    let share = ShareView {
        data_hash: DataHash::of(b"hello"),
        recipient: Address::repeat_byte(2),
        size: 5,
        price: None,
    };
    let verdict = plugin.before_share(&share).await?;
    println!("the plugin says: {verdict:?}");

    plugin.shutdown().await;
    storage.close().await?;
    Ok(())
}

fn install(folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("plugin.toml"), MANIFEST)?;
    fs::write(folder.join("plugin.wasm"), wat::parse_str(COMPONENT)?)?;
    Ok(())
}

/// What the plugin may ask, if the operator grants it.
struct Node;

#[async_trait]
impl NodeFunctions for Node {
    async fn health(&self) -> Result<String, PluginFault> {
        Ok(r#"{"status":"healthy"}"#.to_owned())
    }

    async fn verify(&self, data_hash: &str) -> Result<String, PluginFault> {
        Err(PluginFault::new(format!("{data_hash} is not known")))
    }
}

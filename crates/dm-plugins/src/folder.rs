//! A folder of plugins.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use dm_core::{
    config::PluginsConfig,
    plugin::{PluginFault, is_plugin_name},
    ports::{NodeFunctions, Plugin, PluginSource},
};
use reqwest::Client;
use tokio::{sync::Mutex, task::spawn_blocking};
use wasmtime::{
    Config, Engine,
    component::{Component, Linker},
};

use crate::{
    exports::Exports,
    host::HostState,
    http,
    manifest::{Limits, Manifest},
    permission::{InvalidPermission, Permission},
    plugin::{WasmPlugin, describe, linker},
    ticker::SharedTicker,
};

/// Largest component, in bytes.
const MAX_COMPONENT: u64 = 64 << 20;
/// Largest manifest, in bytes.
const MAX_MANIFEST: u64 = 64 << 10;
/// Name of the manifest in a plugin's folder.
const MANIFEST: &str = "plugin.toml";

/// What the operator allows.
#[derive(Debug, Clone)]
pub struct PluginFolderConfig {
    /// Where the plugins are: each in a folder of its name.
    pub folder: PathBuf,
    /// What each plugin may do, by its name.
    pub granted: BTreeMap<String, Vec<Permission>>,
    /// What a manifest may ask for at most; `message_bytes` does not count.
    pub most: Limits,
}

impl PluginFolderConfig {
    /// The folder with what the configuration allows.
    ///
    /// # Errors
    /// Where something is granted that is no permission.
    pub fn new(folder: PathBuf, config: &PluginsConfig) -> Result<Self, InvalidPermission> {
        let mut granted = BTreeMap::new();
        for (plugin, permissions) in &config.granted {
            let permissions: Result<Vec<Permission>, _> =
                permissions.iter().map(|permission| permission.parse()).collect();
            granted.insert(plugin.clone(), permissions?);
        }
        Ok(Self {
            folder,
            granted,
            most: Limits {
                memory_bytes: config.max_memory_bytes,
                call_ms: config.max_call_ms,
                message_bytes: config.max_memory_bytes,
                store_bytes: config.max_store_bytes,
            },
        })
    }
}

/// The plugins in a folder: one folder for each, with its manifest
/// `plugin.toml` and its component. A folder that does not exist has none.
pub struct PluginFolder {
    config: PluginFolderConfig,
    engine: Engine,
    linker: Linker<HostState>,
    node: Arc<dyn NodeFunctions>,
    client: Client,
    ticker: SharedTicker,
}

impl PluginFolder {
    /// A folder whose plugins may ask `node`.
    ///
    /// # Errors
    /// Where the machine has no WebAssembly or TLS to offer.
    pub fn new(config: PluginFolderConfig, node: Arc<dyn NodeFunctions>) -> Result<Self, PluginFault> {
        let mut engine_config = Config::new();
        engine_config.epoch_interruption(true);
        let engine = Engine::new(&engine_config).map_err(|error| describe(&error))?;
        Ok(Self {
            linker: linker(&engine).map_err(|error| describe(&error))?,
            ticker: SharedTicker::of(engine.clone()),
            client: http::client().map_err(PluginFault::new)?,
            engine,
            config,
            node,
        })
    }

    async fn load_from(&self, name: &str, folder: PathBuf) -> Result<WasmPlugin, PluginFault> {
        let manifest_file = folder.join(MANIFEST);
        let text = blocking(move || read_limited(&manifest_file, MAX_MANIFEST)).await?;
        let text = String::from_utf8(text).map_err(|_| PluginFault::new("plugin.toml is not UTF-8 text"))?;
        let manifest = Manifest::parse(&text).map_err(PluginFault::new)?;
        let granted = self.config.granted.get(name).map_or(&[][..], Vec::as_slice);
        manifest
            .check_allowed(granted, &self.config.most)
            .map_err(PluginFault::new)?;
        let settings = serde_json::to_string(&manifest.settings).map_err(PluginFault::new)?;
        let (engine, file) = (self.engine.clone(), folder.join(&manifest.component));
        let component = blocking(move || {
            let bytes = read_limited(&file, MAX_COMPONENT)?;
            Component::from_binary(&engine, &bytes).map_err(|error| {
                PluginFault::new(format!(
                    "{} is no component: {}",
                    name_of(&file),
                    describe(&error)
                ))
            })
        })
        .await?;
        let linked = self
            .linker
            .instantiate_pre(&component)
            .map_err(|error| describe_link(&error))?;
        Ok(WasmPlugin {
            exports: Exports::of(linked, &manifest.hooks).map_err(|error| describe_link(&error))?,
            manifest,
            settings,
            node: self.node.clone(),
            client: self.client.clone(),
            instance: Mutex::new(None),
            _ticker: self.ticker.get().map_err(PluginFault::new)?,
        })
    }
}

#[async_trait]
impl PluginSource for PluginFolder {
    async fn names(&self) -> Result<Vec<String>, PluginFault> {
        let folder = self.config.folder.clone();
        blocking(move || names_in(&folder).map_err(|error| at(&folder, &error))).await
    }

    async fn load(&self, name: &str) -> Result<Option<Arc<dyn Plugin>>, PluginFault> {
        let folder = self.config.folder.join(name);
        if !is_plugin_name(name)
            || !tokio::fs::try_exists(folder.join(MANIFEST))
                .await
                .unwrap_or(false)
        {
            return Ok(None);
        }
        let plugin = self.load_from(name, folder).await?;
        Ok(Some(Arc::new(plugin)))
    }
}

/// The folders in `folder` that can be plugins.
fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && is_plugin_name(&name)
            && entry.path().join(MANIFEST).is_file()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read_limited(file: &Path, limit: u64) -> Result<Vec<u8>, PluginFault> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|error| at(file, &error))?;
    if bytes.len() as u64 > limit {
        return Err(PluginFault::new(format!(
            "{} has more than {limit} bytes",
            name_of(file)
        )));
    }
    Ok(bytes)
}

fn at(file: &Path, error: &io::Error) -> PluginFault {
    PluginFault::new(format!("{}: {error}", name_of(file)))
}

fn name_of(file: &Path) -> String {
    file.file_name().map_or_else(
        || file.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// What a component lacks or wants in vain; the cause alone does not name it.
fn describe_link(error: &wasmtime::Error) -> PluginFault {
    PluginFault::new(format!("it is no plugin of this interface: {error:#}"))
}

/// Runs work that blocks away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PluginFault> + Send + 'static,
) -> Result<T, PluginFault> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(PluginFault::new(format!("work was cut off: {error}"))),
    }
}

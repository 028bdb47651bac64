//! What the node does for a component.

use std::{collections::BTreeSet, sync::Arc};

use dm_core::ports::{KeyValueStore, NodeFunctions, WriteBatch};
use reqwest::Client;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::{
    bindings::datamgmt::plugin::{http, log, node, store, types},
    http as client,
    limits::InstanceLimits,
    manifest::Manifest,
    permission::Permission,
};

/// Longest line in the log, in bytes.
const MAX_LINE: usize = 4096;
/// Most keys in one answer.
const MAX_KEYS: usize = 1000;
/// Most things of WASI, such as streams, that a component holds.
const MAX_RESOURCES: usize = 1000;

/// What one instance of a component works with.
pub(crate) struct HostState {
    name: String,
    permissions: BTreeSet<Permission>,
    message_bytes: usize,
    store: Arc<dyn KeyValueStore>,
    node: Arc<dyn NodeFunctions>,
    client: Client,
    pub(crate) limits: InstanceLimits,
    wasi: WasiCtx,
    resources: ResourceTable,
}

impl HostState {
    pub(crate) fn new(
        manifest: &Manifest,
        store: Arc<dyn KeyValueStore>,
        node: Arc<dyn NodeFunctions>,
        client: Client,
    ) -> Self {
        Self {
            name: manifest.name.clone(),
            permissions: manifest.permissions.iter().cloned().collect(),
            message_bytes: in_memory(manifest.limits.message_bytes),
            store,
            node,
            client,
            limits: InstanceLimits::new(in_memory(manifest.limits.memory_bytes)),
            // Clocks and random numbers; no files, no environment, no sockets.
            wasi: WasiCtx::builder().build(),
            resources: resource_table(),
        }
    }

    fn require(&self, permission: &Permission) -> Result<(), String> {
        if self.permissions.contains(permission) {
            return Ok(());
        }
        tracing::warn!(plugin = self.name, %permission, "a plugin tried what it may not do");
        Err(format!("needs the permission `{permission}`"))
    }
}

/// A table of what a component holds of WASI, which cannot grow without end.
fn resource_table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_RESOURCES);
    table
}

/// A number of bytes that have to fit into the memory of the machine.
pub(crate) fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.resources,
        }
    }
}

impl types::Host for HostState {}

impl log::Host for HostState {
    async fn write(&mut self, level: log::Level, mut message: String) -> wasmtime::Result<()> {
        message.truncate(message.floor_char_boundary(MAX_LINE));
        let plugin = self.name.as_str();
        match level {
            log::Level::Debug => tracing::debug!(plugin, "{message}"),
            log::Level::Info => tracing::info!(plugin, "{message}"),
            log::Level::Warn => tracing::warn!(plugin, "{message}"),
            log::Level::Error => tracing::error!(plugin, "{message}"),
        }
        Ok(())
    }
}

impl store::Host for HostState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, String>> {
        let value = self.store.get(key.as_bytes()).await;
        Ok(value
            .map(|value| value.map(Vec::from))
            .map_err(|error| error.to_string()))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        let mut batch = WriteBatch::new();
        batch.put(key.into_bytes(), value);
        Ok(self.store.commit(batch).await.map_err(|error| error.to_string()))
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), String>> {
        let mut batch = WriteBatch::new();
        batch.delete(key.into_bytes());
        Ok(self.store.commit(batch).await.map_err(|error| error.to_string()))
    }

    async fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, String>> {
        let limit = (limit as usize).min(MAX_KEYS);
        let after = after.as_ref().map(String::as_bytes);
        let found = self.store.scan(prefix.as_bytes(), after, limit).await;
        Ok(found
            .map(|entries| {
                entries
                    .into_iter()
                    .map(|(key, _)| String::from_utf8_lossy(&key).into_owned())
                    .collect()
            })
            .map_err(|error| error.to_string()))
    }
}

impl node::Host for HostState {
    async fn health(&mut self) -> wasmtime::Result<Result<String, String>> {
        if let Err(refusal) = self.require(&Permission::NodeHealth) {
            return Ok(Err(refusal));
        }
        Ok(self.node.health().await.map_err(|fault| fault.to_string()))
    }

    async fn verify(&mut self, data_hash: String) -> wasmtime::Result<Result<String, String>> {
        if let Err(refusal) = self.require(&Permission::NodeVerify) {
            return Ok(Err(refusal));
        }
        Ok(self
            .node
            .verify(&data_hash)
            .await
            .map_err(|fault| fault.to_string()))
    }
}

impl http::Host for HostState {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, String>> {
        let allowed =
            client::origin_of(&request).and_then(|origin| self.require(&Permission::Connect(origin)));
        if let Err(refusal) = allowed {
            return Ok(Err(refusal));
        }
        Ok(client::send(&self.client, request, self.message_bytes).await)
    }
}

//! A component as a plugin.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_core::{
    plugin::{
        Piece, PluginEvent, PluginFault, PluginInfo, ReceiveStage, ReceivedView, RetrievalView, ShareView,
        Verdict,
    },
    ports::{NodeFunctions, Plugin, PluginContext},
};
use reqwest::Client;
use tokio::sync::Mutex;
use wasmtime::{Store, component::HasSelf};

use crate::{
    bindings::{self, datamgmt::plugin::types, receiver::exports::datamgmt::plugin::receiving},
    exports::{Exports, Loaded},
    host::{HostState, in_memory},
    manifest::Manifest,
    ticker::Ticker,
};

/// Longest description of a fault, in bytes.
const MAX_FAULT: usize = 500;

/// Links the functions of the node and of WASI.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<wasmtime::component::Linker<HostState>> {
    let mut linker = wasmtime::component::Linker::new(engine);
    bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Ok(linker)
}

/// A component and, once it is initialized, its only instance: calls come one
/// after the other.
pub(crate) struct WasmPlugin {
    pub(crate) manifest: Manifest,
    /// What `initialize` hands over, as JSON.
    pub(crate) settings: String,
    pub(crate) exports: Exports,
    pub(crate) node: Arc<dyn NodeFunctions>,
    pub(crate) client: Client,
    /// Out of its place while it is called, so that one whose call is given up
    /// or fails is gone.
    pub(crate) instance: Mutex<Option<Box<Instance>>>,
    /// Lets calls be interrupted as long as there are plugins.
    pub(crate) _ticker: Arc<Ticker>,
}

/// An instance of a component.
pub(crate) struct Instance {
    store: Store<HostState>,
    exports: Loaded,
}

/// Calls a function of the instance, which stays only if it returned.
macro_rules! call {
    ($plugin:expr, |$store:ident, $exports:ident| $called:expr) => {{
        let mut place = $plugin.instance.lock().await;
        let mut instance = place.take().ok_or_else(stopped)?;
        let Instance {
            store: $store,
            exports: $exports,
        } = &mut *instance;
        let result = $called.await.map_err(|error| describe(&error))?;
        *place = Some(instance);
        result
    }};
}

impl WasmPlugin {
    async fn instantiate(&self, context: &PluginContext) -> Result<Box<Instance>, PluginFault> {
        let state = HostState::new(
            &self.manifest,
            context.store.clone(),
            self.node.clone(),
            self.client.clone(),
        );
        let mut store = Store::new(self.exports.engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(in_memory(self.manifest.limits.message_bytes));
        store.set_epoch_deadline(1);
        // At each tick it gives way, and whoever waits for it can give it up.
        store.epoch_deadline_async_yield_and_update(1);
        let exports = self.exports.instantiate(&mut store).await;
        Ok(Box::new(Instance {
            exports: exports.map_err(|error| describe(&error))?,
            store,
        }))
    }

    fn verdict(&self, verdict: types::Verdict) -> Result<Verdict, PluginFault> {
        let (text, verdict) = match verdict {
            types::Verdict::Allow => return Ok(Verdict::Allow),
            types::Verdict::Refuse(reason) => (reason.len(), Verdict::Refuse { reason }),
            types::Verdict::Annotate(note) => (note.len(), Verdict::Annotate { note }),
        };
        if text as u64 > self.manifest.limits.message_bytes {
            return Err(PluginFault::new(format!(
                "its answer has {text} bytes, more than limits.message_bytes"
            )));
        }
        Ok(verdict)
    }
}

#[async_trait]
impl Plugin for WasmPlugin {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            hooks: self.manifest.hooks.clone(),
            call_limit: Duration::from_millis(self.manifest.limits.call_ms),
            parallel_calls: 1,
            store_limit: self.manifest.limits.store_bytes,
        }
    }

    async fn initialize(&self, context: PluginContext) -> Result<(), PluginFault> {
        let instance = self.instantiate(&context).await?;
        *self.instance.lock().await = Some(instance);
        let node = types::NodeInfo {
            node_id: context.node_id,
            address: context.address.to_string(),
        };
        call!(self, |store, exports| exports.plugin.call_initialize(
            store,
            &node,
            &self.settings
        ))
        .map_err(|error| PluginFault::new(cut(error)))
    }

    async fn shutdown(&self) {
        let mut place = self.instance.lock().await;
        let Some(mut instance) = place.take() else { return };
        let Instance { store, exports } = &mut *instance;
        if let Err(error) = exports.plugin.call_shutdown(store).await {
            let fault = describe(&error);
            tracing::warn!(plugin = self.manifest.name, %fault, "a plugin did not shut down in order");
        }
    }

    async fn on_event(&self, event: &PluginEvent) -> Result<(), PluginFault> {
        let event = types::Event {
            topic: event.topic.clone(),
            data: event.data.to_string(),
            timestamp_ms: event.at,
        };
        call!(self, |store, exports| exports.plugin.call_on_event(store, &event));
        Ok(())
    }

    async fn before_share(&self, share: &ShareView) -> Result<Verdict, PluginFault> {
        let share = types::Share {
            data_hash: share.data_hash.to_string(),
            recipient: share.recipient.to_string(),
            size: share.size,
            price: share.price.map(|(token, amount)| types::Price {
                token: token.to_string(),
                amount: amount.to_string(),
            }),
        };
        self.verdict(call!(self, |store, exports| exports
            .plugin
            .call_before_share(store, &share)))
    }

    async fn examine(&self, piece: &Piece) -> Result<Verdict, PluginFault> {
        let piece = types::Piece {
            offset: piece.offset,
            bytes: piece.bytes.to_vec(),
        };
        self.verdict(call!(self, |store, exports| exports
            .plugin
            .call_examine(store, &piece)))
    }

    async fn before_retrieval(&self, retrieval: &RetrievalView) -> Result<Verdict, PluginFault> {
        let retrieval = types::Retrieval {
            data_hash: retrieval.data_hash.to_string(),
            owner: retrieval.owner.to_string(),
            size: retrieval.size,
        };
        self.verdict(call!(self, |store, exports| exports
            .plugin
            .call_before_retrieval(store, &retrieval)))
    }

    async fn before_receive(&self, received: &ReceivedView) -> Result<Verdict, PluginFault> {
        let data = received_data(received);
        self.verdict(call!(self, |store, exports| {
            let receiving = exports.receiving().ok_or_else(stopped)?;
            receiving.call_before_receive(store, &data)
        }))
    }
}

fn received_data(received: &ReceivedView) -> receiving::Received {
    let said = &received.description;
    let labels = said.labels.iter();
    receiving::Received {
        data_hash: received.data_hash.to_string(),
        owner: received.owner.to_string(),
        size: received.size,
        anchored: received.anchored,
        name: said.name.as_ref().map(ToString::to_string),
        media_type: said.media_type.as_ref().map(ToString::to_string),
        labels: labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        correlation_id: said.correlation_id.as_ref().map(ToString::to_string),
        supersedes: said.supersedes.map(|hash| hash.to_string()),
        stage: match received.stage {
            ReceiveStage::Listing => receiving::Stage::Listing,
            ReceiveStage::Fetch => receiving::Stage::Fetch,
        },
    }
}

fn stopped() -> PluginFault {
    PluginFault::new("it was stopped")
}

/// What went wrong, without the addresses of the component's code.
pub(crate) fn describe(error: &wasmtime::Error) -> PluginFault {
    PluginFault::new(cut(error.root_cause().to_string()))
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_FAULT));
    text
}

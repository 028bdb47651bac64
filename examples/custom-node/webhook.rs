//! A plugin that posts what happens in the node to a URL: signed, in order, and
//! again until it is taken.
//!
//! Each event waits in the plugin's own data until the receiver has answered
//! with 2xx, also across restarts; a receiver may see one twice and tells by
//! the header `X-DataMgmt-Delivery`, and by the `id` where the node tells an event again. The signature is HMAC-SHA256 over the
//! header `X-DataMgmt-Timestamp`, a full stop and the body: a receiver that
//! compares the time with its own clock cannot be shown an old delivery again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    plugin::{Hook, PluginEvent, PluginFault, PluginInfo},
    ports::{KeyValueStore, Plugin, PluginContext, StoreError, WriteBatch},
};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, Url, header::CONTENT_TYPE, redirect};
use serde_json::json;
use sha2::Sha256;
use tokio::{sync::Notify, task::JoinHandle};

/// How long the receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after the first failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Posts events to a URL.
pub(crate) struct Webhook {
    sender: Sender,
    next: AtomicU64,
    store: Mutex<Option<Arc<dyn KeyValueStore>>>,
    /// An event was added.
    added: Arc<Notify>,
    delivery: Mutex<Option<JoinHandle<()>>>,
}

/// Knows how to post.
#[derive(Clone)]
struct Sender {
    client: Client,
    url: Url,
    secret: Hmac<Sha256>,
}

impl Webhook {
    pub(crate) fn new(url: &str, secret: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(secret.len() >= 32, "the webhook's secret has fewer than 32 bytes");
        Ok(Self {
            sender: Sender {
                client: Client::builder()
                    .timeout(PATIENCE)
                    .redirect(redirect::Policy::none())
                    .build()?,
                url: url.parse().context("WEBHOOK_URL is no URL")?,
                secret: Hmac::new_from_slice(secret.as_bytes()).context("the secret is no key")?,
            },
            next: AtomicU64::new(0),
            store: Mutex::default(),
            added: Arc::default(),
            delivery: Mutex::default(),
        })
    }

    fn store(&self) -> Option<Arc<dyn KeyValueStore>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a receiver cares about; the node's own ticks are left out.
fn is_of_interest(topic: &str) -> bool {
    !matches!(
        topic,
        "health.update" | "network.peer_health" | "network.stats_update"
    )
}

#[async_trait]
impl Plugin for Webhook {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            // The store syncs each event to the disk.
            call_limit: Duration::from_secs(10),
            ..PluginInfo::new("webhook", env!("CARGO_PKG_VERSION"), &[Hook::Events])
        }
    }

    async fn initialize(&self, context: PluginContext) -> Result<(), PluginFault> {
        // Numbers grow with time, so that they are new also after a restart.
        self.next.fetch_max(now_ms() * 1000, Ordering::SeqCst);
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.store.clone());
        let task = tokio::spawn(deliver(self.sender.clone(), context.store, self.added.clone()));
        *self.delivery.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Ok(())
    }

    async fn shutdown(&self) {
        let task = self
            .delivery
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            task.abort();
        }
    }

    async fn on_event(&self, event: &PluginEvent) -> Result<(), PluginFault> {
        let store = self.store().ok_or_else(|| PluginFault::new("not started"))?;
        if !is_of_interest(&event.topic) {
            return Ok(());
        }
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let mut batch = WriteBatch::new();
        let body = json!({
            "id": event.place.map(|place| place.to_string()),
            "type": event.topic,
            "data": event.data,
            "timestamp": event.at as f64 / 1000.0,
        });
        batch.put(number.to_be_bytes().to_vec(), body.to_string().into_bytes());
        match store.commit(batch).await {
            // The receiver has been away for very long: what is new is lost, not the node.
            Err(StoreError::Full) => tracing::warn!("no room for further events of the webhook"),
            result => result.map_err(PluginFault::new)?,
        }
        self.added.notify_one();
        Ok(())
    }
}

/// Posts what waits, the oldest first, for ever.
async fn deliver(sender: Sender, store: Arc<dyn KeyValueStore>, added: Arc<Notify>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match deliver_next(&sender, store.as_ref()).await {
            Ok(true) => pause = FIRST_PAUSE,
            Ok(false) => added.notified().await,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the webhook was not delivered");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Posts the oldest event. Returns whether there was one.
async fn deliver_next(sender: &Sender, store: &dyn KeyValueStore) -> anyhow::Result<bool> {
    let Some((key, body)) = store.scan(b"", None, 1).await?.pop() else {
        return Ok(false);
    };
    sender.post(&hex(&key), &body, now_ms() / 1000).await?;
    let mut batch = WriteBatch::new();
    batch.delete(key);
    store.commit(batch).await?;
    Ok(true)
}

impl Sender {
    async fn post(&self, delivery: &str, body: &[u8], timestamp: u64) -> anyhow::Result<()> {
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("X-DataMgmt-Delivery", delivery)
            .header("X-DataMgmt-Timestamp", timestamp)
            .header("X-DataMgmt-Signature", self.signature(timestamp, body))
            .body(body.to_vec());
        request.send().await?.error_for_status()?;
        Ok(())
    }

    fn signature(&self, timestamp: u64, body: &[u8]) -> String {
        let mut mac = self.secret.clone();
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(body);
        format!("sha256={}", hex(&mac.finalize().into_bytes()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! A plugin that writes what happens in the node to a file: one JSON object a
//! line, appended, and synced before the next one.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use dm_core::{
    plugin::{Hook, PluginEvent, PluginFault, PluginInfo, ReceivedView, RetrievalView, ShareView, Verdict},
    ports::{Plugin, PluginContext},
};
use serde_json::{Value, json};

/// Writes events, and what was asked for, to a file.
pub(crate) struct AuditLog {
    path: PathBuf,
    file: Arc<Mutex<Option<File>>>,
}

impl AuditLog {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: Arc::default(),
        }
    }

    /// Returns once the line is on the disk.
    async fn append(&self, what: &str, details: Value) -> Result<(), PluginFault> {
        let line = format!(
            "{}\n",
            json!({"time_ms": dm_core::clock::now_ms(), "what": what, "details": details})
        );
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let file = file.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            file.write_all(line.as_bytes())?;
            file.sync_data()
        });
        written.await.map_err(PluginFault::new)?.map_err(PluginFault::new)
    }
}

/// Opens the file for appending. A last line that was cut short, by a crash,
/// is ended, so that the next one stands alone.
fn open(path: &PathBuf) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

#[async_trait]
impl Plugin for AuditLog {
    fn info(&self) -> PluginInfo {
        PluginInfo {
            // A disk may take its time.
            call_limit: Duration::from_secs(10),
            ..PluginInfo::new(
                "audit-log",
                env!("CARGO_PKG_VERSION"),
                &[Hook::Events, Hook::Share, Hook::Retrieval, Hook::Receive],
            )
        }
    }

    async fn initialize(&self, context: PluginContext) -> Result<(), PluginFault> {
        let (path, place) = (self.path.clone(), self.file.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let file = open(&path)?;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
            io::Result::Ok(())
        });
        opened
            .await
            .map_err(PluginFault::new)?
            .map_err(PluginFault::new)?;
        let details = json!({"node_id": context.node_id, "address": context.address});
        self.append("audit.started", details).await
    }

    async fn shutdown(&self) {
        // Where that fails, the start after it tells of the gap.
        let _ = self.append("audit.stopped", Value::Null).await;
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn on_event(&self, event: &PluginEvent) -> Result<(), PluginFault> {
        // A line that comes again after a crash has the same place.
        let place = event.place.map(|place| place.to_string());
        let details = json!({"place": place, "at_ms": event.at, "data": event.data});
        self.append(&event.topic, details).await
    }

    async fn before_share(&self, share: &ShareView) -> Result<Verdict, PluginFault> {
        let details = json!({
            "data_hash": share.data_hash,
            "recipient": share.recipient,
            "size": share.size,
        });
        self.append("share.asked", details).await?;
        Ok(Verdict::Allow)
    }

    async fn before_retrieval(&self, retrieval: &RetrievalView) -> Result<Verdict, PluginFault> {
        let details = json!({
            "data_hash": retrieval.data_hash,
            "owner": retrieval.owner,
            "size": retrieval.size,
        });
        self.append("retrieval.asked", details).await?;
        Ok(Verdict::Allow)
    }

    async fn before_receive(&self, received: &ReceivedView) -> Result<Verdict, PluginFault> {
        let details = json!({
            "data_hash": received.data_hash,
            "owner": received.owner,
            "size": received.size,
            "anchored": received.anchored,
            "name": received.description.name,
            "stage": format!("{:?}", received.stage).to_lowercase(),
        });
        self.append("receive.asked", details).await?;
        Ok(Verdict::Allow)
    }
}

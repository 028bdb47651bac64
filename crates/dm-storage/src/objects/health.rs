//! How the object store is: judged by its last writes, by the room on its disk,
//! and by what could not be read.

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    health::{Finding, Trouble},
    ports::HealthCheck,
};

use super::{LocalObjects, bodies::Bodies};
use crate::{
    blocking::blocking,
    commits::{committer::Need, transaction::Transaction},
    disk::write_state::WriteFault,
    engine::Table,
};

/// A value that is written to see whether the engine takes one.
const PROBE: &[u8] = b"probe";

#[async_trait]
impl HealthCheck for LocalObjects {
    fn part(&self) -> &'static str {
        "object_store"
    }

    async fn check(&self) -> Finding {
        if self.0.committer.has_died() {
            return Finding::Failed(Trouble::new(
                "the thread that writes to the object store has panicked: reads go on, and every change is refused",
                "restart the node, and report the panic, which stands in its log",
            ));
        }
        self.probe_writes().await;
        let fault = self.0.state.fault().or_else(|| self.0.file_state.fault());
        if let Some(fault) = fault {
            return Finding::Failed(self.cannot_write(&fault));
        }
        match self.bucket_fault() {
            Some(unusable) => Finding::Failed(unusable),
            None => match self.0.space.judge() {
                Finding::Working => self.judge_damage(),
                short => short,
            },
        }
    }
}

impl LocalObjects {
    /// Tries to write where the last write failed, and takes room again that was
    /// given free, where there is enough.
    async fn probe_writes(&self) {
        if self.0.state.fault().is_some() {
            let value = Bytes::copy_from_slice(&now_ms().to_be_bytes());
            let change = move |transaction: &mut Transaction<'_>| {
                transaction.put(Table::Meta, PROBE, value.clone());
                Ok(())
            };
            // What came of it is noted where it is committed.
            let _ = self.0.committer.run(Need::Nothing, change).await;
        }
        if self.0.file_state.fault().is_some() {
            match self.0.files.probe().await {
                Ok(()) => self.0.file_state.succeeded(),
                Err(error) => self.0.file_state.failed(&error),
            }
        }
        if let Some(bucket) = &self.0.bucket
            && bucket.fault().is_some()
            && let Err(error) = bucket.probe().await
        {
            tracing::debug!(%error, "the bucket of large objects cannot be used yet");
        }
        if self.0.space.check(self.0.engine.room_kept()).is_ok() {
            let engine = self.0.engine.clone();
            // Where there is none, the next check tries again.
            let _ = blocking(move || {
                engine.keep_room();
                Ok(())
            })
            .await;
        }
    }

    fn cannot_write(&self, fault: &WriteFault) -> Trouble {
        let action = if self.0.engine.is_shared() {
            "look at the database of the catalog, the way to it, and its disk; the node goes on by itself"
        } else {
            "make room on the disk of the object store, or mend or replace it; the node goes on by itself"
        };
        let what = format!("the object store cannot be written: {}", fault.reason);
        Trouble::new(what, action).since(fault.since)
    }

    fn bucket_fault(&self) -> Option<Trouble> {
        let bucket = self.0.bucket.as_ref()?;
        let WriteFault { since, reason } = bucket.fault()?;
        let trouble = Trouble::new(
            format!(
                "large objects cannot be read or stored: {}: {reason}",
                bucket.url()
            ),
            "look at the S3 store, the way to it, and the credentials; the node goes on by itself",
        );
        Some(trouble.since(since))
    }

    fn judge_damage(&self) -> Finding {
        match self.0.damage.count() {
            0 => Finding::Working,
            count => Finding::Degraded(Trouble::new(
                format!("{count} stored objects cannot be read"),
                "look at GET /network/storage, and at the disk; they are brought back from other nodes where those have them",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_core::{config::StorageConfig, ports::StoreError};

    use super::*;
    use crate::Storage;

    #[tokio::test]
    async fn a_store_whose_committing_thread_has_panicked_is_unhealthy() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path(), &StorageConfig::default()).unwrap();
        let store = storage.local();
        assert_eq!(store.check().await, Finding::Working);
        let committer = &store.0.committer;
        let bug = |_: &mut Transaction<'_>| -> Result<(), StoreError> { panic!("a test") };
        assert!(committer.run(Need::Nothing, bug).await.is_err());
        // The queue is closed when the second change is refused.
        let refused = committer.run(Need::Nothing, |_| Ok(())).await.unwrap_err();
        assert!(refused.to_string().contains("restart the node"), "{refused}");
        let found = store.check().await;
        assert!(
            matches!(&found, Finding::Failed(trouble) if trouble.action.contains("restart")),
            "{found:?}"
        );
    }
}

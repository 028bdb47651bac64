//! What is left in the bucket and belongs to nothing any more.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use dm_core::{envelope::SignedEnvelope, ports::StoreError};
use object_store::path::Path;
use tokio::sync::mpsc;

use super::{S3Bodies, client::Client, fault::Fault, setup::Keys};
use crate::{
    commits::{
        committer::{Committer, Need},
        transaction::Transaction,
    },
    engine::Engine,
    objects::{
        bucket_index,
        epochs::Living,
        layout::TRAILER_LEN,
        record::BodyId,
        trailer::{envelope_len, stored_envelope},
    },
};

/// Keys and notes that are looked at at once.
const PAGE: usize = 1000;
/// Bodies whose deletion failed and that are remembered; the next start finds all.
const MAX_DELETIONS: usize = 64 * 1024;
/// How long a request of the collection is tried again: closing the store waits for it.
const COLLECTION_PATIENCE: Duration = Duration::from_secs(5);
/// Pause before a deletion is tried again.
const DELETION_PAUSE: Duration = Duration::from_secs(15);

/// Deletes later what could not be deleted at once.
pub(super) struct Deletions(mpsc::Sender<Path>);

impl Deletions {
    pub(super) fn start(client: Client) -> Self {
        let (sender, mut waiting) = mpsc::channel::<Path>(MAX_DELETIONS);
        let runtime = client.runtime().clone();
        runtime.spawn(async move {
            while let Some(key) = waiting.recv().await {
                while client.delete(&key).await.is_err() {
                    tokio::time::sleep(DELETION_PAUSE).await;
                }
            }
        });
        Self(sender)
    }

    /// Remembers a key, unless there are too many.
    pub(super) fn later(&self, key: Path) -> Result<(), ()> {
        self.0.try_send(key).map_err(|_| ())
    }
}

/// Ends the uploads that stores of ended epochs have begun.
pub(super) async fn abort_uploads(
    bodies: &S3Bodies,
    engine: &dyn Engine,
    committer: &Committer,
    living: &Living,
    stop: &AtomicBool,
) -> Result<(), StoreError> {
    let client = bodies.client.impatient(COLLECTION_PATIENCE);
    loop {
        let uploads = bucket_index::ended_uploads(engine, living, PAGE)?;
        if uploads.is_empty() {
            return Ok(());
        }
        for (body, upload) in uploads {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let aborted = client.abort_upload(&bodies.keys.body(body), &upload).await;
            aborted.map_err(|fault| bodies.store_error(fault))?;
            forget_upload(committer, body).await?;
        }
    }
}

/// Commits that an upload is over.
pub(super) async fn forget_upload(committer: &Committer, body: BodyId) -> Result<(), StoreError> {
    let forget = move |transaction: &mut Transaction<'_>| {
        bucket_index::delete_upload(transaction, body);
        Ok(())
    };
    committer.run(Need::Nothing, forget).await
}

/// Deletes bodies of ended epochs that belong to no object: those whose commit never
/// happened, and those that outlived their object.
pub(super) async fn delete_orphans(
    bodies: &S3Bodies,
    engine: &dyn Engine,
    living: &Living,
    stop: &AtomicBool,
) -> Result<(), StoreError> {
    let client = bodies.client.impatient(COLLECTION_PATIENCE);
    let mut after = None;
    loop {
        let listed = client.list(&bodies.keys.bodies(), after, PAGE).await;
        let listed = listed.map_err(|fault| bodies.store_error(fault))?;
        let Some(last) = listed.last() else {
            return Ok(());
        };
        after = Some(last.clone());
        for key in listed {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let Some(body) = bodies.keys.parse_body(&key) else {
                continue;
            };
            if living.has_ended(body.epoch) && !bucket_index::has_body(engine, body)? {
                let deleted = client.delete(&key).await;
                deleted.map_err(|fault| bodies.store_error(fault))?;
                tracing::debug!(%key, "deleted a body in the bucket that belongs to no object");
            }
        }
    }
}

/// The whole bodies of epochs after this one.
pub(super) async fn bodies_after(
    client: &Client,
    keys: &Keys,
    epoch: u64,
) -> Result<Vec<(BodyId, SignedEnvelope)>, Fault> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let listed = client.list(&keys.bodies(), after, PAGE).await?;
        let Some(last) = listed.last() else {
            return Ok(found);
        };
        after = Some(last.clone());
        for key in &listed {
            let body = keys.parse_body(key).filter(|body| body.epoch > epoch);
            if let Some(body) = body
                && let Some(envelope) = envelope_of(client, key).await?
            {
                found.push((body, envelope));
            }
        }
    }
}

/// The envelope that a body was stored with; `None` where the body is not whole.
async fn envelope_of(client: &Client, key: &Path) -> Result<Option<SignedEnvelope>, Fault> {
    let (fixed, size) = match client.read_end(key, TRAILER_LEN).await {
        Err(Fault::Missing | Fault::BeyondEnd) => return Ok(None),
        read => read?,
    };
    let Some(fixed_at) = size.checked_sub(TRAILER_LEN) else {
        return Ok(None);
    };
    let len = <[u8; TRAILER_LEN as usize]>::try_from(&fixed[..]).ok();
    let Some(len) = len.and_then(|fixed| envelope_len(fixed, fixed_at)) else {
        return Ok(None);
    };
    let (bytes, _): (Bytes, u64) = client.read(key, fixed_at - len..fixed_at).await?;
    Ok(stored_envelope(bytes, fixed_at - len))
}

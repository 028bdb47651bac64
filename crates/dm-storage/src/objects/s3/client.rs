//! Requests to the store, each tried again for as long as the settings say.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload,
    aws::AmazonS3,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use tokio::runtime::Handle;

use super::fault::Fault;
use crate::disk::write_state::WriteState;

/// Pause before the first repetition; it grows from there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A small request is given up and tried again after this part of the whole time, so that one
/// answer that never comes does not use it up.
const TRIES: u32 = 3;

/// One store; clones are the same.
#[derive(Clone)]
pub(super) struct Client {
    store: Arc<AmazonS3>,
    /// Where requests run: signing hashes what is sent.
    runtime: Handle,
    /// How long a request is tried again.
    patience: Duration,
    /// How the last requests went.
    pub(super) state: WriteState,
}

impl Client {
    pub(super) fn new(store: AmazonS3, runtime: Handle, patience: Duration) -> Self {
        Self {
            store: Arc::new(store),
            runtime,
            patience,
            state: WriteState::default(),
        }
    }

    /// A client of the same store that tries everything once, for this long.
    pub(super) fn impatient(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The bytes of a range, and how many the object has in all. Fewer than asked for are a
    /// fault.
    pub(super) async fn read(&self, key: &Path, range: Range<u64>) -> Result<(Bytes, u64), Fault> {
        let len = range.end - range.start;
        let (bytes, size) = self.read_range(key, GetRange::Bounded(range)).await?;
        if bytes.len() as u64 == len {
            Ok((bytes, size))
        } else {
            Err(Fault::BeyondEnd)
        }
    }

    /// The last `len` bytes, and how many the object has in all.
    pub(super) async fn read_end(&self, key: &Path, len: u64) -> Result<(Bytes, u64), Fault> {
        self.read_range(key, GetRange::Suffix(len)).await
    }

    async fn read_range(&self, key: &Path, range: GetRange) -> Result<(Bytes, u64), Fault> {
        let key = key.clone();
        self.retrying(self.patience / TRIES, move |store| {
            let (key, range) = (key.clone(), range.clone());
            async move {
                let options = GetOptions {
                    range: Some(range),
                    ..GetOptions::default()
                };
                let found = store.get_opts(&key, options).await?;
                let size = found.meta.size;
                Ok((found.bytes().await?, size))
            }
        })
        .await
    }

    /// A whole small object.
    pub(super) async fn read_all(&self, key: &Path) -> Result<Bytes, Fault> {
        let key = key.clone();
        self.retrying(self.patience / TRIES, move |store| {
            let key = key.clone();
            async move { store.get(&key).await?.bytes().await }
        })
        .await
    }

    pub(super) async fn put(&self, key: &Path, bytes: Bytes) -> Result<(), Fault> {
        let key = key.clone();
        self.retrying(self.patience, move |store| {
            let (key, payload) = (key.clone(), PutPayload::from(bytes.clone()));
            async move { store.put(&key, payload).await.map(drop) }
        })
        .await
    }

    /// Deletes an object; one that is gone already is no fault.
    pub(super) async fn delete(&self, key: &Path) -> Result<(), Fault> {
        let key = key.clone();
        let deleted = self.retrying(self.patience / TRIES, move |store| {
            let key = key.clone();
            async move { store.delete(&key).await }
        });
        match deleted.await {
            Err(Fault::Missing) => Ok(()),
            other => other,
        }
    }

    /// At most this many keys under a prefix, in their order, after `after`.
    pub(super) async fn list(
        &self,
        prefix: &Path,
        after: Option<Path>,
        limit: usize,
    ) -> Result<Vec<Path>, Fault> {
        let prefix = prefix.clone();
        self.retrying(self.patience, move |store| {
            let listed: BoxStream<'static, _> = match &after {
                Some(after) => store.list_with_offset(Some(&prefix), after),
                None => store.list(Some(&prefix)),
            };
            listed.take(limit).try_fold(Vec::new(), |mut keys, object| {
                keys.push(object.location);
                future::ready(Ok(keys))
            })
        })
        .await
    }

    /// Begins an upload in parts; its id.
    pub(super) async fn begin_upload(&self, key: &Path) -> Result<String, Fault> {
        let key = key.clone();
        self.retrying(self.patience / TRIES, move |store| {
            let key = key.clone();
            async move { store.create_multipart(&key).await }
        })
        .await
    }

    /// Sends a part; parts are counted from 0.
    pub(super) async fn put_part(
        &self,
        key: &Path,
        upload: &str,
        part: usize,
        bytes: Bytes,
    ) -> Result<PartId, Fault> {
        let (key, upload) = (key.clone(), upload.to_owned());
        self.retrying(self.patience, move |store| {
            let (key, upload, payload) = (key.clone(), upload.clone(), PutPayload::from(bytes.clone()));
            async move { store.put_part(&key, &upload, part, payload).await }
        })
        .await
    }

    /// Makes an object of its parts. Where the answer was lost, and the upload is not known
    /// any more, an object of the right length is what came of it.
    pub(super) async fn complete_upload(
        &self,
        key: &Path,
        upload: &str,
        parts: Vec<PartId>,
        len: u64,
    ) -> Result<(), Fault> {
        let (path, id) = (key.clone(), upload.to_owned());
        let completed = self.retrying(self.patience, move |store| {
            let (path, id, parts) = (path.clone(), id.clone(), parts.clone());
            async move { store.complete_multipart(&path, &id, parts).await.map(drop) }
        });
        match completed.await {
            Err(Fault::NoUpload) => match self.read_end(key, 1).await {
                Ok((_, size)) if size == len => Ok(()),
                Ok(_) | Err(Fault::Missing) => Err(Fault::NoUpload),
                Err(fault) => Err(fault),
            },
            other => other,
        }
    }

    /// Ends an upload; one that is gone already is no fault.
    pub(super) async fn abort_upload(&self, key: &Path, upload: &str) -> Result<(), Fault> {
        let (key, upload) = (key.clone(), upload.to_owned());
        let aborted = self.retrying(self.patience / TRIES, move |store| {
            let (key, upload) = (key.clone(), upload.clone());
            async move { store.abort_multipart(&key, &upload).await }
        });
        match aborted.await {
            Err(Fault::NoUpload | Fault::Missing) => Ok(()),
            other => other,
        }
    }

    /// Asks until there is an answer that asking again would not change. Each try is signed
    /// anew, with the credentials of that moment, and may take as long as `limit`.
    async fn retrying<T, Ask, Answer>(&self, limit: Duration, ask: Ask) -> Result<T, Fault>
    where
        T: Send + 'static,
        Ask: Fn(Arc<AmazonS3>) -> Answer,
        Answer: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let started = Instant::now();
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times();
        let mut pauses = pauses.build();
        loop {
            let answer = ask(self.store.clone());
            let answer = self
                .runtime
                .spawn(async move { tokio::time::timeout(limit, answer).await });
            let fault = match answer.await {
                Ok(Ok(Ok(value))) => {
                    self.state.succeeded();
                    return Ok(value);
                }
                Ok(Ok(Err(error))) => Fault::of(&error),
                Ok(Err(_)) => Fault::Passing(format!("no answer within {limit:?}")),
                Err(error) => Fault::Permanent(error.to_string()),
            };
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            if fault.may_pass() && started.elapsed() + pause < self.patience {
                tracing::debug!(reason = fault.reason(), "a request to the S3 store is made again");
                tokio::time::sleep(pause).await;
                continue;
            }
            if fault.is_of_the_store() {
                self.state.failed(&fault.reason());
            } else {
                self.state.succeeded();
            }
            return Err(fault);
        }
    }
}

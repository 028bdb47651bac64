//! Takes a body over into the bucket: parts are sent from the local file while more is
//! being written, several at a time.

use std::{collections::BTreeMap, fs::File, mem, ops::Range, os::unix::fs::FileExt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{envelope::SignedEnvelope, ports::StoreError};
use futures::{StreamExt, stream::FuturesUnordered};
use object_store::{multipart::PartId, path::Path};
use tokio::{sync::Semaphore, task::JoinHandle};

use super::{S3Bodies, client::Client, collecting::forget_upload};
use crate::{
    blocking::blocking,
    commits::{
        committer::{Committer, Need},
        transaction::Transaction,
    },
    error::failed,
    objects::{
        bodies::{Placed, Receiver, Written},
        bucket_index,
        layout::{GROUP_CHUNKS, NAMES_LEN, chunk_offset, name_offset},
        record::BodyId,
    },
};

/// Parts of one body that are sent or wait to be sent; the writer waits when there are more.
const MAX_AHEAD: usize = 4;
/// Most parts of an S3 object.
const MAX_PARTS: u64 = 10_000;

/// A body on its way into the bucket. What was sent is taken back when it is dropped.
pub(super) struct PartUploads {
    target: Target,
    part_bytes: u64,
    /// Set with the first part.
    upload: Option<String>,
    /// Parts that are written and whose names of chunks are not complete yet.
    waiting: Vec<u64>,
    /// The first part that is not written yet.
    next: u64,
    running: FuturesUnordered<JoinHandle<Result<(u64, PartId), StoreError>>>,
    sent: BTreeMap<u64, PartId>,
}

/// Where a body goes.
#[derive(Clone)]
struct Target {
    client: Client,
    key: Path,
    url: String,
    body: BodyId,
    committer: Arc<Committer>,
    permits: Arc<Semaphore>,
}

impl PartUploads {
    pub(super) fn new(bodies: &S3Bodies, body: BodyId, committer: Arc<Committer>) -> Self {
        Self {
            target: Target {
                client: bodies.client.clone(),
                key: bodies.keys.body(body),
                url: bodies.url.to_string(),
                body,
                committer,
                permits: bodies.permits.clone(),
            },
            part_bytes: bodies.part_bytes,
            upload: None,
            waiting: Vec::new(),
            next: 0,
            running: FuturesUnordered::new(),
            sent: BTreeMap::new(),
        }
    }

    fn range(&self, part: u64) -> Range<u64> {
        part * self.part_bytes..(part + 1) * self.part_bytes
    }

    /// Begins to send a part, when few enough are under way.
    async fn send(&mut self, file: &Arc<File>, part: u64, range: Range<u64>) -> Result<(), StoreError> {
        if part >= MAX_PARTS {
            return Err(StoreError::Unavailable(format!(
                "{}: an object has at most {MAX_PARTS} parts of {} bytes; raise storage.s3.part_bytes",
                self.target.url, self.part_bytes
            )));
        }
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let upload = self.target.begin_upload().await?;
                self.upload = Some(upload.clone());
                upload
            }
        };
        while self.running.len() >= MAX_AHEAD {
            self.take_sent().await?;
        }
        let (target, file) = (self.target.clone(), file.clone());
        let sending = async move { Ok((part, target.send_part(&upload, part, file, range).await?)) };
        self.running.push(self.target.client.runtime().spawn(sending));
        Ok(())
    }

    async fn take_sent(&mut self) -> Result<(), StoreError> {
        if let Some(sent) = self.running.next().await {
            let (part, id) = sent.unwrap_or_else(|error| Err(failed(error)))?;
            self.sent.insert(part, id);
        }
        Ok(())
    }

    /// Sends what has not been sent, and makes an object of it.
    async fn send_rest(&mut self, file: &Arc<File>, len: u64) -> Result<(), StoreError> {
        let parts = len.div_ceil(self.part_bytes);
        let rest: Vec<u64> = self.waiting.drain(..).chain(self.next..parts).collect();
        for part in rest {
            let Range { start, end } = self.range(part);
            self.send(file, part, start..end.min(len)).await?;
        }
        while !self.running.is_empty() {
            self.take_sent().await?;
        }
        let sent = mem::take(&mut self.sent).into_values().collect();
        self.target
            .complete_upload(self.upload.as_deref().unwrap_or_default(), sent, len)
            .await
    }
}

#[async_trait]
impl Receiver for PartUploads {
    async fn advance(&mut self, file: &Arc<File>, chunks: u64) -> Result<(), StoreError> {
        while self.range(self.next).end <= final_end(chunks) {
            self.waiting.push(self.next);
            self.next += 1;
        }
        let (ready, waiting): (Vec<u64>, Vec<u64>) = mem::take(&mut self.waiting)
            .into_iter()
            .partition(|part| is_final(&self.range(*part), chunks));
        self.waiting = waiting;
        for part in ready {
            self.send(file, part, self.range(part)).await?;
        }
        Ok(())
    }

    async fn complete(
        mut self: Box<Self>,
        written: Written,
        _: &SignedEnvelope,
    ) -> Result<Box<dyn Placed>, StoreError> {
        let Written {
            file,
            mut unfinished,
            len,
        } = written;
        let sent = if len <= self.part_bytes {
            self.target.put_whole(file, len).await
        } else {
            self.send_rest(&file, len).await
        };
        if let Err(error) = sent {
            // Whatever could be gone on with before can still be.
            unfinished.stay();
            return Err(error);
        }
        self.upload = None;
        Ok(Box::new(BodyInBucket {
            target: Some(self.target.clone()),
        }))
    }
}

impl Drop for PartUploads {
    fn drop(&mut self) {
        for sending in &self.running {
            sending.abort();
        }
        if let Some(upload) = self.upload.take() {
            let target = self.target.clone();
            self.target.client.runtime().spawn(async move {
                match target.client.abort_upload(&target.key, &upload).await {
                    Ok(()) => target.forget_upload().await,
                    Err(fault) => tracing::warn!(
                        reason = fault.reason(),
                        "an unfinished upload to the bucket stays until the next start"
                    ),
                }
            });
        }
    }
}

impl Target {
    /// Begins an upload, of which a note is durable before anything is sent.
    async fn begin_upload(&self) -> Result<String, StoreError> {
        let begun = self.client.begin_upload(&self.key).await;
        let upload = begun.map_err(|fault| fault.into_store_error(&self.url))?;
        let (body, id) = (self.body, upload.clone());
        let note = move |transaction: &mut Transaction<'_>| {
            bucket_index::put_upload(transaction, body, &id);
            Ok(())
        };
        self.committer.run(Need::Nothing, note).await?;
        Ok(upload)
    }

    async fn send_part(
        &self,
        upload: &str,
        part: u64,
        file: Arc<File>,
        range: Range<u64>,
    ) -> Result<PartId, StoreError> {
        // Held while the part is in memory.
        let _permit = self.permits.acquire().await.map_err(failed)?;
        let bytes = read(file, range).await?;
        let sent = self
            .client
            .put_part(&self.key, upload, part as usize, bytes)
            .await;
        sent.map_err(|fault| fault.into_store_error(&self.url))
    }

    async fn put_whole(&self, file: Arc<File>, len: u64) -> Result<(), StoreError> {
        let _permit = self.permits.acquire().await.map_err(failed)?;
        let bytes = read(file, 0..len).await?;
        let put = self.client.put(&self.key, bytes).await;
        put.map_err(|fault| fault.into_store_error(&self.url))
    }

    async fn complete_upload(&self, upload: &str, parts: Vec<PartId>, len: u64) -> Result<(), StoreError> {
        let completed = self.client.complete_upload(&self.key, upload, parts, len).await;
        completed.map_err(|fault| fault.into_store_error(&self.url))
    }

    /// Takes back the note of an upload that has ended.
    async fn forget_upload(&self) {
        if let Err(error) = forget_upload(&self.committer, self.body).await {
            tracing::debug!(%error, "the note of an upload stays until the next start");
        }
    }
}

async fn read(file: Arc<File>, range: Range<u64>) -> Result<Bytes, StoreError> {
    blocking(move || {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start)
            .map_err(StoreError::from_io)?;
        Ok(bytes.into())
    })
    .await
}

/// A body in the bucket of which no record is committed yet.
struct BodyInBucket {
    target: Option<Target>,
}

impl Placed for BodyInBucket {
    fn keep(mut self: Box<Self>) {
        self.target = None;
    }
}

impl Drop for BodyInBucket {
    fn drop(&mut self) {
        let Some(target) = self.target.take() else {
            return;
        };
        let runtime = target.client.runtime().clone();
        runtime.spawn(async move {
            match target.client.delete(&target.key).await {
                Ok(()) => target.forget_upload().await,
                Err(fault) => tracing::warn!(
                    reason = fault.reason(),
                    "the body of a refused object stays in the bucket until the next start"
                ),
            }
        });
    }
}

/// Up to where a file does not change any more, names of chunks excepted, when its first
/// `chunks` chunks are written. The last one counts for nothing: it may be short, and the
/// trailer follow.
fn final_end(chunks: u64) -> u64 {
    chunks.checked_sub(1).map_or(0, chunk_offset)
}

/// Whether a range that ends before [`final_end`] has all names of its chunks.
fn is_final(range: &Range<u64>, chunks: u64) -> bool {
    let names = name_offset(chunks / GROUP_CHUNKS * GROUP_CHUNKS);
    range.end <= names || range.start >= names + NAMES_LEN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sent_early_does_not_change_any_more(
            chunks in 0..3 * GROUP_CHUNKS,
            part in 0..60_u64,
            more in 1..2 * GROUP_CHUNKS,
        ) {
            let part_bytes = 8 << 20;
            let range = part * part_bytes..(part + 1) * part_bytes;
            if range.end <= final_end(chunks) && is_final(&range, chunks) {
                for later in chunks..chunks + more {
                    let (name, chunk) = (name_offset(later), chunk_offset(later));
                    prop_assert!(!range.contains(&name) && !range.contains(&(name + 31)));
                    prop_assert!(range.end <= chunk);
                }
            }
        }
    }

    #[test]
    fn the_part_with_the_names_waits_for_its_group_and_no_other_part_does() {
        let part = |index: u64| index * (8 << 20)..(index + 1) * (8 << 20);
        assert!(!is_final(&part(0), GROUP_CHUNKS - 1));
        assert!(is_final(&part(0), GROUP_CHUNKS));
        assert!(is_final(&part(1), 80) && part(1).end <= final_end(80));
        assert!(part(1).end > final_end(50));
    }
}

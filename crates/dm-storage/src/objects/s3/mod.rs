//! Large bodies in a bucket of an S3 store, one S3 object each.
//!
//! | key, behind the prefix | what |
//! | --- | --- |
//! | `store.json` | whose bucket this is, and the epoch of the last store over it |
//! | `bodies/XX/BODY` | a body, laid out as a file is; `XX` spreads the keys |
//! | `probe/…` | what the probe at the start writes, and deletes |

mod client;
mod collecting;
mod credentials;
mod fault;
mod marker;
mod probe;
mod read_ahead;
mod setup;
mod upload;

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    Address,
    config::{ObjectsUrl, S3Config},
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::ChunkName,
    ports::StoreError,
};
use futures::future;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use self::{
    client::Client,
    collecting::Deletions,
    fault::Fault,
    marker::Marker,
    read_ahead::{ReadAhead, Source},
    setup::Keys,
    upload::PartUploads,
};
use super::{
    bodies::{Bodies, ReadError, Reading, Receiver},
    bucket::Bucket,
    epochs::Living,
    layout::{GROUP_CHUNKS, NAME_LEN, chunk_offset, name_offset, name_runs, names_in},
    record::{Body, BodyId},
};
use crate::{
    blocking::Background,
    commits::committer::Committer,
    disk::write_state::WriteFault,
    engine::Engine,
    error::{StorageFault, failed},
};

/// Threads for requests: signing hashes what is sent, and TLS encrypts it.
const THREADS: usize = 2;
/// Blocks of names that are kept in memory, 16 KiB each: those of 32 GiB of data.
const NAME_BLOCKS: usize = 256;
/// Bytes of parts that are in memory at the same time, of all uploads together.
const PART_MEMORY: u64 = 64 << 20;
/// How long a removal, and a look at how the store is, waits for it.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// Bodies in a bucket.
pub(in crate::objects) struct S3Bodies {
    url: ObjectsUrl,
    keys: Keys,
    client: Client,
    /// What was there when this was opened.
    marker: Marker,
    part_bytes: u64,
    /// One for each part that may be in memory.
    permits: Arc<Semaphore>,
    /// Names of chunks, by body and group.
    names: Cache<(BodyId, u64), Bytes>,
    read_ahead: ReadAhead,
    deletions: Deletions,
    /// Last, so that it outlives what uses it.
    _runtime: Background,
}

impl S3Bodies {
    /// Opens the bucket, and tries whether it keeps what it promises. Blocks for some round
    /// trips and the sending of 5 MiB.
    ///
    /// # Errors
    /// [`StorageFault::BrokenBucket`] where it does not, [`StorageFault::BucketOfAnother`]
    /// where another account has it, [`StoreError::Unavailable`] where it does not answer.
    pub(in crate::objects) fn open(
        url: &str,
        config: &S3Config,
        account: Address,
    ) -> Result<Self, StoreError> {
        let url: ObjectsUrl = url.parse().map_err(failed)?;
        let runtime = Background::start("dm-storage-s3", THREADS)?;
        let store = setup::store(&url, config)?;
        let patience = Duration::from_secs(config.retry_timeout_secs);
        let client = Client::new(store, runtime.handle(), patience);
        let keys = Keys::of(&url)?;
        let marker = block_on(&client, async {
            probe::run(&client, &keys, &url).await?;
            Marker::read(&client, &keys, &url, account).await
        })?;
        let permits = usize::try_from(PART_MEMORY / config.part_bytes).unwrap_or_default();
        Ok(Self {
            deletions: Deletions::start(client.clone()),
            url,
            keys,
            client,
            marker,
            part_bytes: config.part_bytes,
            permits: Arc::new(Semaphore::new(permits.max(2))),
            names: Cache::new(NAME_BLOCKS),
            read_ahead: ReadAhead::default(),
            _runtime: runtime,
        })
    }

    fn store_error(&self, fault: Fault) -> StoreError {
        fault.into_store_error(&self.url.to_string())
    }

    fn read_error(&self, fault: Fault) -> ReadError {
        match fault {
            Fault::Missing => ReadError::Gone,
            Fault::BeyondEnd => ReadError::cut_short(),
            fault => ReadError::Store(self.store_error(fault)),
        }
    }

    async fn read(&self, body: BodyId, range: Range<u64>) -> Result<Bytes, ReadError> {
        let read = self.client.read(&self.keys.body(body), range).await;
        read.map(|(bytes, _)| bytes)
            .map_err(|fault| self.read_error(fault))
    }

    /// A run of names of one group, as they stand in the body.
    async fn read_run(&self, body: BodyId, run: Range<u64>) -> Result<Bytes, ReadError> {
        let begin = name_offset(run.start);
        self.read(body, begin..begin + (run.end - run.start) * NAME_LEN)
            .await
    }

    /// The name of a chunk. Those of its group are kept in memory.
    async fn name(
        &self,
        envelope: &SignedEnvelope,
        body: BodyId,
        index: u64,
    ) -> Result<ChunkName, ReadError> {
        let group = index / GROUP_CHUNKS;
        let first = group * GROUP_CHUNKS;
        let block = match self.names.get(&(body, group)) {
            Some(block) => block,
            None => {
                let end = (first + GROUP_CHUNKS).min(envelope.chunk_count());
                let block = self.read_run(body, first..end).await?;
                self.names.insert((body, group), block.clone());
                block
            }
        };
        let name = names_in(&block).nth((index - first) as usize);
        name.ok_or_else(ReadError::cut_short)
    }

    async fn bytes(&self, envelope: &SignedEnvelope, body: BodyId, index: u64) -> Result<Bytes, ReadError> {
        let begin = chunk_offset(index);
        self.read(body, begin..begin + envelope.chunk_len(index)).await
    }

    /// The bytes of a chunk, which may have been read ahead.
    async fn usual_bytes(
        &self,
        envelope: &SignedEnvelope,
        body: BodyId,
        index: u64,
    ) -> Result<Bytes, ReadError> {
        let source = Source {
            client: &self.client,
            key: self.keys.body(body),
            body,
            envelope,
        };
        match self.read_ahead.chunk(source, index).await {
            Some(read) => read.map_err(|fault| self.read_error(fault)),
            None => self.bytes(envelope, body, index).await,
        }
    }

    async fn chunk_in_store(
        &self,
        envelope: &SignedEnvelope,
        body: BodyId,
        index: u64,
    ) -> Result<Chunk, ReadError> {
        let name = self.read_run(body, index..index + 1);
        let (name, bytes) = future::try_join(name, self.bytes(envelope, body, index)).await?;
        let chunk = names_in(&name)
            .next()
            .and_then(|name| Chunk::checked(name, bytes));
        chunk.ok_or_else(|| ReadError::damaged(index))
    }
}

/// Waits for the store on a thread of its own: the caller's may be an async one.
fn block_on<T: Send>(
    client: &Client,
    work: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.runtime().block_on(work));
        waiting
            .join()
            .unwrap_or_else(|_| Err(failed("the thread that waits for the bucket panicked")))
    })
}

#[async_trait]
impl Bodies for S3Bodies {
    fn place_of(&self, body: BodyId) -> Body {
        Body::Bucket(body)
    }

    fn receiver(&self, body: BodyId, committer: &Arc<Committer>) -> Box<dyn Receiver> {
        Box::new(PartUploads::new(self, body, committer.clone()))
    }

    async fn chunk(
        &self,
        envelope: &SignedEnvelope,
        body: BodyId,
        index: u64,
        reading: Reading,
    ) -> Result<Chunk, ReadError> {
        if reading == Reading::Usual {
            let name = self.name(envelope, body, index);
            let (name, bytes) = future::try_join(name, self.usual_bytes(envelope, body, index)).await?;
            if let Some(chunk) = Chunk::checked(name, bytes) {
                return Ok(chunk);
            }
            // What came may have been damaged on its way.
            self.names.remove(&(body, index / GROUP_CHUNKS));
        }
        self.chunk_in_store(envelope, body, index).await
    }

    async fn names(
        &self,
        _: &SignedEnvelope,
        body: BodyId,
        indexes: Range<u64>,
    ) -> Result<Vec<ChunkName>, ReadError> {
        let mut names = Vec::new();
        for run in name_runs(indexes) {
            names.extend(names_in(&self.read_run(body, run).await?));
        }
        Ok(names)
    }

    async fn remove(&self, _: &ObjectId, body: BodyId) -> Result<(), StoreError> {
        let key = self.keys.body(body);
        match self.client.impatient(SHORT_PATIENCE).delete(&key).await {
            Ok(()) => Ok(()),
            Err(fault) => self.deletions.later(key).map_err(|()| self.store_error(fault)),
        }
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let probe = self.keys.health_probe();
        let client = self.client.impatient(SHORT_PATIENCE);
        let written = client.put(&probe, Bytes::from_static(b"probe")).await;
        written.map_err(|fault| self.store_error(fault))
    }
}

impl Bucket for S3Bodies {
    fn url(&self) -> String {
        self.url.to_string()
    }

    fn last_epoch(&self) -> u64 {
        self.marker.epoch
    }

    fn begin_epoch(&self, epoch: u64) -> Result<(), StoreError> {
        block_on(&self.client, async {
            let marker = self.marker.of_epoch(epoch);
            marker
                .write(&self.client, &self.keys)
                .await
                .map_err(|fault| self.store_error(fault))
        })
    }

    fn bodies_after(&self, epoch: u64) -> Result<Vec<(BodyId, SignedEnvelope)>, StoreError> {
        block_on(&self.client, async {
            let found = collecting::bodies_after(&self.client, &self.keys, epoch).await;
            found.map_err(|fault| self.store_error(fault))
        })
    }

    fn collect(
        &self,
        engine: &dyn Engine,
        committer: &Committer,
        living: &Living,
        stop: &AtomicBool,
    ) -> Result<(), StoreError> {
        block_on(&self.client, async {
            collecting::abort_uploads(self, engine, committer, living, stop).await?;
            collecting::delete_orphans(self, engine, living, stop).await
        })
    }

    fn fault(&self) -> Option<WriteFault> {
        self.client.state.fault()
    }
}

/// What a bucket does that is none to keep objects in.
fn broken(url: &ObjectsUrl, what: impl Into<String>) -> StoreError {
    StorageFault::BrokenBucket {
        url: url.to_string(),
        what: what.into(),
    }
    .into()
}

//! Reading data: from the local store, else from the network, every byte
//! checked before it is handed on.

use std::{ops::Range, sync::Arc};

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    descriptor::{Description, Descriptor},
    envelope::{CHUNK_SIZE, Chunk, SignedEnvelope},
    hash::DataHash,
    plugin::{Hook, Notes, ReceiveStage, ReceivedView},
    ports::{
        Erasures, Found, Grants, InboxCatalog, KeyRing, ObjectExchange, ObjectStore, ReadableObjects,
        StoreError,
    },
    secret::ContentKey,
    share::ReadableObject,
    trace::{Trace, TraceReport, TraceSource},
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{Basis, DataLocks, DataPorts, consult::Consultation, objects::OwnObjects, seal::Sealing};
use crate::{Deliveries, KnownObjects, ServiceError, remembered::RememberedObjects};

mod check;
mod retrievals;

use retrievals::Retrievals;

/// Chunks that are read ahead and decrypted at the same time.
const READ_AHEAD: usize = 4;

/// Data that this node may read.
pub struct OpenObject {
    reader: Reader,
    data_hash: DataHash,
    envelope: SignedEnvelope,
    key: ContentKey,
    source: Source,
    notes: Notes,
    trace: Trace,
}

/// Where the chunks come from.
enum Source {
    /// From the local store, and the plaintext has been checked before.
    Checked,
    /// From the local store; whether the plaintext has the right hash is open.
    Local,
    /// From peers.
    Remote(Box<Found>),
}

/// Reads data; cheap to clone.
#[derive(Clone)]
pub(super) struct Reader {
    objects: Arc<dyn ObjectStore>,
    known: KnownObjects,
    readable: Arc<dyn ReadableObjects>,
    inbox: Arc<dyn InboxCatalog>,
    deliveries: Option<Deliveries>,
    erasures: Arc<dyn Erasures>,
    key_ring: Arc<dyn KeyRing>,
    grants: Arc<dyn Grants>,
    network: Arc<dyn ObjectExchange>,
    locks: DataLocks,
    own: Arc<OwnObjects>,
    sealing: Arc<Sealing>,
    plugins: Arc<Consultation>,
    /// Objects whose plaintext had another hash than that under which they were found.
    distrust: Arc<RememberedObjects>,
    retrievals: Arc<Retrievals>,
}

impl Reader {
    pub(super) fn new(ports: &DataPorts, basis: &Basis) -> Self {
        Self {
            objects: ports.objects.clone(),
            known: basis.known.clone(),
            readable: ports.catalog.clone(),
            inbox: ports.catalog.clone(),
            deliveries: ports.deliveries.clone(),
            erasures: ports.catalog.clone(),
            key_ring: ports.key_ring.clone(),
            grants: ports.grants.clone(),
            network: ports.network.clone(),
            locks: basis.locks.clone(),
            own: basis.own.clone(),
            sealing: basis.sealing.clone(),
            plugins: basis.plugins.clone(),
            distrust: Arc::default(),
            retrievals: Arc::default(),
        }
    }

    /// See [`DataManager::open`](super::DataManager::open).
    #[tracing::instrument(level = "debug", skip_all, fields(locator = %data_hash.locator()))]
    pub(super) async fn open(&self, data_hash: &DataHash) -> Result<OpenObject, ServiceError> {
        let mut object = self.find_object(data_hash).await?;
        if self.comes_first(&object) && self.plugins.have_say_in(Hook::Receive) {
            let received = self.received(&object).await?;
            object.notes = self.plugins.consult_on_receipt(&received).await?;
        }
        let notes = self.plugins.consult_on_retrieval(data_hash, &object.envelope);
        object.notes.extend(notes.await?);
        Ok(object)
    }

    /// Whether this node reads an object of somebody else for the first time.
    fn comes_first(&self, object: &OpenObject) -> bool {
        !matches!(object.source, Source::Checked) && object.envelope.id.owner != self.own.address()
    }

    async fn received(&self, object: &OpenObject) -> Result<ReceivedView, ServiceError> {
        let id = &object.envelope.id;
        let descriptor = object.descriptor();
        Ok(ReceivedView {
            data_hash: object.data_hash,
            owner: id.owner,
            size: object.size(),
            anchored: self.inbox.inbox_item(id).await?.is_some_and(|item| item.anchored),
            description: descriptor.map_or_else(Description::default, |said| said.description),
            stage: ReceiveStage::Fetch,
        })
    }

    async fn find_object(&self, data_hash: &DataHash) -> Result<OpenObject, ServiceError> {
        let trace = Trace::default();
        let readable = self.readable.readable(data_hash).await?;
        if let Some(readable) = &readable
            && let Some(envelope) = self.objects.envelope(&readable.id).await?
            && !envelope.is_expired(now_ms())
            && let Some(readable) = self.own.with_key_for(&envelope, readable.clone()).await?
        {
            let key = self.key_ring.unwrap(&readable.key)?;
            return Ok(self.opened(data_hash, envelope, key, Source::Checked, trace));
        }
        self.open_unchecked(data_hash, readable, trace).await
    }

    /// Fetches an object from peers whose key is here, checks it, and keeps it.
    pub(super) async fn fetch_back(&self, data_hash: &DataHash) -> Result<(), ServiceError> {
        let mut pieces = check::whole(self.find_object(data_hash).await?);
        while pieces.try_next().await?.is_some() {}
        Ok(())
    }

    /// See [`DataManager::retrieval`](super::DataManager::retrieval).
    pub(super) fn retrieval(&self, id: &str) -> Option<TraceReport> {
        self.retrievals.report(id)
    }

    /// See [`DataManager::readers`](super::DataManager::readers).
    pub(super) async fn readers(&self, data_hash: &DataHash) -> Result<Vec<Address>, ServiceError> {
        let own = self.own.address();
        let envelopes = self.known.envelopes(&data_hash.locator()).await?;
        let now = now_ms();
        let mut present = envelopes
            .iter()
            .filter(|envelope| !envelope.is_gone(now))
            .peekable();
        if present.peek().is_none() {
            return Err(ServiceError::NotFound);
        }
        if let Some(envelope) = present.clone().find(|envelope| envelope.id.owner == own) {
            return Ok(envelope.grants.iter().map(|grant| grant.recipient).collect());
        }
        match present.any(|envelope| envelope.grants_to(own)) {
            true => Ok(vec![own]),
            false => Err(ServiceError::NotGranted),
        }
    }

    /// Looks for an object that this node can open, here and then at peers: by a grant,
    /// or by the key that it has kept of an object that its store has lost.
    /// Who has shared the data with this node, as far as it knows: peers are asked for their
    /// objects, so that no others under the same locator hide them.
    async fn owners_of(
        &self,
        data_hash: &DataHash,
        readable: Option<&ReadableObject>,
    ) -> Result<Vec<Address>, ServiceError> {
        let known = readable.map(|readable| readable.id.owner);
        let items = self.inbox.items_of(data_hash).await?;
        let senders = items.iter().map(|item| item.owner);
        Ok(known
            .into_iter()
            .chain(senders.filter(|sender| Some(*sender) != known))
            .collect())
    }

    async fn open_unchecked(
        &self,
        data_hash: &DataHash,
        readable: Option<ReadableObject>,
        trace: Trace,
    ) -> Result<OpenObject, ServiceError> {
        let locator = data_hash.locator();
        let local = self.known.envelopes(&locator).await?;
        let now = now_ms();
        for envelope in local.iter().filter(|envelope| !envelope.is_gone(now)) {
            if let Some(key) = self.open_grant(envelope) {
                return Ok(self.opened(data_hash, envelope.clone(), key, Source::Local, trace));
            }
        }
        let mut exists = local.iter().any(|envelope| !envelope.is_gone(now));
        let network = &self.network;
        let owners = self.owners_of(data_hash, readable.as_ref()).await?;
        let known = network.find_at_known(&locator, &owners, &trace).await?;
        let known = present(known, &local);
        exists |= !known.is_empty();
        let granted = match self.opened_among(known, readable.as_ref()).await? {
            Some(granted) => Some(granted),
            None => {
                // Somebody else may have a newer envelope, with a grant.
                let found = present(network.find(&locator, &owners, &trace).await?, &local);
                exists |= !found.is_empty();
                self.opened_among(found, readable.as_ref()).await?
            }
        };
        match granted {
            Some((found, key)) => {
                let envelope = found.envelope.clone();
                let source = self.nearest_source(found).await?;
                Ok(self.opened(data_hash, envelope, key, source, trace))
            }
            None if exists => Err(ServiceError::NotGranted),
            None => Err(ServiceError::NotFound),
        }
    }

    /// The first object that this node may read, and its content key.
    async fn opened_among(
        &self,
        found: Vec<Found>,
        readable: Option<&ReadableObject>,
    ) -> Result<Option<(Found, ContentKey)>, ServiceError> {
        for found in found {
            let key = match self.kept_key(&found.envelope, readable).await? {
                Some(key) => Some(key),
                None => self.open_grant(&found.envelope),
            };
            if let Some(key) = key {
                return Ok(Some((found, key)));
            }
        }
        Ok(None)
    }

    /// The key that this node has kept for these chunks.
    async fn kept_key(
        &self,
        envelope: &SignedEnvelope,
        readable: Option<&ReadableObject>,
    ) -> Result<Option<ContentKey>, ServiceError> {
        let Some(readable) = readable else {
            return Ok(None);
        };
        match self.own.with_key_for(envelope, readable.clone()).await? {
            Some(kept) => Ok(Some(self.key_ring.unwrap(&kept.key)?)),
            None => Ok(None),
        }
    }

    /// A peer may have sent a newer envelope over chunks that are stored here.
    async fn nearest_source(&self, found: Found) -> Result<Source, ServiceError> {
        match self.objects.replace_envelope(&found.envelope).await {
            Ok(_) => Ok(Source::Local),
            Err(StoreError::Missing | StoreError::Mismatch(_)) => Ok(Source::Remote(Box::new(found))),
            Err(error) => Err(error.into()),
        }
    }

    /// The content key, where the envelope has a grant that this node can open
    /// and the object has not lied before.
    fn open_grant(&self, envelope: &SignedEnvelope) -> Option<ContentKey> {
        if self.distrust.contains(&envelope.id) {
            return None;
        }
        match self.grants.open_grant(envelope) {
            Ok(key) => key,
            Err(error) => {
                tracing::warn!(locator = %envelope.id.locator, owner = %envelope.id.owner, %error, "unusable grant");
                None
            }
        }
    }

    /// The plaintext of an object of this node's own.
    pub(super) fn read_own(
        &self,
        data_hash: &DataHash,
        envelope: SignedEnvelope,
        key: ContentKey,
    ) -> BoxStream<'static, Result<Bytes, ServiceError>> {
        let object = self.opened(data_hash, envelope, key, Source::Checked, Trace::default());
        let size = object.size();
        object.read_checked(0..size)
    }

    fn opened(
        &self,
        data_hash: &DataHash,
        envelope: SignedEnvelope,
        key: ContentKey,
        source: Source,
        trace: Trace,
    ) -> OpenObject {
        let traced = match source {
            Source::Checked | Source::Local => TraceSource::Store,
            Source::Remote(_) => TraceSource::Network,
        };
        trace.comes_from(traced, envelope.chunk_count());
        OpenObject {
            reader: self.clone(),
            data_hash: *data_hash,
            envelope,
            key,
            source,
            notes: Notes::new(),
            trace,
        }
    }
}

impl OpenObject {
    /// What plugins note on this retrieval.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// What the owner says of it; `None` for an object of an earlier version, or one whose
    /// descriptor cannot be read.
    pub fn descriptor(&self) -> Option<Descriptor> {
        self.reader.sealing.open_descriptor(&self.envelope, &self.key)
    }

    /// Plaintext bytes.
    pub fn size(&self) -> u64 {
        self.envelope.size
    }

    /// What this retrieval takes: noted while the pieces are read.
    pub fn trace(&self) -> Trace {
        self.trace.clone()
    }

    /// Lets the node remember what this retrieval takes, for
    /// [`DataManager::retrieval`](crate::DataManager::retrieval); returns its id.
    pub fn remembered(&self) -> String {
        self.reader.retrievals.add(self.trace())
    }

    /// The plaintext bytes in `range`, in pieces of at most 256 KiB. What lies
    /// beyond the end is not there.
    ///
    /// Every piece is checked against the chunk names that the owner signed. A
    /// plaintext that has not been checked against the data hash before is
    /// checked as it streams, and its last piece is held back until the hash
    /// holds; a part of it is only delivered after the whole was checked.
    /// Memory is bounded; dropping the stream ends all work for it.
    pub fn read(self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, ServiceError>> {
        let is_whole = range.start == 0 && range.end >= self.size();
        let trace = self.trace.clone();
        let pieces = match self.source {
            Source::Checked => self.read_checked(range),
            Source::Local | Source::Remote(_) if is_whole => check::whole(self),
            Source::Local | Source::Remote(_) => {
                stream::once(self.check_then_read(range)).try_flatten().boxed()
            }
        };
        let noted = stream::try_unfold(pieces, move |mut pieces| {
            let trace = trace.clone();
            async move {
                let piece = pieces.try_next().await?;
                if piece.is_none() {
                    trace.completed();
                }
                Ok(piece.map(|piece| (piece, pieces)))
            }
        });
        noted.boxed()
    }

    async fn check_then_read(
        self,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, ServiceError>>, ServiceError> {
        let (reader, data_hash) = (self.reader.clone(), self.data_hash);
        let mut whole = check::whole(self);
        while whole.try_next().await?.is_some() {}
        let checked = reader.find_object(&data_hash).await?;
        match checked.source {
            Source::Checked => Ok(checked.read_checked(range)),
            Source::Local | Source::Remote(_) => Err(ServiceError::Damaged(
                "the object was replaced while it was read".into(),
            )),
        }
    }

    fn read_checked(self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, ServiceError>> {
        let end = range.end.min(self.size());
        if range.start >= end {
            return stream::empty().boxed();
        }
        let chunks = range.start / CHUNK_SIZE..end.div_ceil(CHUNK_SIZE);
        let object = Arc::new(self);
        stream::iter(chunks)
            .map(move |index| {
                let object = object.clone();
                let wanted = range.start..end;
                async move {
                    let chunk = object.stored_chunk(index).await?;
                    let plaintext = object.open_chunk(index, chunk).await?;
                    Ok(part_of_chunk(index, &plaintext, &wanted))
                }
            })
            .buffered(READ_AHEAD)
            .boxed()
    }

    async fn stored_chunk(&self, index: u64) -> Result<Chunk, ServiceError> {
        Ok(self.reader.objects.chunk(&self.envelope.id, index).await?)
    }
}

/// Those objects that were not erased and have not ended, as far as is known here.
fn present(mut found: Vec<Found>, local: &[SignedEnvelope]) -> Vec<Found> {
    let is_outdated = |found: &Found| {
        local
            .iter()
            .any(|own| own.id == found.envelope.id && own.sequence > found.envelope.sequence)
    };
    let now = now_ms();
    found.retain(|found| !found.envelope.is_gone(now) && !is_outdated(found));
    found
}

/// What of a chunk's plaintext lies in the wanted range of the object.
fn part_of_chunk(index: u64, plaintext: &Bytes, wanted: &Range<u64>) -> Bytes {
    let first = index * CHUNK_SIZE;
    let start = wanted.start.saturating_sub(first).min(plaintext.len() as u64);
    let end = wanted.end.saturating_sub(first).min(plaintext.len() as u64);
    plaintext.slice(start as usize..end as usize)
}

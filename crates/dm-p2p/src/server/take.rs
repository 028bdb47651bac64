//! Receives the names and chunks of an object, and stores it. What came before the sender
//! was cut off stays, and the next attempt goes on behind it.

use std::pin::Pin;

use dm_core::{
    envelope::{Chunk, ChunkListHasher, MAX_CHUNK_BYTES, SignedEnvelope},
    hash::ChunkName,
    ports::{ObjectStore, ObjectWriter, Resumed, StoreError},
};
use futures::{
    AsyncRead, AsyncWrite, StreamExt,
    stream::{self, BoxStream},
};
use libp2p::PeerId;

use super::{
    Shared,
    memory::Reserved,
    receive::{Space, refusal_for},
    room::Reservation,
    transfers::Running,
};
use crate::wire::{MAX_NAMES_PER_PIECE, OfferAnswer, Refusal, Reply, Version, Wire, WireError, decode_names};

/// What the store gathers of an object before it writes, at most.
const GATHERED: u64 = 2 * 1024 * 1024;
/// The least that an object which is being received takes of the memory.
const LEAST: u64 = 1024 * 1024;

/// How taking an object ends early.
pub(super) enum Stop {
    /// This node cannot keep it.
    Refuse(Refusal),
    /// The stream is of no use any more.
    Broken(WireError),
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Self {
        Self::Broken(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refuse(refusal_for(&error))
    }
}

impl Stop {
    /// Whether the sender may go on later where it was.
    fn is_cut_off(&self) -> bool {
        matches!(self, Self::Broken(error) if !error.is_misbehaviour())
    }
}

/// Memory that it takes to receive an object: its names, and chunks on their way.
pub(super) fn memory_for(envelope: &SignedEnvelope) -> u64 {
    let names = envelope.chunk_count().saturating_mul(32);
    let chunks = envelope.sealed_size().min(GATHERED);
    names.saturating_add(chunks).max(LEAST)
}

/// Receives names and chunks and stores the object.
pub(super) async fn take<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    envelope: &SignedEnvelope,
    space: Space<'_>,
) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Space {
        memory,
        _arrival,
        foreign,
        transfer,
        mends,
    } = space;
    let (kept, mut arriving) = Arriving::begin(shared, peer, envelope, &memory, transfer.is_some()).await?;
    let outcome = tokio::select! {
        outcome = arriving.receive(wire, kept) => outcome,
        () = memory.displaced() => Err(WireError::TimedOut.into()),
        () = is_displaced(transfer.as_ref()) => Err(WireError::Closed.into()),
    };
    if let Err(stop) = outcome {
        if let Some(transfer) = transfer {
            arriving.leave(transfer, &stop, foreign).await;
        }
        return Err(stop);
    }
    let finished = if mends {
        arriving.writer.restore(envelope).await
    } else {
        arriving.writer.finish(envelope).await
    };
    if let Some(transfer) = transfer {
        transfer.forget();
    }
    finished?;
    if let Some(foreign) = foreign {
        foreign.keep();
    }
    shared.context.provide.push(envelope.id.locator);
    Ok(())
}

async fn is_displaced(transfer: Option<&Running>) {
    match transfer {
        Some(transfer) => transfer.displaced().await,
        None => std::future::pending().await,
    }
}

/// Deletes what was kept of objects.
pub(super) async fn discard(objects: &dyn ObjectStore, envelopes: Vec<SignedEnvelope>) {
    for envelope in envelopes {
        match objects.resume(&envelope).await {
            Ok(Resumed { writer, .. }) => writer.discard(),
            Err(error) => tracing::warn!(%error, "an unfinished object was not deleted"),
        }
    }
}

/// An object that is arriving.
struct Arriving<'a> {
    shared: &'a Shared,
    peer: PeerId,
    envelope: &'a SignedEnvelope,
    memory: &'a Reserved,
    writer: Box<dyn ObjectWriter>,
    /// Chunks that the writer has.
    appended: u64,
}

impl<'a> Arriving<'a> {
    /// The chunks that are here already, where the object may be gone on with.
    async fn begin(
        shared: &'a Shared,
        peer: PeerId,
        envelope: &'a SignedEnvelope,
        memory: &'a Reserved,
        may_resume: bool,
    ) -> Result<(BoxStream<'static, Chunk>, Self), StoreError> {
        let objects = &shared.context.objects;
        let Resumed { kept, writer } = if may_resume {
            objects.resume(envelope).await?
        } else {
            Resumed {
                kept: stream::empty().boxed(),
                writer: objects.create().await?,
            }
        };
        let arriving = Self {
            shared,
            peer,
            envelope,
            memory,
            writer,
            appended: 0,
        };
        Ok((kept, arriving))
    }

    async fn receive<S>(&mut self, wire: &mut Wire<S>, kept: BoxStream<'static, Chunk>) -> Result<(), Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut kept = kept.peekable();
        let resumes = wire.version() >= Version::Three && Pin::new(&mut kept).peek().await.is_some();
        let wanted = Reply::OfferAnswer(OfferAnswer::Wanted);
        wire.send(if resumes { &Reply::Resumes } else { &wanted }).await?;
        let names = receive_names(wire, self.envelope).await?;
        self.moved(names.len() as u64 * 32);
        if resumes {
            self.append_kept(kept, &names).await?;
            wire.send(&Reply::WantedFrom { first: self.appended }).await?;
        }
        for (index, name) in (0..).zip(names).skip(self.appended as usize) {
            let chunk = receive_chunk(wire, self.envelope, index, name).await?;
            self.moved(chunk.bytes().len() as u64);
            self.append(chunk).await?;
        }
        Ok(())
    }

    async fn append_kept(
        &mut self,
        mut kept: impl futures::Stream<Item = Chunk> + Unpin,
        names: &[ChunkName],
    ) -> Result<(), StoreError> {
        while let Some(chunk) = kept.next().await {
            if names.get(self.appended as usize) != Some(&chunk.name()) {
                break;
            }
            self.moved(chunk.bytes().len() as u64);
            self.append(chunk).await?;
        }
        Ok(())
    }

    async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.writer.append(chunk).await?;
        self.appended += 1;
        Ok(())
    }

    /// Bytes were read and hashed.
    fn moved(&self, bytes: u64) {
        self.memory.moved();
        self.shared.context.peers.count_bytes(self.peer, bytes);
    }

    /// Leaves what has come for the next attempt, with the room that it takes; nothing
    /// where the sender has broken the protocol or the store has failed.
    async fn leave(self, transfer: Running, stop: &Stop, room: Option<Reservation>) {
        if transfer.is_of_another() {
            // Whatever this peer has done, the other one may go on with it.
            return;
        }
        if !stop.is_cut_off() || (self.appended == 0 && !transfer.goes_on()) {
            self.writer.discard();
            return transfer.forget();
        }
        drop(self.writer);
        let context = &self.shared.context;
        let merit = context.peers.merit(&self.peer);
        let surplus = transfer.keep(merit, self.envelope.clone(), room);
        discard(&*context.objects, surplus).await;
    }
}

/// All names, checked against the envelope: 32 bytes for each 256 KiB.
async fn receive_names<S>(wire: &mut Wire<S>, envelope: &SignedEnvelope) -> Result<Vec<ChunkName>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut names = Vec::new();
    let mut digest = ChunkListHasher::default();
    let mut missing = envelope.chunk_count();
    while missing > 0 {
        let count = missing.min(u64::from(MAX_NAMES_PER_PIECE));
        let len = count as usize * 32;
        let piece = wire.receive_bytes(len, len).await?;
        for name in decode_names(&piece) {
            digest.push(&name);
            names.push(name);
        }
        missing -= count;
    }
    if digest.finish() == envelope.chunk_list {
        Ok(names)
    } else {
        Err(WireError::Malformed("names are not those of the envelope"))
    }
}

async fn receive_chunk<S>(
    wire: &mut Wire<S>,
    envelope: &SignedEnvelope,
    index: u64,
    name: ChunkName,
) -> Result<Chunk, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bytes = match wire.receive::<Reply>().await? {
        Reply::Chunk { len } if u64::from(len) == envelope.chunk_len(index) => {
            wire.receive_bytes(len as usize, MAX_CHUNK_BYTES).await?
        }
        _ => return Err(WireError::Malformed("a chunk of another length was expected")),
    };
    let checked = tokio::task::spawn_blocking(move || Chunk::checked(name, bytes)).await;
    match checked {
        Ok(Some(chunk)) => Ok(chunk),
        _ => Err(WireError::Malformed("a chunk does not have its name")),
    }
}

//! Answers who looks for the objects under a locator: page by page, and first those of the
//! owners that it names. A page takes memory before it is read, and is bounded in bytes.

use dm_core::{
    Address,
    clock::now_ms,
    envelope::{Envelope, ObjectId, SignedEnvelope},
    hash::Locator,
    ports::StoreError,
    signed::Statement,
};
use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;

use super::{Shared, memory::Reserved, serve::log_store_error};
use crate::wire::{MAX_ENVELOPES, MAX_OWNERS_NAMED, Reply, Wire, WireError};

/// Bytes of the envelopes of one answer, besides those of the owners that were named.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// Sends one page of the envelopes under a locator.
pub(super) async fn answer<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    locator: Locator,
    owners: &[Address],
    after: Option<Address>,
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if owners.len() > MAX_OWNERS_NAMED {
        return Err(WireError::Malformed("too many owners were named"));
    }
    let wanted = Wanted {
        locator,
        named: named(shared, locator, owners, after),
        after,
        skips_large: false,
    };
    let (page, memory) = read(shared, peer, &wanted).await?;
    let reply = Reply::EnvelopePage {
        lengths: page.lengths(),
        next: page.next,
    };
    page.send(wire, &memory, &reply).await
}

/// Sends, in one answer, the envelopes under a locator as far as there is room: this node's
/// own goes first, and one that is too large hides none after it.
pub(super) async fn answer_all<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    locator: Locator,
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let wanted = Wanted {
        locator,
        named: named(shared, locator, &[], None),
        after: None,
        skips_large: true,
    };
    let (page, memory) = read(shared, peer, &wanted).await?;
    let lengths = page.lengths();
    page.send(wire, &memory, &Reply::Envelopes { lengths }).await
}

/// What is asked for.
struct Wanted {
    locator: Locator,
    /// These come first, however large.
    named: Vec<ObjectId>,
    after: Option<Address>,
    /// Whether an envelope for which there is no room is left out; else the page ends
    /// before it.
    skips_large: bool,
}

/// Envelopes, and where the next page begins.
#[derive(Default)]
struct Page {
    envelopes: Vec<SignedEnvelope>,
    /// Bytes of those that were not named.
    unnamed: usize,
    next: Option<Address>,
}

impl Page {
    /// Takes an envelope whose owner was not named, if there is room for it.
    fn take(&mut self, envelope: SignedEnvelope) -> bool {
        let bytes = self.unnamed + envelope.bytes().len();
        if bytes > MAX_PAGE_BYTES {
            return false;
        }
        self.unnamed = bytes;
        self.envelopes.push(envelope);
        true
    }

    fn lengths(&self) -> Vec<u32> {
        // The format bounds envelopes far below 4 GiB.
        let lengths = self
            .envelopes
            .iter()
            .map(|envelope| envelope.bytes().len() as u32);
        lengths.collect()
    }

    fn bytes(&self) -> u64 {
        let lengths = self
            .envelopes
            .iter()
            .map(|envelope| envelope.bytes().len() as u64);
        lengths.sum()
    }

    async fn send<S>(&self, wire: &mut Wire<S>, memory: &Reserved, reply: &Reply) -> Result<(), WireError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        wire.send(reply).await?;
        for envelope in &self.envelopes {
            memory.unless_displaced(wire.send_bytes(envelope.bytes())).await?;
            memory.moved();
        }
        Ok(())
    }
}

/// The first page begins with the owners that were named and with this node itself, so
/// that nobody crowds them out.
fn named(shared: &Shared, locator: Locator, owners: &[Address], after: Option<Address>) -> Vec<ObjectId> {
    let mut ids: Vec<ObjectId> = Vec::new();
    if after.is_none() {
        for owner in owners.iter().copied().chain([shared.context.own_address]) {
            let id = ObjectId { locator, owner };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    ids
}

/// The page, and the memory that it takes.
async fn read(shared: &Shared, peer: PeerId, wanted: &Wanted) -> Result<(Page, Reserved), WireError> {
    let most = MAX_PAGE_BYTES + (wanted.named.len() + 1) * Envelope::MAX_BYTES;
    let memory = shared.memory_to_send(peer, most).await;
    let memory = memory.ok_or(WireError::TimedOut)?;
    let page = page(shared, peer, wanted).await.unwrap_or_else(|error| {
        log_store_error(&error);
        Page::default()
    });
    memory.shrink(page.bytes());
    Ok((page, memory))
}

async fn page(shared: &Shared, peer: PeerId, wanted: &Wanted) -> Result<Page, StoreError> {
    let mut page = Page::default();
    for id in &wanted.named {
        page.envelopes.extend(served(shared, peer, id).await?);
    }
    // Nobody has the key of the zero address, so this is before all owners.
    let start = ObjectId {
        locator: wanted.locator,
        owner: wanted.after.unwrap_or(Address::ZERO),
    };
    let room = MAX_ENVELOPES - page.envelopes.len();
    let mut listed = shared.context.objects.list(Some(&start), room + 1).await?;
    listed.retain(|id| id.locator == wanted.locator);
    let is_last = listed.len() <= room;
    listed.truncate(room);
    let mut last = None;
    for id in listed {
        if !wanted.named.contains(&id)
            && let Some(envelope) = served(shared, peer, &id).await?
            && !page.take(envelope)
            && !wanted.skips_large
        {
            page.next = last;
            return Ok(page);
        }
        last = Some(id.owner);
    }
    page.next = last.filter(|_| !is_last);
    Ok(page)
}

/// The envelope of an object that is here, has not ended, and is not known to be damaged.
async fn served(shared: &Shared, peer: PeerId, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
    let context = &shared.context;
    let envelope = context.objects.envelope(id).await?;
    if let Some(envelope) = &envelope {
        context.peers.count_bytes(peer, envelope.bytes().len() as u64);
    }
    Ok(envelope.filter(|envelope| !envelope.is_expired(now_ms()) && !context.objects.is_damaged(id)))
}

//! Answers who looks for the objects under a locator: page by page, and first those of the
//! owners that it names.

use dm_core::{
    Address,
    clock::now_ms,
    envelope::{ObjectId, SignedEnvelope},
    hash::Locator,
    ports::StoreError,
};
use futures::{AsyncRead, AsyncWrite};

use super::{Shared, serve::log_store_error};
use crate::wire::{MAX_ENVELOPES, MAX_OWNERS_NAMED, Reply, Wire, WireError};

/// Sends one page of the envelopes under a locator.
pub(super) async fn answer<S>(
    shared: &Shared,
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
    let Page { envelopes, next } = match page(shared, locator, owners, after).await {
        Ok(page) => page,
        Err(error) => {
            log_store_error(&error);
            Page::default()
        }
    };
    // The format bounds envelopes far below 4 GiB.
    let lengths = envelopes
        .iter()
        .map(|envelope| envelope.bytes().len() as u32)
        .collect();
    wire.send(&Reply::EnvelopePage { lengths, next }).await?;
    for envelope in &envelopes {
        wire.send_bytes(envelope.bytes()).await?;
    }
    Ok(())
}

/// Envelopes, and where the next page begins.
#[derive(Default)]
struct Page {
    envelopes: Vec<SignedEnvelope>,
    next: Option<Address>,
}

/// What is served under the locator. The first page begins with the owners that were
/// named and with this node itself, so that nobody crowds them out.
async fn page(
    shared: &Shared,
    locator: Locator,
    owners: &[Address],
    after: Option<Address>,
) -> Result<Page, StoreError> {
    let context = &shared.context;
    let mut ids: Vec<ObjectId> = Vec::new();
    if after.is_none() {
        for owner in owners.iter().copied().chain([context.own_address]) {
            let id = ObjectId { locator, owner };
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    // Nobody has the key of the zero address, so this is before all owners.
    let start = ObjectId {
        locator,
        owner: after.unwrap_or(Address::ZERO),
    };
    let room = MAX_ENVELOPES - ids.len();
    let mut listed = context.objects.list(Some(&start), room + 1).await?;
    listed.retain(|id| id.locator == locator);
    let next = (listed.len() > room).then(|| listed[room - 1].owner);
    listed.truncate(room);
    listed.retain(|id| !ids.contains(id));
    ids.append(&mut listed);
    let mut envelopes = Vec::new();
    for id in ids {
        if let Some(envelope) = served(shared, &id).await? {
            envelopes.push(envelope);
        }
    }
    Ok(Page { envelopes, next })
}

/// The envelope of an object that is here, has not ended, and is not known to be damaged.
async fn served(shared: &Shared, id: &ObjectId) -> Result<Option<SignedEnvelope>, StoreError> {
    let objects = &shared.context.objects;
    let envelope = objects.envelope(id).await?;
    Ok(envelope.filter(|envelope| !envelope.is_expired(now_ms()) && !objects.is_damaged(id)))
}

//! Takes over what a peer knows that is newer than what is stored here.

use dm_core::{
    envelope::SignedEnvelope,
    ports::{ObjectStore, StoreError},
};
use libp2p::PeerId;

use super::ask::ask;
use crate::node::Context;

/// Asks a peer for a newer envelope of a stored object, and keeps it where it is over
/// the same chunks, or says that the object was erased. Whether there was one; the object that was
/// asked for is stored no longer where the newer version has other chunks.
pub(super) async fn take_newer(context: &Context, peer: PeerId, own: &SignedEnvelope) -> bool {
    let asked = ask(context, peer, own.id.locator, &[own.id.owner]).await;
    let envelopes = asked.unwrap_or_default();
    let is_newer = |envelope: &&SignedEnvelope| envelope.id == own.id && envelope.sequence > own.sequence;
    let Some(newer) = envelopes.iter().find(is_newer) else {
        return false;
    };
    if let Err(error) = take(context, newer).await {
        tracing::debug!(%peer, %error, "a newer envelope was not kept");
    }
    true
}

/// Keeps the newer version in the place of the one that is held. Where that cannot be, what is held
/// goes all the same if it is another owner's: its owner has replaced it, so that it is served to
/// nobody any more.
async fn take(context: &Context, newer: &SignedEnvelope) -> Result<(), StoreError> {
    let kept = keep(&*context.objects, newer).await;
    let is_out_of_place = matches!(kept, Err(StoreError::Mismatch(_) | StoreError::Full));
    if is_out_of_place && newer.id.owner != context.own_address {
        context.objects.remove(&newer.id).await?;
        tracing::info!(locator = %newer.id.locator, "dropped an object that its owner has replaced");
        return Ok(());
    }
    kept
}

async fn keep(objects: &dyn ObjectStore, newer: &SignedEnvelope) -> Result<(), StoreError> {
    if newer.is_tombstone() {
        return objects.create().await?.finish(newer).await;
    }
    objects.replace_envelope(newer).await.map(|_| ())
}

use dm_core::{
    envelope::{MAX_CHUNK_BYTES, ObjectId},
    ports::StoreError,
};
use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;

use super::Shared;
use crate::{
    proof::{Nonce, bytes_of_proof, prove},
    wire::{MAX_KNOWN, Reply, Wire, WireError},
};

/// What a peer asks to have proved.
pub(super) struct ProofRequest {
    pub(super) id: ObjectId,
    pub(super) chunk_list: [u8; 32],
    pub(super) nonce: Nonce,
    /// Peers that hold the object as well, it says.
    pub(super) known: Vec<Vec<u8>>,
}

/// Answers a challenge, and takes note of the holders that it tells of: who
/// asks has the object himself, or says so.
pub(super) async fn answer<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    request: ProofRequest,
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let known: Result<Vec<PeerId>, _> = request
        .known
        .iter()
        .map(|bytes| PeerId::from_bytes(bytes))
        .collect();
    let Ok(mut holders) = known else {
        return Err(WireError::Malformed("a holder is no peer"));
    };
    if holders.len() > MAX_KNOWN {
        return Err(WireError::Malformed("too many holders"));
    }
    let reply = match proof(shared, peer, &request).await {
        Ok(reply) => reply,
        Err(StoreError::Missing) => Reply::Missing,
        Err(error) => {
            tracing::warn!(locator = %request.id.locator, %error, "an object cannot be proved to be held");
            Reply::Missing
        }
    };
    if reply != Reply::Missing {
        holders.push(peer);
        shared.context.holder_updates.said(peer, request.id, holders);
    }
    wire.send(&reply).await
}

async fn proof(shared: &Shared, peer: PeerId, request: &ProofRequest) -> Result<Reply, StoreError> {
    let context = &shared.context;
    let envelope = context.objects.envelope(&request.id).await?;
    let envelope = envelope
        .filter(|envelope| envelope.chunk_list == request.chunk_list)
        // Until it is mended, others are not to count on it.
        .filter(|envelope| !context.objects.is_damaged(&envelope.id))
        .ok_or(StoreError::Missing)?;
    let memory = shared.memory_to_send(peer, MAX_CHUNK_BYTES).await;
    let _memory = memory.ok_or(StoreError::Missing)?;
    context.peers.count_bytes(peer, bytes_of_proof(&envelope));
    let digest = prove(
        &*context.objects,
        &envelope,
        &request.nonce,
        &peer,
        &context.local,
    )
    .await?;
    Ok(Reply::Proof {
        digest,
        sequence: envelope.sequence,
    })
}

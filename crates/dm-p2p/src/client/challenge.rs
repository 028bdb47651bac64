use dm_core::{
    envelope::{ObjectId, SignedEnvelope},
    ports::{Challenged, NetworkError, StoreError},
};
use futures::FutureExt;
use libp2p::{PeerId, Stream};

use super::{newer::take_newer, offer::offer_envelope};
use crate::{
    node::Context,
    proof::{Nonce, prove},
    wire::{MAX_KNOWN, Reply, Request, Wire, WireError},
};

/// What a peer answered.
struct Answer {
    digest: [u8; 32],
    sequence: u64,
}

/// Has a peer prove that it holds an object which is stored here.
pub(crate) async fn challenge(
    context: &Context,
    peer: PeerId,
    id: &ObjectId,
    known: &[PeerId],
) -> Result<Challenged, NetworkError> {
    let envelope = match context.objects.envelope(id).await {
        Ok(Some(envelope)) => envelope,
        Ok(None) => return Err(unreadable(&StoreError::Missing)),
        Err(error) => return Err(unreadable(&error)),
    };
    let nonce: Nonce = rand::random();
    // Before the peer is asked: what cannot be read here cannot be checked.
    let expected = prove(&*context.objects, &envelope, &nonce, &context.local, &peer)
        .await
        .map_err(|error| unreadable(&error))?;
    let known = known.iter().filter(|holder| **holder != peer).take(MAX_KNOWN);
    let request = Request::Prove {
        id: *id,
        chunk_list: envelope.chunk_list,
        nonce,
        known: known.map(|peer| peer.to_bytes()).collect(),
    };
    let answer = context
        .streams
        .exchange(context, peer, |wire| ask_on(wire, request.clone()).boxed())
        .await;
    match answer {
        Ok(answer) if answer.digest == expected => {
            context.peers.was_useful(peer);
            level_envelopes(context, peer, &envelope, answer.sequence).await;
            Ok(Challenged::Proven)
        }
        Ok(_) => {
            context
                .peers
                .misbehaved(peer, "a proof is not over the bytes of the object");
            Ok(Challenged::Wrong)
        }
        Err(WireError::Missing) => {
            // It was thought to have it, and said so, or took it once; unless the
            // object was erased meanwhile.
            if !take_newer(context, peer, &envelope).await {
                context.peers.failed(peer);
            }
            Ok(Challenged::Missing)
        }
        Err(error) if error.is_misbehaviour() => Ok(Challenged::Wrong),
        Err(_) => Ok(Challenged::Silent),
    }
}

fn unreadable(error: &StoreError) -> NetworkError {
    NetworkError::Local(error.to_string())
}

async fn ask_on(wire: &mut Wire<Stream>, request: Request) -> Result<Answer, WireError> {
    wire.send(&request).await?;
    match wire.receive().await? {
        Reply::Proof { digest, sequence } => Ok(Answer { digest, sequence }),
        Reply::Missing => Err(WireError::Missing),
        _ => Err(WireError::Malformed("a proof was expected")),
    }
}

/// Brings the newer envelope of two over the same chunks to the side that has
/// the older one. What fails here is tried again with the next challenge.
async fn level_envelopes(context: &Context, peer: PeerId, own: &SignedEnvelope, sequence: u64) {
    if sequence < own.sequence {
        offer_envelope(context, peer, own).await;
    }
    if sequence <= own.sequence {
        return;
    }
    take_newer(context, peer, own).await;
}

use dm_core::{
    Address,
    hash::Locator,
    letter::Letter,
    notice::Notice,
    ports::{NetworkError, NoticeReport},
};
use futures::{StreamExt, stream};
use libp2p::{PeerId, Stream};

use super::{
    exchange::exchange,
    message::{NoticeReply, NoticeRequest},
};
use crate::{
    dht::find_address,
    node::Context,
    wire::{Version, Wire, WireError},
};

/// Peers closest to an inbox key that are to keep a letter.
const KEEPERS: usize = 6;
/// Peers that are asked to, where some do not.
const MAX_ASKED: usize = 12;
/// Peers that are asked at the same time.
const AT_ONCE: usize = 4;

/// What a peer has done with a letter.
#[derive(PartialEq, Eq)]
enum Taken {
    Delivered,
    Kept,
    No,
}

/// Brings a letter to the peer of its addressee and to those that keep it.
pub(crate) async fn send(context: &Context, letter: &Letter) -> Result<NoticeReport, NetworkError> {
    let (direct, keepers) = futures::join!(deliver(context, letter), keep(context, letter));
    let (is_delivered, (delivered_too, kept)) = (direct?, keepers?);
    Ok(NoticeReport {
        delivered: is_delivered || delivered_too,
        kept,
    })
}

/// Whether the addressee's peer has the letter.
async fn deliver(context: &Context, letter: &Letter) -> Result<bool, NetworkError> {
    let (addressee, routes) = (letter.addressee(), &context.notice_routes.direct);
    if let Some(peer) = routes.get(&addressee) {
        if put(context, peer, letter).await == Taken::Delivered {
            return Ok(true);
        }
        routes.remove(&addressee);
    }
    let Some(peer) = peer_of(context, addressee).await? else {
        return Ok(false);
    };
    let is_delivered = put(context, peer, letter).await == Taken::Delivered;
    if is_delivered {
        routes.insert(addressee, peer);
    }
    Ok(is_delivered)
}

/// Whether the peer of an account can be reached.
pub(crate) async fn is_there(context: &Context, account: Address) -> Result<bool, NetworkError> {
    let Some(peer) = peer_of(context, account).await? else {
        return Ok(false);
    };
    // Peers agree on a protocol before a stream is open, so that one that is gone is noticed.
    let reached = exchange(context, peer, Version::One, async |_| Ok(())).await;
    Ok(matches!(reached, Ok(()) | Err(WireError::Unsupported)))
}

/// The other peer that the address record of an account names.
async fn peer_of(context: &Context, account: Address) -> Result<Option<PeerId>, NetworkError> {
    let record = find_address(context, account).await?;
    let peer = record.and_then(|record| record.peer_id.parse().ok());
    Ok(peer.filter(|peer| *peer != context.local))
}

/// Whether the addressee was among the closest peers, and how many others keep the letter.
async fn keep(context: &Context, letter: &Letter) -> Result<(bool, usize), NetworkError> {
    let (addressee, routes) = (letter.addressee(), &context.notice_routes.keepers);
    if let Some(keepers) = routes.get(&addressee) {
        let taken = put_to_some(context, keepers, letter).await;
        if taken.1 > 0 {
            return Ok(taken);
        }
        routes.remove(&addressee);
    }
    let place = Locator::from_bytes(Notice::inbox_key(addressee));
    let mut closest = context.runner.find_closest(&place).await?;
    closest.retain(|peer| *peer != context.local);
    closest.truncate(MAX_ASKED);
    let taken = put_to_some(context, closest.clone(), letter).await;
    if taken.1 > 0 {
        routes.insert(addressee, closest);
    }
    Ok(taken)
}

/// Puts the letter to peers in their order until enough of them keep it.
async fn put_to_some(context: &Context, mut peers: Vec<PeerId>, letter: &Letter) -> (bool, usize) {
    peers.retain(|peer| !context.peers.is_banned(peer));
    let mut puts = stream::iter(peers)
        .map(|peer| put(context, peer, letter))
        .buffer_unordered(AT_ONCE);
    let (mut is_delivered, mut kept) = (false, 0);
    while kept < KEEPERS
        && let Some(taken) = puts.next().await
    {
        is_delivered |= taken == Taken::Delivered;
        kept += usize::from(taken == Taken::Kept);
    }
    (is_delivered, kept)
}

async fn put(context: &Context, peer: PeerId, letter: &Letter) -> Taken {
    let oldest = match letter {
        Letter::Notice(_) => Version::One,
        Letter::Acknowledgement(_) => Version::Two,
    };
    let put = exchange(context, peer, oldest, async |wire| put_on(wire, letter).await);
    match put.await {
        Ok(NoticeReply::Delivered) => Taken::Delivered,
        Ok(NoticeReply::Kept) => Taken::Kept,
        Ok(answer) => {
            tracing::debug!(%peer, ?answer, "a letter was not taken");
            Taken::No
        }
        Err(error) => {
            tracing::debug!(%peer, %error, "a letter was not brought");
            Taken::No
        }
    }
}

async fn put_on(wire: &mut Wire<Stream>, letter: &Letter) -> Result<NoticeReply, WireError> {
    // A letter has 512 bytes at most.
    let len = letter.bytes().len() as u32;
    let request = match letter {
        Letter::Notice(_) => NoticeRequest::Put { len },
        Letter::Acknowledgement(_) => NoticeRequest::PutAcknowledgement { len },
    };
    wire.send_with(&request, letter.bytes()).await?;
    match wire.receive().await? {
        NoticeReply::Page { .. } | NoticeReply::Letters { .. } => {
            Err(WireError::Malformed("a page was not asked for"))
        }
        answer => Ok(answer),
    }
}

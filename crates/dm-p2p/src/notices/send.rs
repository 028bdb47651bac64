use dm_core::{
    hash::Locator,
    notice::{Notice, SignedNotice},
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
    wire::{Wire, WireError},
};

/// Peers closest to an inbox key that are to keep a notice.
const KEEPERS: usize = 6;
/// Peers that are asked to, where some do not.
const MAX_ASKED: usize = 12;
/// Peers that are asked at the same time.
const AT_ONCE: usize = 4;

/// What a peer has done with a notice.
#[derive(PartialEq, Eq)]
enum Taken {
    Delivered,
    Kept,
    No,
}

/// Brings a notice to the peer of its recipient and to those that keep it.
pub(crate) async fn send(context: &Context, notice: &SignedNotice) -> Result<NoticeReport, NetworkError> {
    let (direct, keepers) = futures::join!(deliver(context, notice), keep(context, notice));
    let (is_delivered, (delivered_too, kept)) = (direct?, keepers?);
    Ok(NoticeReport {
        delivered: is_delivered || delivered_too,
        kept,
    })
}

/// Whether the recipient's peer has the notice.
async fn deliver(context: &Context, notice: &SignedNotice) -> Result<bool, NetworkError> {
    let (recipient, routes) = (notice.recipient, &context.notice_routes.direct);
    if let Some(peer) = routes.get(&recipient) {
        if put(context, peer, notice).await == Taken::Delivered {
            return Ok(true);
        }
        routes.remove(&recipient);
    }
    let record = find_address(context, recipient).await?;
    let peer = record.and_then(|record| record.peer_id.parse().ok());
    let Some(peer) = peer.filter(|peer| *peer != context.local) else {
        return Ok(false);
    };
    let is_delivered = put(context, peer, notice).await == Taken::Delivered;
    if is_delivered {
        routes.insert(recipient, peer);
    }
    Ok(is_delivered)
}

/// Whether the recipient was among the closest peers, and how many others keep the notice.
async fn keep(context: &Context, notice: &SignedNotice) -> Result<(bool, usize), NetworkError> {
    let (recipient, routes) = (notice.recipient, &context.notice_routes.keepers);
    if let Some(keepers) = routes.get(&recipient) {
        let taken = put_to_some(context, keepers, notice).await;
        if taken.1 > 0 {
            return Ok(taken);
        }
        routes.remove(&recipient);
    }
    let place = Locator::from_bytes(Notice::inbox_key(recipient));
    let mut closest = context.runner.find_closest(&place).await?;
    closest.retain(|peer| *peer != context.local);
    closest.truncate(MAX_ASKED);
    let taken = put_to_some(context, closest.clone(), notice).await;
    if taken.1 > 0 {
        routes.insert(recipient, closest);
    }
    Ok(taken)
}

/// Puts the notice to peers in their order until enough of them keep it.
async fn put_to_some(context: &Context, mut peers: Vec<PeerId>, notice: &SignedNotice) -> (bool, usize) {
    peers.retain(|peer| !context.peers.is_banned(peer));
    let mut puts = stream::iter(peers)
        .map(|peer| put(context, peer, notice))
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

async fn put(context: &Context, peer: PeerId, notice: &SignedNotice) -> Taken {
    let put = exchange(context, peer, async |wire| put_on(wire, notice).await);
    match put.await {
        Ok(NoticeReply::Delivered) => Taken::Delivered,
        Ok(NoticeReply::Kept) => Taken::Kept,
        Ok(answer) => {
            tracing::debug!(%peer, ?answer, "a notice was not taken");
            Taken::No
        }
        Err(error) => {
            tracing::debug!(%peer, %error, "a notice was not brought");
            Taken::No
        }
    }
}

async fn put_on(wire: &mut Wire<Stream>, notice: &SignedNotice) -> Result<NoticeReply, WireError> {
    // A notice has 512 bytes at most.
    let len = notice.bytes().len() as u32;
    wire.send_with(&NoticeRequest::Put { len }, notice.bytes())
        .await?;
    match wire.receive().await? {
        NoticeReply::Page { .. } => Err(WireError::Malformed("a page was not asked for")),
        answer => Ok(answer),
    }
}

use dm_core::{
    Address,
    hash::Locator,
    letter::Letter,
    notice::Notice,
    ports::{NetworkError, NoticeReport},
};
use futures::{FutureExt, StreamExt, stream};
use libp2p::{PeerId, Stream};

use super::{
    exchange::exchange,
    message::{LetterKind, NoticeReply, NoticeRequest},
    routes::{BRIEF, FRESH},
};
use crate::{
    dht::find_address,
    node::Context,
    wire::{Wire, WireError},
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
    /// It has no room for it, or wants no such letter.
    No,
    /// It did not answer.
    Unreached,
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

/// Whether the addressee's peer has the letter. An addressee that was not reached is not looked
/// for again for a while, so that letters for one that is away hold up no others.
async fn deliver(context: &Context, letter: &Letter) -> Result<bool, NetworkError> {
    let (addressee, routes) = (letter.addressee(), &context.notice_routes);
    if let Some(peer) = routes.direct.get(&addressee) {
        match put(context, peer, letter).await {
            Taken::Delivered => return Ok(true),
            Taken::No => return Ok(false),
            // It may be the peer of another account now, or be elsewhere.
            Taken::Kept | Taken::Unreached => routes.direct.remove(&addressee),
        }
    }
    let turn = routes.looking.lock(addressee).await;
    if let Some(peer) = routes.direct.get(&addressee) {
        // Another letter has found it meanwhile.
        drop(turn);
        return Ok(put(context, peer, letter).await == Taken::Delivered);
    }
    let away = routes.away.get(&addressee);
    if away.is_some_and(|peer| peer.is_none_or(|peer| context.peers.book.is_doubtful(&peer))) {
        return Ok(false);
    }
    let peer = peer_of(context, addressee).await?;
    let taken = match peer {
        Some(peer) => put(context, peer, letter).await,
        None => Taken::Unreached,
    };
    match (&taken, peer) {
        (Taken::Delivered | Taken::No, Some(peer)) => routes.direct.insert(addressee, peer, FRESH),
        _ => routes.away.insert(addressee, peer, BRIEF),
    }
    Ok(taken == Taken::Delivered)
}

/// Whether the peer of an account can be reached.
pub(crate) async fn is_there(context: &Context, account: Address) -> Result<bool, NetworkError> {
    let Some(peer) = peer_of(context, account).await? else {
        return Ok(false);
    };
    // Peers agree on a protocol before a stream is open, so that one that is gone is noticed.
    let reached = exchange(context, peer, async |_| Ok(())).await;
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
    let (addressee, routes) = (letter.addressee(), &context.notice_routes);
    // It is brought there anyway.
    let direct = routes.direct.get(&addressee);
    let others = |mut peers: Vec<PeerId>| {
        peers.retain(|peer| Some(*peer) != direct && !context.peers.is_banned(peer));
        peers
    };
    if let Some(keepers) = routes.keepers.get(&addressee).map(others) {
        let has_none = keepers.is_empty();
        let taken = put_to_some(context, keepers, letter).await;
        if has_none || taken.1 > 0 {
            return Ok(taken);
        }
        routes.keepers.remove(&addressee);
    }
    let place = Locator::from_bytes(Notice::inbox_key(addressee));
    let mut closest = context.runner.find_closest(&place).await?;
    closest.retain(|peer| *peer != context.local);
    closest.truncate(MAX_ASKED);
    let are_few = closest.len() < KEEPERS;
    let taken = put_to_some(context, others(closest.clone()), letter).await;
    if are_few || taken.1 > 0 {
        let lasts = if are_few { BRIEF } else { FRESH };
        routes.keepers.insert(addressee, closest, lasts);
    }
    Ok(taken)
}

/// Puts the letter to peers in their order until enough of them keep it.
async fn put_to_some(context: &Context, peers: Vec<PeerId>, letter: &Letter) -> (bool, usize) {
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
    let streams = &context.notice_streams;
    let put = streams.exchange(context, peer, |wire| {
        let letter = letter.clone();
        async move { put_on(wire, &letter).await }.boxed()
    });
    match put.await {
        Ok(NoticeReply::Delivered) => Taken::Delivered,
        Ok(NoticeReply::Kept) => Taken::Kept,
        Ok(answer) => {
            tracing::debug!(%peer, ?answer, "a letter was not taken");
            Taken::No
        }
        Err(error) => {
            tracing::debug!(%peer, %error, "a letter was not brought");
            Taken::Unreached
        }
    }
}

async fn put_on(wire: &mut Wire<Stream>, letter: &Letter) -> Result<NoticeReply, WireError> {
    if wire.version() < LetterKind::of(letter).since() {
        // Peers that speak an earlier version are given what they know.
        return Ok(NoticeReply::Unsupported);
    }
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

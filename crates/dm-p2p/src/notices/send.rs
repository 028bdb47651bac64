use std::sync::Arc;

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
    message::{LetterKind, MAX_TOGETHER, NoticeReply, NoticeRequest, Outcome},
    routes::{BRIEF, FRESH, UNKNOWN},
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Delivered,
    Kept,
    /// It has no room for it, or wants no such letter.
    No,
    /// It did not answer.
    Unreached,
}

impl From<Outcome> for Taken {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::Kept => Self::Kept,
            Outcome::Refused(_) | Outcome::Unsupported => Self::No,
        }
    }
}

/// Brings letters to the peers of their addressees and to those that keep them; where each has
/// got. One search serves those that follow each other and have the same addressee.
pub(crate) async fn send_all(
    context: &Context,
    letters: &[Letter],
) -> Result<Vec<NoticeReport>, NetworkError> {
    let mut reports = Vec::with_capacity(letters.len());
    for of_one in letters.chunk_by(|one, next| one.addressee() == next.addressee()) {
        for together in of_one.chunks(MAX_TOGETHER) {
            reports.extend(send_together(context, together).await?);
        }
    }
    Ok(reports)
}

/// Brings letters that have one addressee.
async fn send_together(context: &Context, letters: &[Letter]) -> Result<Vec<NoticeReport>, NetworkError> {
    let Some(addressee) = letters.first().map(Letter::addressee) else {
        return Ok(Vec::new());
    };
    let (direct, keepers) = futures::join!(
        deliver(context, addressee, letters),
        keep(context, addressee, letters)
    );
    let (direct, mut reports) = (direct?, keepers?);
    for (report, taken) in reports.iter_mut().zip(direct) {
        report.delivered |= taken == Taken::Delivered;
    }
    Ok(reports)
}

/// What the addressee's peer has done with the letters. An addressee that was not reached is not
/// looked for again for a while, so that letters for one that is away hold up no others.
async fn deliver(
    context: &Context,
    addressee: Address,
    letters: &[Letter],
) -> Result<Vec<Taken>, NetworkError> {
    let routes = &context.notice_routes;
    if let Some(peer) = routes.direct.get(&addressee) {
        let taken = put(context, peer, letters).await;
        if is_of_addressee(&taken) {
            return Ok(taken);
        }
        // It may be the peer of another account now, or be elsewhere.
        routes.direct.remove(&addressee);
    }
    let turn = routes.looking.lock(addressee).await;
    if let Some(peer) = routes.direct.get(&addressee) {
        // Others have found it meanwhile.
        drop(turn);
        return Ok(put(context, peer, letters).await);
    }
    let away = routes.away.get(&addressee);
    if away.is_some_and(|peer| peer.is_none_or(|peer| context.peers.book.is_doubtful(&peer))) {
        return Ok(vec![Taken::Unreached; letters.len()]);
    }
    let peers = peers_of(context, addressee).await?;
    for peer in &peers {
        let taken = put(context, *peer, letters).await;
        if is_of_addressee(&taken) {
            routes.direct.insert(addressee, *peer, FRESH);
            return Ok(taken);
        }
    }
    let lasts = if peers.is_empty() { UNKNOWN } else { BRIEF };
    routes.away.insert(addressee, peers.first().copied(), lasts);
    Ok(vec![Taken::Unreached; letters.len()])
}

/// Whether the peer that answers so is that of the addressee.
fn is_of_addressee(taken: &[Taken]) -> bool {
    let answers = |taken: &Taken| matches!(taken, Taken::Delivered | Taken::No);
    taken.iter().all(answers)
}

/// Whether the peer of an account can be reached.
pub(crate) async fn is_there(context: &Context, account: Address) -> Result<bool, NetworkError> {
    for peer in peers_of(context, account).await? {
        // Peers agree on a protocol before a stream is open, so that one that is gone is noticed.
        let reached = exchange(context, peer, async |_| Ok(())).await;
        if matches!(reached, Ok(()) | Err(WireError::Unsupported)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The other peers that the address record of an account names, the most promising ones first.
async fn peers_of(context: &Context, account: Address) -> Result<Vec<PeerId>, NetworkError> {
    let record = find_address(context, account).await?;
    let named = record.iter().flat_map(|record| record.peers());
    let mut peers: Vec<PeerId> = named.filter_map(|peer| peer.parse().ok()).collect();
    peers.retain(|peer| *peer != context.local);
    context.peers.book.rank(&mut peers);
    Ok(peers)
}

/// What the peers closest to the addressee's inbox key have done with letters: whether it is
/// among them, and how many others keep each.
async fn keep(
    context: &Context,
    addressee: Address,
    letters: &[Letter],
) -> Result<Vec<NoticeReport>, NetworkError> {
    let routes = &context.notice_routes;
    // They are brought there anyway.
    let direct = routes.direct.get(&addressee);
    let others = |mut peers: Vec<PeerId>| {
        peers.retain(|peer| Some(*peer) != direct && !context.peers.is_banned(peer));
        peers
    };
    if let Some(keepers) = routes.keepers.get(&addressee).map(others) {
        let has_none = keepers.is_empty();
        let reports = put_to_some(context, keepers, letters).await;
        if has_none || are_kept(&reports) {
            return Ok(reports);
        }
        routes.keepers.remove(&addressee);
    }
    let place = Locator::from_bytes(Notice::inbox_key(addressee));
    let mut closest = context.runner.find_closest(&place).await?;
    closest.retain(|peer| *peer != context.local);
    closest.truncate(MAX_ASKED);
    let are_few = closest.len() < KEEPERS;
    let reports = put_to_some(context, others(closest.clone()), letters).await;
    if are_few || are_kept(&reports) {
        let lasts = if are_few { BRIEF } else { FRESH };
        routes.keepers.insert(addressee, closest, lasts);
    }
    Ok(reports)
}

/// Whether somebody keeps one of the letters.
fn are_kept(reports: &[NoticeReport]) -> bool {
    reports.iter().any(|report| report.kept > 0)
}

/// Puts letters to peers in their order until enough of them keep each.
async fn put_to_some(context: &Context, peers: Vec<PeerId>, letters: &[Letter]) -> Vec<NoticeReport> {
    let mut puts = stream::iter(peers)
        .map(|peer| put(context, peer, letters))
        .buffer_unordered(AT_ONCE);
    let mut reports = vec![NoticeReport::default(); letters.len()];
    while reports.iter().any(|report| report.kept < KEEPERS)
        && let Some(taken) = puts.next().await
    {
        for (report, taken) in reports.iter_mut().zip(taken) {
            report.delivered |= taken == Taken::Delivered;
            report.kept += usize::from(taken == Taken::Kept);
        }
    }
    reports
}

/// What a peer has done with letters.
async fn put(context: &Context, peer: PeerId, letters: &[Letter]) -> Vec<Taken> {
    let shared: Arc<[Letter]> = letters.into();
    let put = context.notice_streams.exchange(context, peer, |wire| {
        let letters = shared.clone();
        async move { put_on(wire, &letters).await }.boxed()
    });
    match put.await {
        Ok(outcomes) => {
            tracing::debug!(%peer, ?outcomes, "letters were brought");
            outcomes.into_iter().map(Taken::from).collect()
        }
        Err(error) => {
            tracing::debug!(%peer, %error, "letters were not brought");
            vec![Taken::Unreached; letters.len()]
        }
    }
}

/// Brings letters in one request, or one after the other to a peer of an earlier version.
async fn put_on(wire: &mut Wire<Stream>, letters: &[Letter]) -> Result<Vec<Outcome>, WireError> {
    if letters.len() > 1 && wire.version() >= Version::Three {
        return put_together(wire, letters).await;
    }
    let mut outcomes = Vec::with_capacity(letters.len());
    for letter in letters {
        outcomes.push(put_one(wire, letter).await?);
    }
    Ok(outcomes)
}

async fn put_together(wire: &mut Wire<Stream>, letters: &[Letter]) -> Result<Vec<Outcome>, WireError> {
    // A letter has 512 bytes at most.
    let described = letters
        .iter()
        .map(|letter| (LetterKind::of(letter), letter.bytes().len() as u16));
    let request = NoticeRequest::PutAll {
        letters: described.collect(),
    };
    let bytes: Vec<&[u8]> = letters.iter().map(|letter| letter.bytes().as_ref()).collect();
    wire.send_with(&request, &bytes.concat()).await?;
    match wire.receive().await? {
        NoticeReply::Outcomes { outcomes } if outcomes.len() == letters.len() => Ok(outcomes),
        _ => Err(WireError::Malformed("an outcome of each letter was expected")),
    }
}

async fn put_one(wire: &mut Wire<Stream>, letter: &Letter) -> Result<Outcome, WireError> {
    if wire.version() < LetterKind::of(letter).since() {
        // Peers that speak an earlier version are given what they know.
        return Ok(Outcome::Unsupported);
    }
    // A letter has 512 bytes at most.
    let len = letter.bytes().len() as u32;
    let request = match letter {
        Letter::Notice(_) => NoticeRequest::Put { len },
        Letter::Acknowledgement(_) => NoticeRequest::PutAcknowledgement { len },
    };
    wire.send_with(&request, letter.bytes()).await?;
    let answer: NoticeReply = wire.receive().await?;
    answer
        .outcome()
        .ok_or(WireError::Malformed("what became of a letter was expected"))
}

//! Takes letters, and gives out those that wait to the peers of their addressees.

use bytes::Bytes;
use dm_core::{
    Address,
    address_record::{AddressRecord, SignedAddressRecord},
    envelope::ObjectId,
    letter::{Letter, MAX_LETTER},
    ports::MAX_NAMED_SENDERS,
    signed::{Signed, Statement, StatementError},
};
use futures::{AsyncRead, AsyncWrite};
use libp2p::PeerId;

use super::{
    Shared,
    admission::Admitted,
    serve::{log_store_error, next_request, note_failure},
};
use crate::{
    notices::{
        Holding, LetterKind, MAX_PAGE, MAX_TOGETHER, NoticeRefusal, NoticeReply, NoticeRequest, Outcome,
    },
    wire::{Version, Wire, WireError},
};

/// What each letter counts beside its bytes, because it is checked and written durably: like
/// another request.
const COST_OF_LETTER: u64 = 256 * 1024;

/// Answers the requests of one stream, until either side has had enough or another stream
/// gets its place.
pub(super) async fn serve<S>(shared: &Shared, peer: PeerId, place: &Admitted, mut wire: Wire<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(request) = next_request(shared, peer, place, &mut wire).await {
        let answered = match request {
            Ok(NoticeRequest::Put { len }) => {
                take_one(shared, peer, &mut wire, LetterKind::Notice, len as usize).await
            }
            Ok(NoticeRequest::PutAcknowledgement { len }) => {
                take_one(shared, peer, &mut wire, LetterKind::Acknowledgement, len as usize).await
            }
            Ok(NoticeRequest::PutAll { letters }) => take_all(shared, peer, &mut wire, &letters).await,
            Ok(NoticeRequest::Collect {
                record_len,
                named,
                after,
            }) => {
                let asking = Asking {
                    record_len: record_len as usize,
                    named: named as usize,
                };
                give_out(shared, peer, &mut wire, asking, after).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = answered {
            note_failure(shared, peer, &error);
            if matches!(error, WireError::Unsupported) {
                let _ = wire.send(&NoticeReply::Unsupported).await;
            }
            tracing::debug!(%peer, %error, "serving letters ended");
            return;
        }
    }
}

async fn take_one<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    kind: LetterKind,
    len: usize,
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let outcomes = take(shared, peer, wire, vec![(kind, len)]).await?;
    let outcome = outcomes.first().copied().unwrap_or(Outcome::Unsupported);
    if outcome == Outcome::Unsupported {
        return Err(WireError::Unsupported);
    }
    wire.send(&NoticeReply::from(outcome)).await?;
    fault_of(&outcomes).map_or(Ok(()), Err)
}

async fn take_all<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    letters: &[(LetterKind, u16)],
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if letters.len() > MAX_TOGETHER {
        return Err(WireError::Malformed("too many letters were brought at once"));
    }
    let letters = letters.iter().map(|(kind, len)| (*kind, usize::from(*len)));
    let outcomes = take(shared, peer, wire, letters.collect()).await?;
    let fault = fault_of(&outcomes);
    if outcomes.contains(&Outcome::Unsupported) {
        shared
            .context
            .peers
            .not_understood(peer, "a letter of a later version");
    }
    wire.send(&NoticeReply::Outcomes { outcomes }).await?;
    fault.map_or(Ok(()), Err)
}

/// What is to be held against a peer that has brought letters with these outcomes.
fn fault_of(outcomes: &[Outcome]) -> Option<WireError> {
    let is_forged = outcomes.contains(&Outcome::Refused(NoticeRefusal::Invalid));
    is_forged.then_some(WireError::Malformed("a letter does not verify"))
}

/// Takes the letters of these kinds and lengths that follow; what has become of each.
async fn take<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    letters: Vec<(LetterKind, usize)>,
) -> Result<Vec<Outcome>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if letters.iter().any(|(kind, len)| *len > kind.max_bytes()) {
        return Err(WireError::Malformed("a letter is too long"));
    }
    let (count, len): (u64, usize) = (letters.len() as u64, letters.iter().map(|(_, len)| len).sum());
    let memory = shared.memory_to_receive(peer, len as u64).await;
    let memory = memory.ok_or(WireError::TimedOut)?;
    let bytes = memory.unless_displaced(wire.receive_bytes(len, len)).await?;
    let cost = len as u64 + count * COST_OF_LETTER;
    shared.context.peers.count_bytes(peer, cost);
    let verified = tokio::task::spawn_blocking(move || verify_all(&letters, bytes)).await;
    let verified = verified.map_err(|_| WireError::Closed)?;
    let good = verified.iter().flatten().cloned().collect();
    let mut holdings = shared.context.notices.take(good, peer).await.into_iter();
    let outcomes = verified.into_iter().map(|letter| match letter {
        Ok(letter) => {
            let holding = holdings.next().unwrap_or(Holding::Failed);
            if holding == Holding::Delivered {
                remember_holder(shared, peer, &letter);
            }
            outcome_of(holding)
        }
        Err(outcome) => outcome,
    });
    Ok(outcomes.collect())
}

/// Who tells this node of an object has it, mostly: it is asked before the DHT is.
fn remember_holder(shared: &Shared, peer: PeerId, letter: &Letter) {
    if let Letter::Notice(notice) = letter {
        let cache = &shared.context.holder_updates.cache;
        cache.insert(notice.object.locator, [peer]);
    }
}

/// The letters that the bytes are, or what is wrong with each.
fn verify_all(letters: &[(LetterKind, usize)], mut bytes: Bytes) -> Vec<Result<Letter, Outcome>> {
    let verify = |(kind, len): &(LetterKind, usize)| {
        let verified = kind.verify(bytes.split_to(*len));
        verified.map_err(|error| match error {
            StatementError::UnknownVersion { .. } => Outcome::Unsupported,
            _ => Outcome::Refused(NoticeRefusal::Invalid),
        })
    };
    letters.iter().map(verify).collect()
}

fn outcome_of(holding: Holding) -> Outcome {
    match holding {
        Holding::Delivered => Outcome::Delivered,
        Holding::Kept => Outcome::Kept,
        Holding::NotCurrent => Outcome::Refused(NoticeRefusal::NotCurrent),
        Holding::Full => Outcome::Refused(NoticeRefusal::Full),
        Holding::Failed => Outcome::Refused(NoticeRefusal::Failed),
    }
}

/// The lengths of what follows a request for letters.
struct Asking {
    record_len: usize,
    named: usize,
}

async fn give_out<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    asking: Asking,
    after: Option<(Address, ObjectId)>,
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if asking.named > MAX_NAMED_SENDERS {
        return Err(WireError::Malformed("too many senders were named"));
    }
    let record = receive_record(shared, peer, wire, asking.record_len).await?;
    let len = asking.named * Address::len_bytes();
    let named = wire.receive_bytes(len, len).await?;
    // An account says in its record which peers are its own.
    let record = record.filter(|record| record.names(&peer.to_base58()));
    let Some(AddressRecord { address, .. }) = record.as_deref() else {
        return wire.send(&NoticeReply::Refused(NoticeRefusal::Invalid)).await;
    };
    let named = named.chunks_exact(Address::len_bytes()).map(Address::from_slice);
    let memory = shared.memory_to_send(peer, MAX_PAGE * MAX_LETTER).await;
    let memory = memory.ok_or(WireError::TimedOut)?;
    let page = shared
        .context
        .notices
        .page(*address, named.collect(), after, MAX_PAGE)
        .await;
    let (mut letters, next) = page.unwrap_or_else(|error| {
        log_store_error(&error);
        (Vec::new(), None)
    });
    if wire.version() == Version::One {
        letters.retain(|letter| matches!(letter, Letter::Notice(_)));
    }
    let bytes: Vec<u8> = letters
        .iter()
        .flat_map(|letter| letter.bytes().iter().copied())
        .collect();
    shared.context.peers.count_bytes(peer, bytes.len() as u64);
    let reply = page_reply(wire.version(), &letters, next);
    memory.unless_displaced(wire.send_with(&reply, &bytes)).await
}

/// What stands before the letters of a page.
fn page_reply(version: Version, letters: &[Letter], next: Option<(Address, ObjectId)>) -> NoticeReply {
    // A letter has 512 bytes at most.
    let described = letters
        .iter()
        .map(|letter| (LetterKind::of(letter), letter.bytes().len() as u16));
    match version {
        Version::One => NoticeReply::Page {
            lengths: described.map(|(_, len)| len).collect(),
            next,
        },
        Version::Two | Version::Three | Version::Four => NoticeReply::Letters {
            letters: described.collect(),
            next,
        },
    }
}

/// The address record that the peer sends; `None` where it does not verify.
async fn receive_record<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    len: usize,
) -> Result<Option<SignedAddressRecord>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let longest = AddressRecord::MAX_BYTES;
    let Some(memory) = shared.memory_to_receive(peer, len.min(longest) as u64).await else {
        return Err(WireError::TimedOut);
    };
    let bytes = memory.unless_displaced(wire.receive_bytes(len, longest)).await?;
    shared.context.peers.count_bytes(peer, bytes.len() as u64);
    match tokio::task::spawn_blocking(move || Signed::verify(bytes)).await {
        Ok(Ok(record)) => Ok(Some(record)),
        Ok(Err(StatementError::UnknownVersion { .. })) => Err(WireError::Unsupported),
        _ => Ok(None),
    }
}

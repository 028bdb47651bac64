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
    notices::{Holding, LetterKind, MAX_PAGE, NoticeRefusal, NoticeReply, NoticeRequest},
    wire::{Version, Wire, WireError},
};

/// What a letter counts that is written durably, beside its bytes: like another request.
const COST_OF_WRITE: u64 = 256 * 1024;

/// Answers the requests of one stream, until either side has had enough or another stream
/// gets its place.
pub(super) async fn serve<S>(shared: &Shared, peer: PeerId, place: &Admitted, mut wire: Wire<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(request) = next_request(shared, peer, place, &mut wire).await {
        let answered = match request {
            Ok(NoticeRequest::Put { len }) => {
                take(shared, peer, &mut wire, LetterKind::Notice, len as usize).await
            }
            Ok(NoticeRequest::PutAcknowledgement { len }) => {
                take(shared, peer, &mut wire, LetterKind::Acknowledgement, len as usize).await
            }
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

async fn take<S>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    kind: LetterKind,
    len: usize,
) -> Result<(), WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let verify = move |bytes| kind.verify(bytes);
    let letter = match receive_signed(shared, peer, wire, len, kind.max_bytes(), verify).await? {
        Some(letter) => letter,
        None => {
            wire.send(&NoticeReply::Refused(NoticeRefusal::Invalid)).await?;
            return Err(WireError::Malformed("a letter does not verify"));
        }
    };
    shared.context.peers.count_bytes(peer, COST_OF_WRITE);
    let reply = match shared.context.notices.take(letter, peer).await {
        Ok(Holding::Delivered) => NoticeReply::Delivered,
        Ok(Holding::Kept) => NoticeReply::Kept,
        Ok(Holding::NotCurrent) => NoticeReply::Refused(NoticeRefusal::NotCurrent),
        Ok(Holding::Full) => NoticeReply::Refused(NoticeRefusal::Full),
        Err(error) => {
            log_store_error(&error);
            NoticeReply::Refused(NoticeRefusal::Failed)
        }
    };
    wire.send(&reply).await
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
    let (record_len, longest) = (asking.record_len, AddressRecord::MAX_BYTES);
    let record: Option<SignedAddressRecord> =
        receive_signed(shared, peer, wire, record_len, longest, Signed::verify).await?;
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
        Version::Two | Version::Three => NoticeReply::Letters {
            letters: described.collect(),
            next,
        },
    }
}

/// A statement of at most `longest` bytes that the peer sends; `None` where it does not verify.
async fn receive_signed<S, T>(
    shared: &Shared,
    peer: PeerId,
    wire: &mut Wire<S>,
    len: usize,
    longest: usize,
    verify: impl FnOnce(Bytes) -> Result<T, StatementError> + Send + 'static,
) -> Result<Option<T>, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: Send + 'static,
{
    let Some(memory) = shared.memory_to_receive(peer, len.min(longest) as u64).await else {
        return Err(WireError::TimedOut);
    };
    let bytes = memory.unless_displaced(wire.receive_bytes(len, longest)).await?;
    shared.context.peers.count_bytes(peer, bytes.len() as u64);
    match tokio::task::spawn_blocking(move || verify(bytes)).await {
        Ok(Ok(signed)) => Ok(Some(signed)),
        Ok(Err(StatementError::UnknownVersion { .. })) => Err(WireError::Unsupported),
        _ => Ok(None),
    }
}

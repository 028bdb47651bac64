use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use dm_core::{
    Address,
    address_record::SignedAddressRecord,
    clock::now_ms,
    hash::Locator,
    letter::{Letter, MAX_LETTER},
    notice::Notice,
    ports::{MAX_NAMED_SENDERS, NetworkError},
    signed::StatementError,
};
use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::{PeerId, Stream};
use tokio::time::{Duration, Instant, timeout_at};

use super::{
    exchange::exchange,
    message::{LetterKind, MAX_PAGE, NoticeReply, NoticeRequest, Place},
};
use crate::{
    node::Context,
    wire::{Wire, WireError},
};

/// Connected peers that are asked as well, those closest to the inbox key: in a small
/// network, or a divided one, a walk through the DHT may miss them.
const CONNECTED: usize = 8;
/// Pages that one peer may send.
const MAX_PAGES: usize = 32;
/// How long peers are waited for.
const OVERALL: Duration = Duration::from_secs(20);

/// The letters for this node that wait at peers.
pub(crate) async fn collect(context: &Context, named: &[Address]) -> Result<Vec<Letter>, NetworkError> {
    // Other instances of this node collect for themselves.
    let Some(record) = context.announced().map(|own| own.alone) else {
        tracing::debug!("letters are given only to a node that has announced its address record");
        return Ok(Vec::new());
    };
    let place = Locator::from_bytes(Notice::inbox_key(record.address));
    let mut peers: HashSet<PeerId> = context
        .runner
        .connected_near(&place, CONNECTED)
        .await?
        .into_iter()
        .collect();
    peers.extend(context.runner.find_closest(&place).await?);
    peers.retain(|peer| *peer != context.local && !context.peers.is_banned(peer));
    let question = Arc::new(Question {
        named: named.iter().copied().take(MAX_NAMED_SENDERS).collect(),
        record,
    });
    let mut collected = Collected::default();
    collected.add(own(context, &question).await, &question);
    let ask = |peer| ask(context, peer, question.clone());
    let mut asking: FuturesUnordered<_> = peers.into_iter().map(ask).collect();
    let until = Instant::now() + OVERALL;
    while let Ok(Some(letters)) = timeout_at(until, asking.next()).await {
        collected.add(letters, &question);
    }
    Ok(collected.in_order(&question))
}

/// What is asked of each peer.
struct Question {
    record: SignedAddressRecord,
    named: Vec<Address>,
}

impl Question {
    fn names(&self, letter: &Letter) -> bool {
        self.named.contains(&letter.sender()) || self.named.contains(&letter.object().owner)
    }

    fn named_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(self.named.len() * 20);
        self.named
            .iter()
            .for_each(|address| bytes.extend_from_slice(address.as_slice()));
        bytes.freeze()
    }
}

/// The newest letter of each sender about each object.
#[derive(Default)]
struct Collected(HashMap<Place, Letter>);

impl Collected {
    fn add(&mut self, letters: Vec<Letter>, question: &Question) {
        let now = now_ms();
        for letter in letters {
            if letter.addressee() != question.record.address || !letter.is_current(now) {
                continue;
            }
            let place = (letter.sender(), letter.object());
            let held = self.0.get(&place);
            if held.is_none_or(|held| held.sequence() < letter.sequence()) {
                self.0.insert(place, letter);
            }
        }
    }

    fn in_order(self, question: &Question) -> Vec<Letter> {
        let mut letters: Vec<Letter> = self.0.into_values().collect();
        letters.sort_by_key(|letter| (!question.names(letter), letter.made_at(), letter.sender()));
        letters
    }
}

/// What this node keeps for itself: it may have learned late which account is its own.
async fn own(context: &Context, question: &Question) -> Vec<Letter> {
    let recipient = question.record.address;
    let (mut all, mut after) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let page = context
            .notices
            .page(recipient, question.named.clone(), after, MAX_PAGE);
        match page.await {
            Ok((letters, next)) => {
                all.extend(letters);
                after = next;
            }
            Err(error) => tracing::warn!(%error, "letters that are kept cannot be read"),
        }
        if after.is_none() {
            break;
        }
    }
    all
}

/// What waits at a peer; as much as came before it failed.
async fn ask(context: &Context, peer: PeerId, question: Arc<Question>) -> Vec<Letter> {
    let mut letters = Vec::new();
    let asked = exchange(context, peer, async |wire| {
        ask_on(wire, &question, &mut letters).await
    });
    match asked.await {
        Ok(0) => {}
        Ok(_) => context.peers.not_understood(peer, "a letter of a later version"),
        Err(error) => tracing::debug!(%peer, %error, "a peer gave out no letters"),
    }
    letters
}

/// Adds what the peer sends; how many letters were of a later version.
async fn ask_on(
    wire: &mut Wire<Stream>,
    question: &Question,
    letters: &mut Vec<Letter>,
) -> Result<usize, WireError> {
    let record = question.record.bytes();
    let (mut after, mut later) = (None, 0);
    for _ in 0..MAX_PAGES {
        let named = if after.is_none() {
            question.named_bytes()
        } else {
            Bytes::new()
        };
        let request = NoticeRequest::Collect {
            record_len: record.len() as u32,
            named: (named.len() / 20) as u32,
            after,
        };
        wire.send_with(&request, &[record.as_ref(), named.as_ref()].concat())
            .await?;
        let (page, next) = match wire.receive().await? {
            NoticeReply::Letters { letters, next } if letters.len() <= MAX_PAGE => (letters, next),
            NoticeReply::Page { lengths, next } if lengths.len() <= MAX_PAGE => {
                let page = lengths.into_iter().map(|len| (LetterKind::Notice, len));
                (page.collect(), next)
            }
            NoticeReply::Refused(_) => return Err(WireError::Missing),
            _ => return Err(WireError::Malformed("a page of letters was expected")),
        };
        later += receive_page(wire, page, letters).await?;
        if next.is_none() {
            break;
        }
        after = next;
    }
    Ok(later)
}

async fn receive_page(
    wire: &mut Wire<Stream>,
    page: Vec<(LetterKind, u16)>,
    letters: &mut Vec<Letter>,
) -> Result<usize, WireError> {
    let mut later = 0;
    for (kind, len) in page {
        let bytes = wire.receive_bytes(len.into(), MAX_LETTER).await?;
        let verified = tokio::task::spawn_blocking(move || kind.verify(bytes)).await;
        match verified {
            Ok(Ok(letter)) => letters.push(letter),
            Ok(Err(StatementError::UnknownVersion { .. })) => later += 1,
            _ => return Err(WireError::Malformed("a letter does not verify")),
        }
    }
    Ok(later)
}

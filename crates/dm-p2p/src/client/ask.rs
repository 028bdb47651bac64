//! Asks one peer what it holds under a locator.

use std::sync::Arc;

use dm_core::{
    Address,
    envelope::{Envelope, SignedEnvelope},
    hash::Locator,
    signed::{Signed, Statement, StatementError},
};
use futures::FutureExt;
use libp2p::{PeerId, Stream};

use crate::{
    node::Context,
    wire::{MAX_ENVELOPES, MAX_OWNERS_NAMED, Reply, Request, Version, Wire, WireError},
};

/// Pages that one peer is asked for.
const MAX_PAGES: usize = 4;
/// Envelopes that one peer may bring, besides those of the owners that were named.
const MAX_OF_PEER: usize = 32;
/// Bytes of these envelopes.
const MAX_BYTES_OF_PEER: usize = 1024 * 1024;

/// The envelopes that a peer holds under a locator, those of `owners` first; their
/// signatures hold.
pub(super) async fn ask(
    context: &Context,
    peer: PeerId,
    locator: Locator,
    owners: &[Address],
) -> Result<Vec<SignedEnvelope>, WireError> {
    let owners: Arc<[Address]> = owners.iter().copied().take(MAX_OWNERS_NAMED).collect();
    let answer = context
        .streams
        .exchange(context, peer, move |wire| {
            ask_on(wire, locator, owners.clone()).boxed()
        })
        .await?;
    if answer.has_later_versions {
        context
            .peers
            .not_understood(peer, "an envelope of a later version");
    }
    Ok(answer.envelopes)
}

/// What a peer has sent so far.
struct Answer {
    locator: Locator,
    owners: Arc<[Address]>,
    envelopes: Vec<SignedEnvelope>,
    /// How many of them are of owners that were not named, and their bytes.
    unnamed: usize,
    unnamed_bytes: usize,
    has_later_versions: bool,
}

async fn ask_on(
    wire: &mut Wire<Stream>,
    locator: Locator,
    owners: Arc<[Address]>,
) -> Result<Answer, WireError> {
    let mut answer = Answer {
        locator,
        owners,
        envelopes: Vec::new(),
        unnamed: 0,
        unnamed_bytes: 0,
        has_later_versions: false,
    };
    match wire.version() {
        Version::One => ask_for_all(wire, &mut answer).await?,
        Version::Two | Version::Three | Version::Four => ask_for_pages(wire, &mut answer).await?,
    }
    Ok(answer)
}

async fn ask_for_all(wire: &mut Wire<Stream>, answer: &mut Answer) -> Result<(), WireError> {
    let locator = answer.locator;
    wire.send(&Request::Envelopes { locator }).await?;
    let Reply::Envelopes { lengths } = wire.receive().await? else {
        return Err(WireError::Malformed("envelopes were expected"));
    };
    answer.receive(wire, lengths).await
}

async fn ask_for_pages(wire: &mut Wire<Stream>, answer: &mut Answer) -> Result<(), WireError> {
    let (locator, mut owners, mut after) = (answer.locator, answer.owners.to_vec(), None);
    for _ in 0..MAX_PAGES {
        wire.send(&Request::FindEnvelopes {
            locator,
            owners: std::mem::take(&mut owners),
            after,
        })
        .await?;
        let (lengths, next) = match wire.receive().await? {
            Reply::EnvelopePage { lengths, next } => (lengths, next),
            _ => return Err(WireError::Malformed("a page of envelopes was expected")),
        };
        answer.receive(wire, lengths).await?;
        if next.is_none() || answer.is_full() {
            break;
        }
        after = next;
    }
    Ok(())
}

impl Answer {
    async fn receive(&mut self, wire: &mut Wire<Stream>, lengths: Vec<u32>) -> Result<(), WireError> {
        if lengths.len() > MAX_ENVELOPES {
            return Err(WireError::Malformed("too many envelopes"));
        }
        for len in lengths {
            let bytes = wire.receive_bytes(len as usize, Envelope::MAX_BYTES).await?;
            let verified = tokio::task::spawn_blocking(move || Signed::verify(bytes)).await;
            match verified {
                Ok(Ok(envelope)) if self.is_under_locator(&envelope) => self.take(envelope),
                Ok(Err(StatementError::UnknownVersion { .. })) => self.has_later_versions = true,
                _ => return Err(WireError::Malformed("an envelope does not verify")),
            }
        }
        Ok(())
    }

    fn is_under_locator(&self, envelope: &Envelope) -> bool {
        envelope.id.locator == self.locator
    }

    /// Keeps an envelope where the peer has not brought too many.
    fn take(&mut self, envelope: SignedEnvelope) {
        if !self.owners.contains(&envelope.id.owner) {
            if self.is_full() {
                return;
            }
            self.unnamed += 1;
            self.unnamed_bytes += envelope.bytes().len();
        }
        self.envelopes.push(envelope);
    }

    fn is_full(&self) -> bool {
        self.unnamed >= MAX_OF_PEER || self.unnamed_bytes >= MAX_BYTES_OF_PEER
    }
}

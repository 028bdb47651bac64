use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use dm_core::{
    envelope::{ObjectId, SignedEnvelope},
    ports::{NetworkError, NotTaken, PushReport, StoreError},
    span::in_same_trace,
};
use libp2p::PeerId;
use tokio::{
    sync::Semaphore,
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    newer::take_newer,
    offer::{OfferError, offer},
    takers::Takers,
};
use crate::{
    node::Context,
    wire::{OfferAnswer, Refusal, WireError},
};

/// Pushes that run at the same time.
const MAX_PUSHES: usize = 64;
/// Peers to which one object is offered.
const MAX_OFFERS: usize = 20;
/// Pushes whose last offers are still open after their end.
const MAX_LINGERING: usize = 64;

/// Hands out objects, a bounded number at a time.
pub(crate) struct Pushing {
    permits: Semaphore,
    lingering: Arc<Semaphore>,
}

impl Default for Pushing {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(MAX_PUSHES),
            lingering: Arc::new(Semaphore::new(MAX_LINGERING)),
        }
    }
}

impl Pushing {
    /// Offers a stored object to the closest peers that this node knows until
    /// `copies` of them hold it; where these are too few and the network is
    /// larger than this node knows, to the closest that a walk through the DHT
    /// finds.
    ///
    /// Nothing is offered to the peers in `avoid`, nor to other instances of this node.
    pub(crate) async fn push(
        &self,
        context: &Arc<Context>,
        id: &ObjectId,
        copies: usize,
        avoid: &[PeerId],
    ) -> Result<PushReport, NetworkError> {
        let envelope = match context.objects.envelope(id).await {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return Err(local(&StoreError::Missing)),
            Err(error) => return Err(local(&error)),
        };
        let candidates = MAX_OFFERS + avoid.len();
        let known = context.runner.known_near(&id.locator, candidates).await?;
        if known.is_empty() {
            return Ok(PushReport::default());
        }
        let _permit = self.permits.acquire().await.map_err(|_| NetworkError::Stopped)?;
        let knows_everybody = known.len() < candidates;
        if knows_everybody && known.iter().all(|peer| avoid.contains(peer)) {
            // There is nobody to offer it to.
            return Ok(PushReport::default());
        }
        let mut round = Round::new(context.clone(), envelope, copies, avoid);
        round.offer_to(known).await?;
        if round.is_short() && !knows_everybody {
            round
                .offer_to(context.runner.find_closest(&id.locator).await?)
                .await?;
        }
        if !round.has_told_holders_alone() {
            context.provide.push(id.locator);
        }
        context
            .holder_updates
            .transferred(*id, round.holders.iter().copied());
        Ok(round.end(&self.lingering))
    }
}

/// One object on its way to several peers.
struct Round {
    context: Arc<Context>,
    envelope: Arc<SignedEnvelope>,
    copies: usize,
    offered: HashSet<PeerId>,
    offers: JoinSet<OfferEnd>,
    /// The offers that have not come to their end, and until when each is waited for
    /// before another peer is offered the object in its place.
    open: HashMap<PeerId, Instant>,
    takers: Arc<Takers>,
    /// Peers that wanted the object when enough others were taking it.
    spare: Vec<PeerId>,
    holders: Vec<PeerId>,
    not_taken: Option<NotTaken>,
}

/// Who was offered the object, and what became of it.
type OfferEnd = (PeerId, Result<OfferAnswer, OfferError>);

impl Round {
    fn new(context: Arc<Context>, envelope: SignedEnvelope, copies: usize, avoid: &[PeerId]) -> Self {
        Self {
            offered: avoid
                .iter()
                .copied()
                .chain(context.siblings())
                .chain([context.local])
                .collect(),
            context,
            envelope: Arc::new(envelope),
            copies,
            offers: JoinSet::new(),
            open: HashMap::new(),
            takers: Takers::new(copies),
            spare: Vec::new(),
            holders: Vec::new(),
            not_taken: None,
        }
    }

    /// Whether peers hold the object, and none of them was sent anything but the envelope: it
    /// was announced when they got it.
    fn has_told_holders_alone(&self) -> bool {
        !self.holders.is_empty() && !self.takers.was_sent_any()
    }

    fn is_short(&self) -> bool {
        self.holders.len() < self.copies
    }

    /// Of several reasons the one that will last longest counts.
    fn note_not_taken(&mut self, reason: NotTaken) {
        self.not_taken = self.not_taken.max(Some(reason));
    }

    /// Offers to peers, the most promising first, to as many at once as copies are missing.
    /// One that does not answer in its usual time is waited for no longer: another one is
    /// offered the object as well.
    async fn offer_to(&mut self, mut candidates: Vec<PeerId>) -> Result<(), NetworkError> {
        candidates.retain(|peer| !self.context.peers.is_banned(peer) && self.offered.insert(*peer));
        candidates.sort_by_cached_key(|peer| self.context.peers.prospect(peer));
        let mut candidates = candidates.into_iter().peekable();
        while self.is_short() {
            while self.has_room(Instant::now())
                && let Some(peer) = candidates.next().or_else(|| self.spare.pop())
            {
                self.offer_to_one(peer);
            }
            let others_are_left = candidates.peek().is_some() || !self.spare.is_empty();
            let patience = self.next_patience().filter(|_| others_are_left);
            tokio::select! {
                ended = self.offers.join_next() => match ended {
                    Some(ended) => self.on_ended(ended).await?,
                    None => return Ok(()),
                },
                () = wait_until(patience) => {}
            }
        }
        Ok(())
    }

    /// Whether a further peer is to be offered the object: fewer copies are to be expected
    /// than are wanted.
    fn has_room(&self, now: Instant) -> bool {
        let promising = self.promises().filter(|until| now < *until).count();
        promising < self.copies - self.holders.len()
    }

    /// When the first of the open offers stops being promising.
    fn next_patience(&self) -> Option<Instant> {
        let now = Instant::now();
        self.promises().filter(|until| now < *until).min()
    }

    /// Until when each open offer promises a copy, unless something moves.
    fn promises(&self) -> impl Iterator<Item = Instant> {
        let open = self.open.iter();
        open.map(|(peer, patience)| self.takers.promising_until(peer).unwrap_or(*patience))
    }

    fn offer_to_one(&mut self, peer: PeerId) {
        let patience = self.context.peers.answer_times.patience(&peer);
        self.open.insert(peer, Instant::now() + patience);
        let (context, envelope, takers) = (self.context.clone(), self.envelope.clone(), self.takers.clone());
        let offering = async move { (peer, offer(&context, peer, &envelope, &takers).await) };
        self.offers.spawn(in_same_trace(offering));
    }

    async fn on_ended(&mut self, ended: Result<OfferEnd, JoinError>) -> Result<(), NetworkError> {
        let (peer, outcome) = match ended {
            Ok(ended) => ended,
            // Offers neither panic nor are aborted while anybody waits for them.
            Err(error) => {
                tracing::error!(%error, "offering an object failed");
                return Ok(());
            }
        };
        self.open.remove(&peer);
        match outcome {
            Ok(OfferAnswer::Held) => {
                self.holders.push(peer);
                self.takers
                    .set_missing(self.copies.saturating_sub(self.holders.len()));
            }
            Err(OfferError::Peer(WireError::Unneeded)) => self.spare.push(peer),
            Ok(OfferAnswer::Refused(Refusal::Stale)) => {
                take_newer(&self.context, peer, &self.envelope).await;
            }
            Ok(answer) => {
                tracing::debug!(%peer, ?answer, "an object was not taken");
                self.note_not_taken(reason(answer));
            }
            Err(OfferError::Peer(error)) => {
                tracing::debug!(%peer, %error, "an object was not handed on");
                self.note_not_taken(NotTaken::Unreachable);
            }
            Err(OfferError::Local(error)) => return Err(local(&error)),
        }
        Ok(())
    }

    /// What became of the object. Offers that are still open end by themselves, so that
    /// peers that do not answer are found out.
    fn end(self, lingering: &Arc<Semaphore>) -> PushReport {
        let Self {
            context,
            envelope,
            mut offers,
            takers,
            holders,
            not_taken,
            ..
        } = self;
        if !offers.is_empty()
            && let Ok(permit) = lingering.clone().try_acquire_owned()
        {
            takers.set_missing(0);
            tokio::spawn(async move {
                while let Some(ended) = offers.join_next().await {
                    if let Ok((peer, Ok(OfferAnswer::Held))) = ended {
                        context.holder_updates.transferred(envelope.id, [peer]);
                    }
                }
                drop(permit);
            });
        }
        PushReport {
            holders: holders.into_iter().map(PeerId::to_base58).collect(),
            not_taken,
        }
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Why a peer did not take an object that it was offered.
fn reason(answer: OfferAnswer) -> NotTaken {
    match answer {
        OfferAnswer::Refused(Refusal::TooLarge) => NotTaken::TooLarge,
        OfferAnswer::Refused(Refusal::Full) => NotTaken::Full,
        _ => NotTaken::Busy,
    }
}

fn local(error: &StoreError) -> NetworkError {
    NetworkError::Local(error.to_string())
}

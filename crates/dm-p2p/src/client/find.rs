use std::collections::HashSet;

use dm_core::{
    Address,
    envelope::SignedEnvelope,
    hash::Locator,
    ports::{Found, NetworkError},
    trace::{AskedFor, Trace},
};
use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::PeerId;
use tokio::time::{Instant, timeout_at};

use super::{
    answer_deadline::AnswerDeadline,
    ask::ask,
    exchange_trace::trace_exchange,
    merge::{Answers, Merged},
};
use crate::{
    node::{Context, LookupTrace},
    peers::Merit,
    wire::WireError,
};

/// Connected peers that are asked directly, those closest to the locator.
const MAX_CONNECTED: usize = 32;
/// Strangers with an answer that are believed to hide nothing.
const RELIABLE: usize = 3;
/// Peers that are asked for one locator.
pub(super) const MAX_ASKED: usize = 64;

/// Asks connected peers, and the providers that the DHT knows, for what they
/// hold under a locator, above all for the objects of `owners`.
pub(crate) async fn find(
    context: &Context,
    locator: &Locator,
    owners: &[Address],
    trace: &Trace,
) -> Result<Vec<Found>, NetworkError> {
    let connected = context.runner.connected_near(locator, MAX_CONNECTED).await?;
    trace.asked_dht();
    let mut providers = context.runner.find_providers(locator).await?;
    let mut deadline = AnswerDeadline::new(Instant::now());
    let mut answers = Answers::of_interest(owners);
    let mut asked: HashSet<PeerId> = connected.iter().copied().collect();
    let ask = |peer: PeerId| async move { (peer, ask_traced(context, peer, *locator, owners, trace).await) };
    let mut asking: FuturesUnordered<_> = connected.into_iter().map(ask).collect();
    let mut dht_answers = true;
    while dht_answers || !asking.is_empty() {
        tokio::select! {
            provider = providers.recv(), if dht_answers => match provider {
                Some(found) => {
                    if asked.len() < MAX_ASKED && !context.peers.is_banned(&found.peer) && asked.insert(found.peer) {
                        asking.push(ask(found.peer));
                    }
                }
                None => dht_answers = false,
            },
            Some((peer, answer)) = asking.next() => {
                // A peer that failed has been noted; it has nothing to say.
                answers.add(peer, answer.unwrap_or_default());
                shorten(&mut deadline, &answers, context.peers.merit(&peer));
            },
            () = tokio::time::sleep_until(deadline.instant()) => break,
        }
    }
    Ok(found(context, locator, answers))
}

/// Asks the peers that are known to hold something under a locator, and
/// nobody else.
pub(crate) async fn find_at_known(
    context: &Context,
    locator: &Locator,
    owners: &[Address],
    trace: &Trace,
) -> Result<Vec<Found>, NetworkError> {
    let mut known = known_holders(context, locator).await;
    // Who was away when it was last tried would only cost time.
    known.retain(|peer| !context.peers.is_banned(peer) && !context.peers.book.is_doubtful(peer));
    let mut deadline = AnswerDeadline::new(Instant::now());
    let mut answers = Answers::of_interest(owners);
    let ask = |peer: PeerId| async move { (peer, ask_traced(context, peer, *locator, owners, trace).await) };
    let mut asking: FuturesUnordered<_> = known.into_iter().map(ask).collect();
    while let Ok(Some((peer, answer))) = timeout_at(deadline.instant(), asking.next()).await {
        answers.add(peer, answer.unwrap_or_default());
        shorten(&mut deadline, &answers, context.peers.merit(&peer));
    }
    Ok(found(context, locator, answers))
}

/// Shortens the wait once there are answers, the last of which came from a peer of this
/// merit. Nobody can answer for the owners that were named but those who have their
/// objects; where none were, it takes a peer that is known, or several.
fn shorten(deadline: &mut AnswerDeadline, answers: &Answers, merit: Merit) {
    if !answers.are_enough() {
        return;
    }
    let now = Instant::now();
    if answers.have_owners() || merit == Merit::Useful || answers.count() >= RELIABLE {
        deadline.answered(now);
    } else {
        deadline.doubtfully_answered(now);
    }
}

/// Who is known to hold something under the locator, from this run and from
/// earlier ones.
async fn known_holders(context: &Context, locator: &Locator) -> Vec<PeerId> {
    let mut known = context.holder_updates.cache.get(locator);
    let Some(holder_index) = &context.holder_index else {
        return known;
    };
    let noted = holder_index.holders(locator).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the holders of an object cannot be looked up");
        Vec::new()
    });
    for peer in noted.iter().filter_map(|peer| peer.parse().ok()) {
        if peer != context.local && !known.contains(&peer) {
            known.push(peer);
        }
    }
    known.truncate(MAX_ASKED);
    known
}

/// What the answers come to; who holds it is remembered.
fn found(context: &Context, locator: &Locator, answers: Answers) -> Vec<Found> {
    let merged = answers.merge();
    let holders = merged.iter().flat_map(|merged| merged.holders.iter().copied());
    context.holder_updates.cache.insert(*locator, holders);
    merged.into_iter().map(|merged| ranked(context, merged)).collect()
}

async fn ask_traced(
    context: &Context,
    peer: PeerId,
    locator: Locator,
    owners: &[Address],
    trace: &Trace,
) -> Result<Vec<SignedEnvelope>, WireError> {
    let count = |envelopes: &Vec<SignedEnvelope>| {
        let bytes = envelopes.iter().map(|envelope| envelope.bytes().len()).sum();
        (envelopes.len(), bytes)
    };
    let asked = ask(context, peer, locator, owners);
    trace_exchange(context, trace, peer, AskedFor::Envelopes, count, asked).await
}

fn ranked(
    context: &Context,
    Merged {
        envelope,
        mut holders,
    }: Merged,
) -> Found {
    context.peers.book.rank(&mut holders);
    Found {
        envelope,
        holders: holders.into_iter().map(PeerId::to_base58).collect(),
    }
}

/// Looks the providers of a locator up on the DHT and counts what it takes.
pub(crate) async fn trace_lookup(context: &Context, locator: &Locator) -> Result<LookupTrace, NetworkError> {
    let mut providers = context.runner.find_providers(locator).await?;
    let mut deadline = AnswerDeadline::new(Instant::now());
    let mut trace = LookupTrace::default();
    while let Ok(Some(found)) = timeout_at(deadline.instant(), providers.recv()).await {
        trace.requests_to_first.get_or_insert(found.requests);
        trace.providers.push(found.peer.to_base58());
        deadline.answered(Instant::now());
    }
    Ok(trace)
}

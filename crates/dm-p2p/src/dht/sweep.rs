//! Announcing on the DHT, again and again, everything that this node has.
//!
//! Provider records expire, and the peers closest to a locator change. A walk through the
//! DHT for each of millions of objects would take longer than the records live. So the
//! objects are swept: a window of them is sorted by the places of their locators on the
//! DHT, the peers closest to a region are looked up once, and each of these is told all
//! locators of the region in a few messages.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dm_core::{
    envelope::ObjectId,
    hash::Locator,
    ports::{NetworkError, StoreError},
};
use futures::{FutureExt, StreamExt};
use libp2p::{PeerId, Stream};
use tokio_util::sync::CancellationToken;

use super::region::{CLOSEST, KeyBits, Region};
use crate::{
    node::Context,
    wire::{MAX_ANNOUNCED, Reply, Request, Version, Wire, WireError, encode_locators},
};

/// From the beginning of a sweep to that of the next: a peer may miss some of them before
/// its records expire.
const PERIOD: Duration = Duration::from_secs(12 * 60 * 60);
/// Time for one object, where there are not too many for the period: with this, ten
/// million take eleven hours.
const PACE: Duration = Duration::from_millis(4);
/// Time for one object that is announced in a walk of its own.
const SINGLE_PACE: Duration = Duration::from_millis(50);
/// Objects that are sorted at once, 40 bytes each.
const WINDOW: usize = 128 * 1024;
/// Objects that are listed at once.
const PAGE: usize = 1024;
/// Peers that are told at the same time.
const TOLD_AT_ONCE: usize = 4;
/// Between two looks whether there are peers to announce to.
const PEERLESS_PAUSE: Duration = Duration::from_secs(5);

/// What it took to announce everything that is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepTrace {
    /// Locators that were announced.
    pub locators: u64,
    /// Walks through the DHT, each for a region.
    pub lookups: u64,
    /// Messages with locators that peers took.
    pub messages: u64,
    /// Locators that were announced in a walk of their own, because too few of the peers
    /// that are closest understand more than one at a time.
    pub one_by_one: u64,
}

/// Announces everything that is stored, now and again at intervals.
pub(crate) async fn provide_stored(
    context: Arc<Context>,
    shutdown: CancellationToken,
) -> Result<(), StoreError> {
    let mut pace = PACE;
    loop {
        let round = async {
            let begun = Instant::now();
            let swept = Sweep::new(&context, Some(pace)).run().await?;
            pace = pace_for(swept.locators);
            tokio::time::sleep(PERIOD.saturating_sub(begun.elapsed())).await;
            Ok(())
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            done = round => done?,
        }
    }
}

/// Announces everything that is stored once, as fast as peers take it.
pub(crate) async fn sweep_now(context: &Context) -> Result<SweepTrace, NetworkError> {
    let swept = Sweep::new(context, None).run().await;
    swept.map_err(|error| NetworkError::Local(error.to_string()))
}

/// Time for one of so many objects.
fn pace_for(locators: u64) -> Duration {
    let count = u32::try_from(locators).unwrap_or(u32::MAX).max(1);
    PACE.min(PERIOD / count)
}

/// Announces a few locators at once, as soon as there are peers.
pub(crate) async fn announce_together(context: &Context, locators: &[Locator]) {
    let placed = locators
        .iter()
        .map(|locator| (KeyBits::of(locator.as_bytes()), *locator));
    let mut placed: Vec<Placed> = placed.collect();
    placed.sort_unstable_by_key(|(place, _)| *place);
    Sweep::new(context, None).announce(&placed).await;
}

/// One pass over the store. Its state is a window of locators, however many there are.
struct Sweep<'a> {
    context: &'a Context,
    /// Time for one object; `None` to take no more than it needs.
    pace: Option<Duration>,
    trace: SweepTrace,
}

/// A locator and where the DHT has it.
type Placed = (KeyBits, Locator);

impl<'a> Sweep<'a> {
    fn new(context: &'a Context, pace: Option<Duration>) -> Self {
        Self {
            context,
            pace,
            trace: SweepTrace::default(),
        }
    }

    async fn run(mut self) -> Result<SweepTrace, StoreError> {
        let mut after = None;
        loop {
            let mut window = self.next_window(&mut after).await?;
            if window.is_empty() {
                return Ok(self.trace);
            }
            window.sort_unstable_by_key(|(place, _)| *place);
            self.announce(&window).await;
        }
    }

    /// The locators of the objects that follow, each once.
    async fn next_window(&self, after: &mut Option<ObjectId>) -> Result<Vec<Placed>, StoreError> {
        let objects = &self.context.objects;
        let mut window: Vec<Placed> = Vec::new();
        while window.len() < WINDOW {
            let page = objects.list(after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            *after = Some(*last);
            for id in page.iter().filter(|id| !objects.is_damaged(id)) {
                let before = window.last().map(|(_, locator)| *locator);
                if before != Some(id.locator) {
                    window.push((KeyBits::of(id.locator.as_bytes()), id.locator));
                }
            }
        }
        Ok(window)
    }

    /// Announces locators in the order of their places.
    async fn announce(&mut self, mut window: &[Placed]) {
        while let Some((place, locator)) = window.first() {
            let closest = self.closest_to(locator).await;
            let are_everybody = closest.len() < CLOSEST && self.known_near(locator).await <= closest.len();
            let region = Region::around(*place, &closest, are_everybody);
            let end = window.partition_point(|(place, _)| region.contains(*place));
            for some in window[..end].chunks(MAX_ANNOUNCED) {
                let locators: Vec<Locator> = some.iter().map(|(_, locator)| *locator).collect();
                self.announce_to(&closest, &locators).await;
            }
            window = &window[end..];
        }
    }

    /// The peers closest to a locator; waits until there is one.
    async fn closest_to(&mut self, locator: &Locator) -> Vec<PeerId> {
        loop {
            if self.context.runner.has_peers().await
                && let Ok(closest) = self.context.runner.find_closest(locator).await
            {
                self.trace.lookups += 1;
                if !closest.is_empty() {
                    return closest;
                }
            }
            tokio::time::sleep(PEERLESS_PAUSE).await;
        }
    }

    /// How many peers this node knows, at most as many as are asked for a key.
    async fn known_near(&self, locator: &Locator) -> usize {
        let known = self.context.runner.known_near(locator, CLOSEST).await;
        known.map_or(CLOSEST, |known| known.len())
    }

    /// Tells peers a few locators, and takes the time that these have.
    async fn announce_to(&mut self, peers: &[PeerId], locators: &[Locator]) {
        let begun = Instant::now();
        let context = self.context;
        let mut peers = peers.to_vec();
        peers.retain(|peer| !context.peers.is_banned(peer));
        let asked = peers.len();
        let told = futures::stream::iter(peers)
            .map(|peer| announce_to_peer(context, peer, locators))
            .buffer_unordered(TOLD_AT_ONCE)
            .filter(|told| futures::future::ready(*told))
            .count()
            .await;
        self.trace.locators += locators.len() as u64;
        self.trace.messages += told as u64;
        if told * 2 < asked {
            self.announce_one_by_one(locators).await;
        }
        if let Some(pace) = self.pace {
            let time = pace * u32::try_from(locators.len()).unwrap_or(u32::MAX);
            tokio::time::sleep(time.saturating_sub(begun.elapsed())).await;
        }
    }

    /// As a node does that speaks version 1 only, for such nodes.
    async fn announce_one_by_one(&mut self, locators: &[Locator]) {
        for locator in locators {
            self.context.runner.provide(locator).await;
            self.trace.one_by_one += 1;
            tokio::time::sleep(SINGLE_PACE).await;
        }
    }
}

/// Tells a peer what this node provides; whether it took it.
async fn announce_to_peer(context: &Context, peer: PeerId, locators: &[Locator]) -> bool {
    let bytes = encode_locators(locators);
    let count = locators.len() as u32;
    let told = context.streams.exchange(context, peer, |wire| {
        let bytes = bytes.clone();
        async move { announce_on(wire, count, &bytes).await }.boxed()
    });
    told.await.unwrap_or_else(|error| {
        tracing::debug!(%peer, %error, "a peer did not take an announcement");
        false
    })
}

async fn announce_on(wire: &mut Wire<Stream>, count: u32, locators: &[u8]) -> Result<bool, WireError> {
    if wire.version() < Version::Two {
        return Ok(false);
    }
    wire.send_with(&Request::Announce { count }, locators).await?;
    match wire.receive().await? {
        Reply::Announced { .. } => Ok(true),
        _ => Err(WireError::Malformed("an announcement was to be confirmed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dht::RECORD_TTL;

    #[test]
    fn ten_million_objects_are_announced_well_before_their_records_expire() {
        assert!(PACE * 10_000_000 < PERIOD);
        for locators in [1, 10_000_000, 30_000_000, 100_000_000] {
            let took = pace_for(locators) * u32::try_from(locators).unwrap();
            assert!(took <= PERIOD && PERIOD * 3 < RECORD_TTL, "{locators}: {took:?}");
        }
    }
}

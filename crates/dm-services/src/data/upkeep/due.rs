//! How every kind of work goes through what is due: page by page with a cursor, so
//! that all of it is reached however much there is, some entries at the same time, so
//! that one that takes long holds up nothing but itself; and what is known of it.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use dm_core::clock::now_ms;
use futures::{StreamExt, stream::FuturesUnordered};

use super::PAGE;
use crate::ServiceError;

/// A walk rests no longer than this after a page.
const LONGEST_REST: Duration = Duration::from_secs(3);

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    Recording,
    Granting,
    Receipts,
    Refunding,
    Erasing,
    Expiring,
    Revoking,
    FetchingBack,
    Collecting,
    Uploading,
}

impl Work {
    /// What is late, as the subject of a sentence.
    pub(super) const fn subject(self) -> &'static str {
        match self {
            Self::Recording => "recording interrupted shares",
            Self::Granting => "making owed grants",
            Self::Receipts => "adding receipts to their objects",
            Self::Refunding => "giving back payments without a share",
            Self::Erasing => "finishing erasures",
            Self::Expiring => "erasing expired data",
            Self::Revoking => "finishing revocations",
            Self::FetchingBack => "fetching back own objects that are not stored here",
            Self::Collecting => "collecting what belongs to no share",
            Self::Uploading => "sharing complete uploads and removing expired ones",
        }
    }

    /// Entries that are handled at the same time.
    const fn at_once(self) -> usize {
        match self {
            // Each encrypts an object anew, or reads one.
            Self::Revoking | Self::Uploading => 4,
            // It walks through everything, and nobody waits for it.
            Self::FetchingBack | Self::Collecting => 2,
            _ => 16,
        }
    }
}

impl Work {
    /// How long is waited after a page, in relation to what it took: the walks through
    /// everything that is stored take a small part of one core, however much it is.
    const fn rest(self) -> u32 {
        match self {
            Self::FetchingBack | Self::Collecting => 100,
            _ => 0,
        }
    }
}

/// An entry that is due.
pub(super) struct Due<Cursor, Item> {
    /// Its place in the order of its kind.
    pub(super) cursor: Cursor,
    /// Since when it is due, in milliseconds since the Unix epoch, where that is known.
    pub(super) since: Option<u64>,
    pub(super) item: Item,
}

/// How one kind of work finds what is due, and does it.
#[async_trait]
pub(super) trait DueWork: Sync {
    const KIND: Work;
    /// The place of an entry in the order of its kind.
    type Cursor: Clone + Send + Sync;
    type Item: Send;

    /// At most [`PAGE`] entries after `after`; fewer at the end.
    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError>;

    async fn handle(&self, item: Self::Item) -> Result<(), ServiceError>;
}

/// How far all the work is.
#[derive(Default)]
pub(super) struct Works {
    progress: Mutex<BTreeMap<Work, Progress>>,
}

/// How far one kind of work is.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// When the present round has begun.
    pub(super) began: Option<u64>,
    /// When the entries are due that are being handled, and how many are due then.
    pub(super) open: BTreeMap<u64, usize>,
    /// Rounds in a row in which something failed.
    pub(super) failed_rounds: u64,
    /// When the first of these rounds has begun.
    pub(super) failing_since: Option<u64>,
    /// What failed in the present round, or else in the last one.
    pub(super) failures: Failures,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Failures {
    pub(super) count: u64,
    /// Of those that failed, since when the oldest is due.
    pub(super) oldest: Option<u64>,
    /// Why the first one failed.
    pub(super) reason: String,
}

impl Progress {
    /// Since when the oldest entry is due that is not done.
    pub(super) fn oldest_due(&self) -> Option<u64> {
        let open = self.open.keys().next().copied();
        open.into_iter().chain(self.failures.oldest).min()
    }
}

/// The work of a run of the leader: what is known of it ends with the run.
pub(super) struct RunOfLeader<'a>(&'a Works);

impl Drop for RunOfLeader<'_> {
    fn drop(&mut self) {
        // Each instance does this for itself.
        self.0.lock().retain(|work, _| *work == Work::Uploading);
    }
}

impl Works {
    /// Until what comes of it is dropped.
    pub(super) fn run_of_leader(&self) -> RunOfLeader<'_> {
        RunOfLeader(self)
    }

    /// What is known of every kind of work.
    pub(super) fn progress(&self) -> BTreeMap<Work, Progress> {
        self.lock().clone()
    }

    fn update(&self, work: Work, change: impl FnOnce(&mut Progress)) {
        change(self.lock().entry(work).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Work, Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One round of a kind of work.
struct Round<'a> {
    works: &'a Works,
    work: Work,
    failures: Mutex<Failures>,
}

impl<'a> Round<'a> {
    fn begin(works: &'a Works, work: Work) -> Self {
        works.update(work, |progress| progress.began = Some(now_ms()));
        Self {
            works,
            work,
            failures: Mutex::default(),
        }
    }

    async fn handle<Kind: DueWork>(&self, kind: &Kind, due: Due<Kind::Cursor, Kind::Item>) {
        self.open(due.since);
        if let Err(error) = kind.handle(due.item).await {
            self.note(due.since, &error);
        }
        self.close(due.since);
    }

    fn has_failed(&self) -> bool {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).count > 0
    }

    fn note(&self, since: Option<u64>, error: &ServiceError) {
        tracing::warn!(%error, "{} failed for one entry; it is tried again", self.work.subject());
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.count == 0 {
            failures.reason = error.to_string();
        }
        failures.count += 1;
        failures.oldest = failures.oldest.into_iter().chain(since).min();
    }

    fn open(&self, since: Option<u64>) {
        self.works.update(self.work, |progress| {
            if let Some(since) = since {
                *progress.open.entry(since).or_default() += 1;
            }
        });
    }

    fn close(&self, since: Option<u64>) {
        self.works.update(self.work, |progress| {
            if let Some(since) = since
                && let Some(count) = progress.open.get_mut(&since)
            {
                *count -= 1;
                if *count == 0 {
                    progress.open.remove(&since);
                }
            }
        });
    }
}

impl Drop for Round<'_> {
    /// Also where the work is broken off.
    fn drop(&mut self) {
        let failures = std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner));
        self.works.update(self.work, |progress| {
            progress.open.clear();
            let began = progress.began.take();
            if failures.count == 0 {
                progress.failed_rounds = 0;
                progress.failing_since = None;
            } else {
                progress.failed_rounds += 1;
                progress.failing_since = progress.failing_since.or(began);
            }
            progress.failures = failures;
        });
    }
}

impl Works {
    /// One round: handles everything that is due. What fails stays due, and does not
    /// stop the others. Whether everything succeeded.
    pub(super) async fn each_due<Kind: DueWork>(&self, kind: &Kind) -> bool {
        let round = Round::begin(self, Kind::KIND);
        let mut handled = FuturesUnordered::new();
        let (mut waiting, mut after, mut is_last) = (VecDeque::new(), None, false);
        let mut began = Instant::now();
        loop {
            if waiting.is_empty() && !is_last {
                if after.is_some() && Kind::KIND.rest() > 0 {
                    // What they have locked is not locked during the rest.
                    while handled.next().await.is_some() {}
                    let rest = began.elapsed().saturating_mul(Kind::KIND.rest());
                    tokio::time::sleep(rest.min(LONGEST_REST)).await;
                    began = Instant::now();
                }
                match beside(&mut handled, kind.page(after.take())).await {
                    Ok(page) => {
                        is_last = page.len() < PAGE;
                        after = page.last().map(|last| last.cursor.clone());
                        waiting.extend(page);
                    }
                    Err(error) => {
                        is_last = true;
                        round.note(None, &error);
                    }
                }
            }
            while handled.len() < Kind::KIND.at_once()
                && let Some(due) = waiting.pop_front()
            {
                handled.push(round.handle(kind, due));
            }
            let is_done = handled.next().await.is_none();
            if is_done && is_last {
                return !round.has_failed();
            }
        }
    }
}

/// Waits for a future while the work under way goes on. Work that nobody polls keeps what it
/// has, such as a connection to the catalog that the future waits for.
async fn beside<T>(
    under_way: &mut FuturesUnordered<impl Future<Output = ()>>,
    future: impl Future<Output = T>,
) -> T {
    let mut future = pin!(future);
    loop {
        tokio::select! {
            ready = &mut future => return ready,
            Some(()) = under_way.next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// Work whose pages and entries need the only connection, as those of a busy catalog do.
    struct Starving {
        connection: Semaphore,
        handled: Mutex<u64>,
    }

    #[async_trait]
    impl DueWork for Starving {
        const KIND: Work = Work::Receipts;
        type Cursor = u64;
        type Item = u64;

        async fn page(&self, after: Option<u64>) -> Result<Vec<Due<u64, u64>>, ServiceError> {
            let _connection = self.connection.acquire().await.unwrap();
            let first = after.map_or(0, |after| after + 1);
            let entries = (first..first + PAGE as u64).filter(|entry| *entry < 3 * PAGE as u64);
            let due = |entry| Due {
                cursor: entry,
                since: None,
                item: entry,
            };
            Ok(entries.map(due).collect())
        }

        async fn handle(&self, _entry: u64) -> Result<(), ServiceError> {
            let _connection = self.connection.acquire().await.unwrap();
            tokio::task::yield_now().await;
            *self.handled.lock().unwrap() += 1;
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_under_way_goes_on_while_a_page_is_waited_for() {
        let kind = Starving {
            connection: Semaphore::new(1),
            handled: Mutex::default(),
        };
        let works = Works::default();
        let round = works.each_due(&kind);
        let ended = tokio::time::timeout(Duration::from_secs(60), round).await;
        assert_eq!(ended, Ok(true));
        assert_eq!(*kind.handled.lock().unwrap(), 3 * PAGE as u64);
    }
}

//! The right to do what only one instance may do: taken, kept while that is possible, and
//! given up before another instance can have it.

mod leader_health;
mod led_health;
mod led_store;
mod term;

#[cfg(test)]
mod tests;

use std::{convert::Infallible, fmt::Display, sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_core::{
    instance::InstanceId,
    lease::Epoch,
    ports::{CatalogError, LeaderTask, Leads, Leases},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

pub use self::term::Term;

/// How long the leader leads without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeadershipConfig {
    /// How long a lease lasts from when it was taken or renewed.
    pub lasts: Duration,
    /// Between two renewals, and on average between two attempts to take it.
    pub renew_every: Duration,
    /// How long before its end the lease counts as over. The leader's tasks have as long to
    /// end, and the clocks of the database and of this machine may run as far apart during one
    /// lease.
    pub margin: Duration,
}

impl LeadershipConfig {
    /// How long nobody leads at most where a leader is killed and another instance runs: its lease
    /// ends, and the pause between two attempts is one and a half of the usual one at most.
    fn longest_takeover(&self) -> Duration {
        self.lasts + self.renew_every.mul_f64(1.5)
    }
}

impl Default for LeadershipConfig {
    /// Another instance asks for the lease at most 7.5 s after the leader was killed.
    fn default() -> Self {
        Self {
            lasts: Duration::from_secs(6),
            renew_every: Duration::from_secs(1),
            margin: Duration::from_secs(1),
        }
    }
}

/// Takes the lease and keeps it, and lets tasks run only meanwhile. Cheap to clone.
///
/// All times are measured from before a question is sent, by a clock that nobody sets
/// ([`Instant`]), so that a term is over for its instance before it is over for the database,
/// however late the answer came and whatever time this machine believes it is.
#[derive(Clone)]
pub struct Leadership {
    leases: Arc<dyn Leases>,
    instance: InstanceId,
    config: LeadershipConfig,
    term: watch::Sender<Option<Term>>,
}

impl Leadership {
    /// Leads nothing before [`run`](Self::run).
    pub fn new(leases: Arc<dyn Leases>, instance: InstanceId, config: LeadershipConfig) -> Self {
        Self {
            leases,
            instance,
            config,
            term: watch::Sender::new(None),
        }
    }

    /// The epoch in which this instance leads at this moment.
    pub fn epoch(&self) -> Option<Epoch> {
        let term = self.term.borrow();
        term.as_ref().filter(|term| term.holds()).map(Term::epoch)
    }

    /// Takes the lease whenever it can be had, and keeps it, until the shutdown: then the
    /// leader's tasks end, and the lease is given back. To be run once at a time.
    ///
    /// # Errors
    /// Never; a database that is away is asked again.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut is_away = false;
        while !shutdown.is_cancelled() {
            let asked = Instant::now();
            let taken = self.answered(self.take()).await;
            if let Err(error) = &taken
                && !is_away
            {
                tracing::warn!(%error, "the lease of the leader cannot be asked for");
            }
            is_away = taken.is_err();
            if let Ok(Some(epoch)) = taken {
                self.lead(epoch, self.over_at(asked), &shutdown).await;
            }
            shutdown
                .run_until_cancelled(tokio::time::sleep(self.pause()))
                .await;
        }
        Ok(())
    }

    /// Runs `make`'s tasks in each term of this instance, until the shutdown: each of their
    /// writes is made [in its epoch](dm_core::lease::in_epoch). They are told the end of the
    /// term, and are dropped where they have not ended a margin later. Tasks that return before
    /// are not started again in the same term.
    ///
    /// # Errors
    /// That of the tasks, except where they failed since the term is over.
    pub async fn while_leading<Tasks, Error>(
        &self,
        shutdown: CancellationToken,
        make: impl Fn(Term) -> Tasks,
    ) -> Result<(), Error>
    where
        Tasks: Future<Output = Result<(), Error>>,
        Error: Display,
    {
        // A lease that the database does not count as held is not renewed by the next renewal.
        let notice = self.config.renew_every + self.config.margin;
        let mut terms = self.term.subscribe();
        let mut last = Epoch(0);
        loop {
            let next = terms.wait_for(|term| term.as_ref().is_some_and(|term| term.epoch() > last));
            let term = match shutdown.run_until_cancelled(next).await {
                Some(Ok(term)) => term.clone(),
                // The sender lives as long as this call.
                Some(Err(_)) | None => return Ok(()),
            };
            let Some(term) = term else { continue };
            last = term.epoch();
            term.run(self.config.margin, notice, &make).await?;
        }
    }

    /// Takes the lease, unless another instance has it: a look costs the database less than a
    /// write, which waits for all others.
    async fn take(&self) -> Result<Option<Epoch>, CatalogError> {
        match self.leases.lease().await? {
            Some(lease) if lease.instance != self.instance => Ok(None),
            _ => self.leases.take_lease(self.instance, self.config.lasts).await,
        }
    }

    /// Leads until the term is over, and ends its tasks before anything else happens.
    async fn lead(&self, epoch: Epoch, until: Instant, shutdown: &CancellationToken) {
        let term = Term::new(epoch, until);
        if !term.holds() {
            tracing::warn!(%epoch, "the lease was given to this instance too late to be of use");
            return;
        }
        tracing::info!(%epoch, "this instance leads");
        let published = Published::new(&self.term, &term);
        let why = shutdown.run_until_cancelled(self.keep(&term)).await;
        drop(published);
        term.ended().await;
        match why {
            Some(why) => tracing::warn!(%epoch, why, "this instance does not lead any more"),
            None => self.give_back(epoch).await,
        }
    }

    /// Renews the lease until that is not possible any more; why.
    async fn keep(&self, term: &Term) -> &'static str {
        loop {
            let pause = tokio::time::sleep(self.config.renew_every);
            if term.until_over(pause).await.is_none() {
                return "it did not run for too long";
            }
            let asked = Instant::now();
            let renewing = self.leases.renew_lease(term.epoch(), self.config.lasts);
            match term.until_over(self.answered(renewing)).await {
                Some(Ok(true)) => term.extend(self.over_at(asked)),
                Some(Ok(false)) => return "another instance may lead",
                // The next renewal may be in time.
                Some(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
                None => return "the database did not renew the lease in time",
            }
        }
    }

    /// The lease ends by itself where this fails.
    async fn give_back(&self, epoch: Epoch) {
        match self.answered(self.leases.give_back_lease(epoch)).await {
            Ok(_) => tracing::info!(%epoch, "this instance has given the lease back"),
            Err(error) => tracing::warn!(%epoch, %error, "the lease was not given back; it ends by itself"),
        }
    }

    /// An answer that comes while it can be of use.
    async fn answered<T>(
        &self,
        asked: impl Future<Output = Result<T, CatalogError>>,
    ) -> Result<T, CatalogError> {
        match tokio::time::timeout(self.config.lasts, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(CatalogError::Unavailable("it does not answer".to_owned())),
        }
    }

    /// When a lease is over for this instance that was asked for at `asked`.
    fn over_at(&self, asked: Instant) -> Instant {
        asked + self.config.lasts.saturating_sub(self.config.margin)
    }

    /// Between a half and one and a half of the usual pause, so that instances that wait for
    /// the same lease do not ask at the same time.
    fn pause(&self) -> Duration {
        self.config.renew_every.mul_f64(0.5 + rand::random::<f64>())
    }
}

#[async_trait]
impl Leads for Leadership {
    async fn lead(&self, shutdown: CancellationToken, work: &LeaderTask) -> Result<(), String> {
        self.while_leading(shutdown, |term| work(term.over())).await
    }
}

/// Shows a term to those who wait for one, as long as somebody keeps it.
struct Published<'a> {
    terms: &'a watch::Sender<Option<Term>>,
    term: &'a Term,
}

impl<'a> Published<'a> {
    fn new(terms: &'a watch::Sender<Option<Term>>, term: &'a Term) -> Self {
        terms.send_replace(Some(term.clone()));
        Self { terms, term }
    }
}

impl Drop for Published<'_> {
    fn drop(&mut self) {
        self.terms.send_replace(None);
        self.term.end();
    }
}

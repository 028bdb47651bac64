//! [`MemoryLeases`]: a lease and a list of instances with a clock that tests can move.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use dm_core::{
    instance::{Instance, InstanceId, SeenInstance},
    lease::{Epoch, Lease},
    ports::{CatalogError, INSTANCE_KEPT_MS, Instances, KEPT_LEASES, Leases},
};
use tokio::time::Instant;

use crate::faults::Faults;

/// Where its clock begins.
const BEGINNING: u64 = 1_800_000_000_000;

/// Keeps everything in memory. Its clock goes with that of tokio, which a test can pause and
/// move. Writes fail when its [`Faults`] say so; all calls fail while it is away, and wait as
/// long as a test has said.
pub struct MemoryLeases {
    state: Mutex<State>,
    faults: Faults,
    started: Instant,
}

#[derive(Default)]
struct State {
    leases: BTreeMap<Epoch, Lease>,
    instances: BTreeMap<InstanceId, (Instance, u64, u64)>,
    is_away: bool,
    before: Duration,
    behind: Duration,
}

impl Default for MemoryLeases {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLeases {
    /// Without a lease and without instances.
    pub fn new() -> Self {
        Self {
            state: Mutex::default(),
            faults: Faults::new(),
            started: Instant::now(),
        }
    }

    /// Says which writes fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Whether every call fails from now on.
    pub fn set_away(&self, is_away: bool) {
        self.state().is_away = is_away;
    }

    /// How long each call waits from now on before it does anything, and before it answers.
    pub fn set_delays(&self, before: Duration, behind: Duration) {
        let mut state = self.state();
        (state.before, state.behind) = (before, behind);
    }

    fn now(&self) -> u64 {
        BEGINNING + u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn call<T>(
        &self,
        is_write: bool,
        make: impl FnOnce(&mut State, u64) -> T + Send,
    ) -> Result<T, CatalogError> {
        let delay = self.state().before;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if self.state().is_away {
            return Err(CatalogError::Unavailable("away on request".to_owned()));
        }
        let make = || Ok(make(&mut self.state(), self.now()));
        let made = if is_write {
            self.faults.write(failed, make)
        } else {
            self.faults.read(failed).and_then(|()| make())
        };
        let delay = self.state().behind;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        made
    }

    /// Makes a change of the newest lease; whether there was one to make.
    async fn change(
        &self,
        changed: impl FnOnce(Lease, u64) -> Option<Lease> + Send,
    ) -> Result<bool, CatalogError> {
        self.call(true, |state, now| {
            let changed = state.newest().and_then(|newest| changed(newest, now));
            changed.into_iter().for_each(|lease| state.put(lease));
            changed.is_some()
        })
        .await
    }
}

impl State {
    fn newest(&self) -> Option<Lease> {
        self.leases.values().next_back().copied()
    }

    fn put(&mut self, lease: Lease) {
        self.leases.insert(lease.epoch, lease);
    }
}

fn failed(reason: &'static str) -> CatalogError {
    CatalogError::Failed(reason.into())
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn take_lease(&self, instance: InstanceId, lasts: Duration) -> Result<Option<Epoch>, CatalogError> {
        self.call(true, |state, now| {
            let (ended, begun) = Lease::take(state.newest(), instance, lasts, now);
            ended.into_iter().chain(begun).for_each(|lease| state.put(lease));
            let begun = begun?.epoch;
            state.leases.retain(|epoch, _| epoch.0 + KEPT_LEASES > begun.0);
            Some(begun)
        })
        .await
    }

    async fn renew_lease(&self, epoch: Epoch, lasts: Duration) -> Result<bool, CatalogError> {
        self.change(|lease, now| lease.renew(epoch, lasts, now)).await
    }

    async fn give_back_lease(&self, epoch: Epoch) -> Result<bool, CatalogError> {
        self.change(|lease, now| lease.give_back(epoch, now)).await
    }

    async fn lease(&self) -> Result<Option<Lease>, CatalogError> {
        self.call(false, |state, now| {
            state.newest().filter(|lease| lease.is_current_at(now))
        })
        .await
    }

    async fn leases(&self, after: Epoch, limit: usize) -> Result<Vec<Lease>, CatalogError> {
        self.call(false, |state, _| {
            let newer = state.leases.values().filter(|lease| lease.epoch > after);
            newer.take(limit).copied().collect()
        })
        .await
    }
}

#[async_trait]
impl Instances for MemoryLeases {
    async fn note_instance(&self, instance: &Instance) -> Result<(), CatalogError> {
        self.call(true, |state, now| {
            let known = state.instances.get(&instance.id);
            let started_at = known.map_or(now, |(_, started_at, _)| *started_at);
            let entry = (instance.clone(), started_at, now);
            state.instances.insert(instance.id, entry);
            let is_recent = |seen_at: u64| seen_at + INSTANCE_KEPT_MS >= now;
            state.instances.retain(|_, (_, _, seen_at)| is_recent(*seen_at));
        })
        .await
    }

    async fn instances(&self) -> Result<Vec<SeenInstance>, CatalogError> {
        self.call(false, |state, now| {
            let seen = |(instance, started_at, seen_at): &(Instance, u64, u64)| SeenInstance {
                instance: instance.clone(),
                started_at: *started_at,
                seen_at: *seen_at,
                silent_ms: now - seen_at,
            };
            let mut listed: Vec<_> = state.instances.values().map(seen).collect();
            listed.sort_by_key(|seen| seen.started_at);
            listed
        })
        .await
    }

    async fn remove_instance(&self, id: InstanceId) -> Result<bool, CatalogError> {
        self.call(true, |state, _| state.instances.remove(&id).is_some())
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_was_silent_for_a_day_is_forgotten() {
        let instances = MemoryLeases::new();
        for n in [1, 2] {
            let instance = Instance {
                id: InstanceId([n; 16]),
                name: String::new(),
                version: String::new(),
                peer_id: None,
                addresses: Vec::new(),
            };
            instances.note_instance(&instance).await.unwrap();
            tokio::time::advance(Duration::from_millis(INSTANCE_KEPT_MS + 1)).await;
        }
        let listed = instances.instances().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].instance.id, InstanceId([2; 16]));
    }
}

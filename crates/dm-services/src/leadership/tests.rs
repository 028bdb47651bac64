//! Leaders on a clock that the tests move.

mod random;

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use dm_core::{
    instance::InstanceId,
    lease::current_epoch,
    ports::{CatalogError, Leases},
    tasks::Supervisor,
};
use dm_testing::{
    catalog::{MemoryLeases, leases::assert_one_at_a_time},
    waiting::eventually,
};
use tokio::task::JoinHandle;

use super::*;

/// An instance, and what it runs as the leader.
pub(super) struct Running {
    pub(super) leadership: Leadership,
    shutdown: CancellationToken,
    run: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(leases: Arc<dyn Leases>, n: u8) -> Self {
        let leadership = Leadership::new(leases, InstanceId([n; 16]), LeadershipConfig::default());
        let shutdown = CancellationToken::new();
        let (running, until) = (leadership.clone(), shutdown.clone());
        let run = tokio::spawn(async move { running.run(until).await.unwrap() });
        Self {
            leadership,
            shutdown,
            run,
        }
    }

    async fn leads(&self) -> Epoch {
        eventually("it leads", async || self.leadership.epoch()).await
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.run.await.unwrap();
    }

    /// As `kill -9` does: nothing is given back.
    async fn kill(self) {
        self.run.abort();
        assert!(self.run.await.unwrap_err().is_cancelled());
    }
}

/// The lease that is held, by number and holder.
async fn held(leases: &MemoryLeases) -> Option<(Epoch, u8)> {
    let lease = leases.lease().await.unwrap()?;
    Some((lease.epoch, lease.instance.0[0]))
}

async fn assert_history(leases: &MemoryLeases, holders: &[u8]) {
    let history = leases.leases(Epoch(0), 99).await.unwrap();
    assert_one_at_a_time(&history);
    let found: Vec<u8> = history.iter().map(|lease| lease.instance.0[0]).collect();
    assert_eq!(found, holders);
}

fn config() -> LeadershipConfig {
    LeadershipConfig::default()
}

#[tokio::test(start_paused = true)]
async fn a_leader_leads_for_as_long_as_it_runs() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    assert_eq!(leader.leads().await, Epoch(1));
    let other = Running::start(leases.clone(), 2);
    for _ in 0..100 {
        tokio::time::sleep(config().lasts).await;
        assert_eq!(leader.leadership.epoch(), Some(Epoch(1)));
        assert_eq!(other.leadership.epoch(), None);
    }
    assert_history(&leases, &[1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_gives_the_lease_back() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    leader.leads().await;
    leader.stop().await;
    assert_eq!(held(&leases).await, None);
    let other = Running::start(leases.clone(), 2);
    assert_eq!(other.leads().await, Epoch(2));
    assert_history(&leases, &[1, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn another_leads_soon_after_the_leader_was_killed() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    leader.leads().await;
    let other = Running::start(leases.clone(), 2);
    tokio::time::sleep(Duration::from_secs(30)).await;
    leader.kill().await;
    let killed = Instant::now();
    assert_eq!(other.leads().await, Epoch(2));
    // On the clock of the test. `leads` looks ten times a second.
    assert!(
        killed.elapsed() <= config().lasts + config().renew_every.mul_f64(1.5) + Duration::from_millis(100)
    );
    assert_history(&leases, &[1, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_database_ends_its_tasks_before_its_lease_ends() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    leader.leads().await;
    let ended = Arc::new(AtomicU32::new(0));
    let (leadership, count) = (leader.leadership.clone(), ended.clone());
    let tasks = tokio::spawn(async move {
        let tasks = |term: Term| {
            let count = count.clone();
            async move {
                term.over().cancelled().await;
                assert!(!term.holds());
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(())
            }
        };
        leadership.while_leading(CancellationToken::new(), tasks).await
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let lease = leases.lease().await.unwrap().unwrap();
    leases.set_away(true);
    let cut = Instant::now();
    eventually("the tasks end", async || {
        (ended.load(Ordering::Relaxed) == 1).then_some(())
    })
    .await;
    assert!(cut.elapsed() < config().lasts);
    assert_eq!(leader.leadership.epoch(), None);
    leases.set_away(false);
    // It asks again; what was its lease has not been renewed since.
    assert_eq!(leader.leads().await, Epoch(2));
    let first = leases.leases(Epoch(0), 1).await.unwrap().remove(0);
    assert!(first.ends_at <= lease.ends_at);
    assert_history(&leases, &[1, 1]).await;
    tasks.abort();
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_lease_changes_nothing() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    leader.leads().await;
    for _ in 0..10 {
        leases.set_away(true);
        tokio::time::sleep(Duration::from_secs(3)).await;
        leases.set_away(false);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(leader.leadership.epoch(), Some(Epoch(1)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_makes_no_leader() {
    let leases = Arc::new(MemoryLeases::new());
    // The look for a holder takes as long.
    leases.set_delays(Duration::ZERO, Duration::from_millis(2_600));
    let late = Running::start(leases.clone(), 1);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(late.leadership.epoch(), None);
    }
    assert!(!leases.leases(Epoch(0), 9).await.unwrap().is_empty());
    // Slow answers that are in time do. The request under way may still make a term that is too
    // short to be prolonged.
    leases.set_delays(Duration::from_millis(500), Duration::from_millis(500));
    tokio::time::sleep(2 * config().lasts).await;
    let epoch = late.leads().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(late.leadership.epoch(), Some(epoch));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_answered_too_late_ends_the_term() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    leader.leads().await;
    leases.set_delays(Duration::ZERO, Duration::from_secs(20));
    tokio::time::sleep(config().lasts).await;
    assert_eq!(leader.leadership.epoch(), None);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_leader_leads_no_more_when_it_wakes() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    leader.leads().await;
    let term = leader.leadership.term.borrow().clone().unwrap();
    // Nothing of this process runs meanwhile.
    tokio::time::advance(config().lasts).await;
    assert!(!term.holds());
    assert_eq!(
        leases
            .take_lease(InstanceId([2; 16]), config().lasts)
            .await
            .unwrap(),
        Some(Epoch(2))
    );
    eventually("it has noticed", async || {
        term.over().is_cancelled().then_some(())
    })
    .await;
    assert_eq!(leader.leadership.epoch(), None);
    assert_history(&leases, &[1, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn a_term_is_over_at_its_end_though_no_timer_has_fired() {
    let term = Term::new(Epoch(1), Instant::now() + Duration::from_secs(5));
    tokio::time::advance(Duration::from_millis(4_999)).await;
    assert!(term.holds());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!term.holds());
    assert!(!term.over().is_cancelled());
    assert_eq!(term.until_over(async { 7 }).await, None);
}

/// Counts what runs, also where it is dropped.
struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_do_not_end_are_dropped_before_another_leads() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    let running = Arc::new(AtomicU32::new(0));
    let supervisor = Supervisor::new();
    let (leadership, count) = (leader.leadership.clone(), running.clone());
    supervisor.spawn("deaf", move |shutdown| {
        let (leadership, count) = (leadership.clone(), count.clone());
        async move {
            let deaf = |_| {
                let count = count.clone();
                async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    let _guard = Guard(count);
                    std::future::pending::<Result<(), Infallible>>().await
                }
            };
            leadership.while_leading(shutdown, deaf).await
        }
    });
    eventually("the task runs", async || {
        (running.load(Ordering::Relaxed) == 1).then_some(())
    })
    .await;
    leases.set_away(true);
    tokio::time::sleep(config().lasts).await;
    assert_eq!(running.load(Ordering::Relaxed), 0);
    assert!(supervisor.statuses()["deaf"].running);
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_given_back_when_the_tasks_have_ended() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    let begun = CancellationToken::new();
    let (leadership, begins) = (leader.leadership.clone(), begun.clone());
    let tasks = tokio::spawn(async move {
        let slow = |term: Term| {
            let begins = begins.clone();
            async move {
                begins.cancel();
                term.over().cancelled().await;
                tokio::time::sleep(Duration::from_millis(700)).await;
                Ok::<_, Infallible>(())
            }
        };
        leadership.while_leading(CancellationToken::new(), slow).await
    });
    begun.cancelled().await;
    leader.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(held(&leases).await, Some((Epoch(1), 1)));
    assert_eq!(leader.leadership.epoch(), None);
    leader.stop().await;
    assert_eq!(held(&leases).await, None);
    tasks.abort();
}

#[tokio::test(start_paused = true)]
async fn tasks_that_fail_can_run_again_in_the_same_term() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    for _ in 0..2 {
        let failed = leader
            .leadership
            .while_leading(
                CancellationToken::new(),
                |term: Term| async move { Err(term.epoch()) },
            )
            .await;
        assert_eq!(failed, Err(Epoch(1)));
    }
    // Those that have done their work do not.
    let runs = AtomicU32::new(0);
    let shutdown = CancellationToken::new();
    let done = |_| async {
        runs.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(())
    };
    let until = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        shutdown.cancel();
    };
    tokio::join!(until, leader.leadership.while_leading(shutdown.clone(), done))
        .1
        .unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_write_is_refused_has_not_failed_and_runs_in_the_next_epoch() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    let supervisor = Supervisor::led_by(Arc::new(leader.leadership.clone()));
    let newest = Arc::new(AtomicU64::new(0));
    let noted = newest.clone();
    supervisor.spawn_leading("task", move |over| {
        let (leases, noted) = (leases.clone(), noted.clone());
        async move {
            let epoch = current_epoch().unwrap();
            noted.store(epoch.0, Ordering::Relaxed);
            if epoch == Epoch(1) {
                leases.give_back_lease(epoch).await.unwrap();
                return Err(CatalogError::NotLeading(epoch));
            }
            over.cancelled().await;
            Ok(())
        }
    });
    eventually("it runs in the next epoch", async || {
        (newest.load(Ordering::Relaxed) == 2).then_some(())
    })
    .await;
    assert_eq!(supervisor.statuses()["task"].failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_task_is_dropped_leads_no_more() {
    let leases = Arc::new(MemoryLeases::new());
    let leader = Running::start(leases.clone(), 1);
    leader.leads().await;
    let leadership = leader.leadership.clone();
    leader.kill().await;
    assert_eq!(leadership.epoch(), None);
}

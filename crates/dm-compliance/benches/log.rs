//! What the log costs above its catalog, and that neither a receipt nor its
//! verification grows with the log.
//!
//! `cargo bench -p dm-compliance`: criterion's figures, and after each group
//! one line with the ratio from the same run.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use dm_core::{
    Address,
    config::ComplianceConfig,
    event::Event,
    ports::{EventLog, LogEntry},
};
use dm_testing::compliance::conformance::share;
use futures::future::join_all;
use tokio::runtime::Runtime;

use self::support::{Life, chain::SimulatedChain, events::MemoryEvents};

#[path = "../tests/support/mod.rs"]
mod support;

/// Events that are recorded together.
const CONCURRENT: u64 = 64;
/// The small and the large log of the comparison.
const SIZES: [u64; 2] = [10, 1_000_000];

/// Anchors everything that waits at once, however much.
fn config() -> ComplianceConfig {
    ComplianceConfig {
        max_batch: usize::MAX,
        ..ComplianceConfig::default()
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn record_together(life: &Life) {
    join_all((0..CONCURRENT).map(|n| life.record(n as u8))).await;
}

/// Appends as many events one by one, without hashing and without anchoring.
async fn append_bare(events: &MemoryEvents, next: &mut u64) {
    for n in 0..CONCURRENT {
        let event: Event = share(n as u8).into_event(Address::ZERO, 0);
        events
            .append(
                &[LogEntry {
                    index: *next,
                    event,
                    trace: None,
                }],
                &[],
            )
            .await
            .unwrap();
        *next += 1;
    }
}

fn recording(criterion: &mut Criterion) {
    let runtime = runtime();
    let life = runtime.block_on(Life::start_with(
        &MemoryEvents::default(),
        &SimulatedChain::new(),
        config(),
    ));
    let mut group = criterion.benchmark_group("record 64 events");
    group.bench_function("log", |bencher| {
        bencher.iter(|| runtime.block_on(record_together(&life)));
    });
    let (bare, mut next) = (MemoryEvents::default(), 0);
    group.bench_function("bare append", |bencher| {
        bencher.iter(|| runtime.block_on(append_bare(&bare, &mut next)));
    });
    group.finish();

    let log = median(|| runtime.block_on(record_together(&life)));
    let append = median(|| runtime.block_on(append_bare(&bare, &mut next)));
    let per_second = CONCURRENT as f64 / log.as_secs_f64();
    println!(
        "recording: {per_second:.0} events/s, {:.1} times bare appends in memory",
        ratio(log, append)
    );
}

/// A log of this size, anchored as a whole.
async fn filled(size: u64) -> Life {
    let chain = SimulatedChain::new();
    chain.set_away(true);
    let life = Life::start_with(&MemoryEvents::default(), &chain, config()).await;
    for first in (0..size).step_by(1000) {
        join_all((first..size.min(first + 1000)).map(|n| life.record(n as u8))).await;
    }
    chain.set_away(false);
    life.anchor_of(size - 1).await;
    life
}

fn verifying(criterion: &mut Criterion) {
    let runtime = runtime();
    let lives = SIZES.map(|size| (size, runtime.block_on(filled(size))));
    let mut group = criterion.benchmark_group("receipt and verify");
    let mut medians = Vec::new();
    for (size, life) in &lives {
        let check = || assert!(runtime.block_on(life.has_valid_receipt(size / 2)));
        group.bench_function(format!("{size} events"), |bencher| bencher.iter(check));
        medians.push(median(check));
    }
    group.finish();
    println!(
        "receipt and verify: {:?} at {} events, {:?} at {}, ratio {:.2}",
        medians[0],
        SIZES[0],
        medians[1],
        SIZES[1],
        ratio(medians[1], medians[0]),
    );
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..201)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

criterion_group!(benches, recording, verifying);
criterion_main!(benches);

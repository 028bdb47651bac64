//! Speed of the object store against its limits, measured in the same run:
//!
//! - small puts, each acknowledged only when durable, against bare fjall with
//!   one committing thread;
//! - hot reads of 1 KiB against a bare fjall `get`;
//! - large streams against a plain file that is written and fsynced.
//!
//! Prints the ratio to the limit after each pair. Sizes in MiB of the streams
//! can be given in `BENCH_STREAM_MIB`, comma-separated; `64` by default.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "objects/peers.rs"]
mod peers;

use std::{
    env, hint,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dm_core::{
    config::StorageConfig,
    envelope::{CHUNK_SIZE, Chunk},
    ports::ObjectStore,
};
use dm_storage::Storage;
use dm_testing::objects::SampleObject;
use peers::BareFjall;
use tokio::runtime::Runtime;

/// Small puts in one measured round.
const PUTS: u64 = 4096;
/// Objects that hot reads go round.
const HOT: u64 = 500;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn open(folder: &Path) -> (Storage, Arc<dyn ObjectStore>) {
    let storage = Storage::open(folder, &StorageConfig::default()).unwrap();
    let objects = storage.objects();
    (storage, objects)
}

fn print_ratio(what: &str, ours: Duration, limit: Duration) {
    println!(
        "{what}: {:.2} of the limit's speed\n",
        limit.as_secs_f64() / ours.as_secs_f64()
    );
}

/// Total time of the rounds of a benchmark, for the ratio.
#[derive(Default)]
struct Spent {
    time: Duration,
    rounds: u64,
}

impl Spent {
    fn add(&mut self, time: Duration, rounds: u64) {
        self.time += time;
        self.rounds += rounds;
    }

    fn mean(&self) -> Duration {
        self.time / u32::try_from(self.rounds.max(1)).unwrap_or(u32::MAX)
    }
}

fn small_puts(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("puts of 1 KiB");
    group.throughput(Throughput::Elements(PUTS)).sample_size(10);
    for writers in [16, 64] {
        let folder = tempfile::tempdir().unwrap();
        let (storage, objects) = open(folder.path());
        let mut seed = 0;
        let mut ours = Spent::default();
        group.bench_function(format!("dm-storage, {writers} writers"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut time = Duration::ZERO;
                for _ in 0..rounds {
                    let samples: Vec<_> = (seed..seed + PUTS)
                        .map(|seed| SampleObject::new(1, seed, 1024))
                        .collect();
                    seed += PUTS;
                    time += runtime.block_on(put_all(&objects, samples, writers));
                }
                ours.add(time, rounds);
                time
            });
        });
        runtime.block_on(storage.close()).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let peer = BareFjall::open(folder.path());
        let mut limit = Spent::default();
        group.bench_function(format!("bare fjall, {writers} writers"), |bencher| {
            bencher.iter_custom(|rounds| {
                let time = (0..rounds).map(|_| peer.put_all(PUTS, writers)).sum();
                limit.add(time, rounds);
                time
            });
        });
        print_ratio(
            &format!("puts of 1 KiB, {writers} writers"),
            ours.mean(),
            limit.mean(),
        );
    }
}

/// Stores all samples with this many writers at once.
async fn put_all(objects: &Arc<dyn ObjectStore>, samples: Vec<SampleObject>, writers: usize) -> Duration {
    let mut shares = vec![Vec::new(); writers];
    for (n, sample) in samples.into_iter().enumerate() {
        shares[n % writers].push(sample);
    }
    let started = Instant::now();
    let writers = shares.into_iter().map(|share| {
        let objects = objects.clone();
        tokio::spawn(async move {
            for sample in share {
                sample.store_in(&*objects).await.unwrap();
            }
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap();
    }
    started.elapsed()
}

fn hot_reads(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let (_storage, objects) = open(folder.path());
    let samples: Vec<_> = (0..HOT).map(|seed| SampleObject::new(1, seed, 1024)).collect();
    let ids: Vec<_> = samples.iter().map(SampleObject::id).collect();
    runtime.block_on(put_all(&objects, samples, 16));
    let mut group = criterion.benchmark_group("hot read of 1 KiB");

    let mut ours = Spent::default();
    group.bench_function("dm-storage, envelope and chunk", |bencher| {
        bencher.iter_custom(|rounds| {
            let time = runtime.block_on(async {
                let started = Instant::now();
                for id in ids.iter().cycle().take(rounds as usize) {
                    hint::black_box(objects.envelope(id).await.unwrap());
                    hint::black_box(objects.chunk(id, 0).await.unwrap());
                }
                started.elapsed()
            });
            ours.add(time, rounds);
            time
        });
    });

    let folder = tempfile::tempdir().unwrap();
    let peer = BareFjall::open(folder.path());
    peer.put_all(HOT, 16);
    let mut limit = Spent::default();
    group.bench_function("bare fjall get", |bencher| {
        bencher.iter_custom(|rounds| {
            let time = peer.get_hot(HOT, rounds);
            limit.add(time, rounds);
            time
        });
    });
    print_ratio("hot read of 1 KiB", ours.mean(), limit.mean());
}

fn streams(criterion: &mut Criterion) {
    let runtime = runtime();
    let sizes = env::var("BENCH_STREAM_MIB").unwrap_or_else(|_| "64".to_owned());
    // The same chunks again and again: what is measured is the disk.
    let chunks: Vec<Chunk> = (0..64).map(|n| SampleObject::chunk(1, n, CHUNK_SIZE)).collect();
    let mut group = criterion.benchmark_group("durable stream");
    group.sample_size(10);
    for mib in sizes.split(',').map(|size| size.trim().parse::<u64>().unwrap()) {
        let object = stream_object(&chunks, mib);
        group.throughput(Throughput::Bytes(mib << 20));
        let folder = tempfile::tempdir().unwrap();
        let (_storage, objects) = open(folder.path());
        let mut ours = Spent::default();
        group.bench_function(format!("dm-storage, {mib} MiB"), |bencher| {
            bencher.iter_custom(|rounds| {
                let time = (0..rounds)
                    .map(|_| runtime.block_on(stream_once(&objects, &object)))
                    .sum();
                ours.add(time, rounds);
                time
            });
        });
        let mut limit = Spent::default();
        group.bench_function(format!("plain file, {mib} MiB"), |bencher| {
            bencher.iter_custom(|rounds| {
                let time = (0..rounds)
                    .map(|_| peers::plain_file(folder.path(), &object.chunks))
                    .sum();
                limit.add(time, rounds);
                time
            });
        });
        print_ratio(&format!("durable stream of {mib} MiB"), ours.mean(), limit.mean());
    }
}

fn stream_object(pool: &[Chunk], mib: u64) -> SampleObject {
    let size = mib << 20;
    let chunks: Vec<Chunk> = pool
        .iter()
        .cycle()
        .take((size / CHUNK_SIZE) as usize)
        .cloned()
        .collect();
    let envelope = SampleObject::sign(1, mib, size, &chunks, 1);
    SampleObject { envelope, chunks }
}

/// Stores and removes an object; the time of storing it.
async fn stream_once(objects: &Arc<dyn ObjectStore>, object: &SampleObject) -> Duration {
    let started = Instant::now();
    object.store_in(&**objects).await.unwrap();
    let time = started.elapsed();
    objects.remove(&object.id()).await.unwrap();
    time
}

criterion_group!(benches, small_puts, hot_reads, streams);
criterion_main!(benches);

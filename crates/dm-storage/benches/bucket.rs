//! Speed of large objects in a bucket against bare `object_store` at the same server, in the
//! same run: an object is stored, and read from chunk to chunk; beside it the same bytes are
//! sent in parts of the same size, as many at a time, and read as one stream.
//!
//! The server is `moto_server` (`MOTO_SERVER`, or on the path), which keeps objects in memory;
//! `BENCH_STREAM_MIB` is the size, 256 by default. Prints the medians of the rounds.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    env, fs,
    time::{Duration, Instant},
};

use dm_core::{
    config::StorageConfig,
    envelope::{CHUNK_SIZE, Chunk},
};
use dm_storage::Storage;
use dm_testing::{
    objects::SampleObject,
    s3::{Moto, storage_config},
};
use futures::{StreamExt, stream};
use object_store::{ObjectStoreExt, WriteMultipart, aws::AmazonS3Builder, path::Path};

const ROUNDS: u64 = 5;
/// Chunks that are read at the same time, as the services do.
const READ_AHEAD: usize = 4;
/// Parts that are sent at the same time.
const PARTS: usize = 4;

/// The times of one round.
#[derive(Default)]
struct Times {
    bare_put: Vec<Duration>,
    put: Vec<Duration>,
    bare_get: Vec<Duration>,
    get: Vec<Duration>,
}

#[tokio::main]
async fn main() {
    let Some(moto) = Moto::running() else { return };
    let mib = env::var("BENCH_STREAM_MIB").map_or(256, |text| text.parse::<u64>().unwrap());
    let bucket = moto.make_bucket();
    let mut config: StorageConfig = storage_config(moto.url(), &format!("s3://{bucket}/node"));
    config.s3.part_bytes = 8 << 20;
    let bare = AmazonS3Builder::new()
        .with_bucket_name(&bucket)
        .with_endpoint(moto.url())
        .with_allow_http(true)
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path(), &config).unwrap();
    let objects = storage.objects();
    let object = SampleObject::new(1, 1, (mib << 20) / CHUNK_SIZE * CHUNK_SIZE);
    let (key, id) = (Path::from("bare"), object.id());
    let mut times = Times::default();
    let before = resident_mib();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let upload = bare.put_multipart(&key).await.unwrap();
        let mut upload = WriteMultipart::new_with_chunk_size(upload, 8 << 20);
        for chunk in &object.chunks {
            upload.wait_for_capacity(PARTS).await.unwrap();
            upload.put(chunk.bytes().clone());
        }
        upload.finish().await.unwrap();
        times.bare_put.push(begun.elapsed());

        let begun = Instant::now();
        object.store_in(&*objects).await.unwrap();
        times.put.push(begun.elapsed());

        let begun = Instant::now();
        let mut read = bare.get(&key).await.unwrap().into_stream();
        let mut bytes = 0;
        while let Some(piece) = read.next().await {
            bytes += piece.unwrap().len();
        }
        times.bare_get.push(begun.elapsed());
        assert_eq!(bytes as u64, object.envelope.sealed_size());

        let begun = Instant::now();
        let mut chunks = stream::iter(0..object.chunks.len() as u64)
            .map(|index| objects.chunk(&id, index))
            .buffered(READ_AHEAD);
        let mut bytes = 0;
        while let Some(chunk) = chunks.next().await {
            bytes += Chunk::bytes(&chunk.unwrap()).len();
        }
        times.get.push(begun.elapsed());
        assert_eq!(bytes as u64, object.envelope.sealed_size());
        objects.remove(&id).await.unwrap();
    }
    for (what, ours, limit) in [
        ("put", &mut times.put, &mut times.bare_put),
        ("get", &mut times.get, &mut times.bare_get),
    ] {
        let (ours, limit) = (median(ours), median(limit));
        let rate = |time: Duration| mib as f64 / time.as_secs_f64();
        println!(
            "{what} of {mib} MiB: {:.0} MiB/s, bare {:.0} MiB/s, {:.2} of the limit's speed",
            rate(ours),
            rate(limit),
            limit.as_secs_f64() / ours.as_secs_f64()
        );
    }
    println!(
        "memory beside the object: {} MiB",
        resident_mib().saturating_sub(before)
    );
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Most memory that this process has had, in MiB.
fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() >> 10
}

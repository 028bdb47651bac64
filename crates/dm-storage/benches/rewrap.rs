//! Content keys wrapped again after a rotation, while others are read: how long that takes,
//! and what is left of the rate of reads before and after it.
#![allow(clippy::unwrap_used, reason = "what fails ends the benchmark")]

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use dm_core::{
    Address,
    clock::now_ms,
    envelope::ObjectId,
    hash::DataHash,
    ports::{KeyRing, KeyRingError, KeyUses, KeyVersion, ReadableObjects},
    secret::ContentKey,
    share::{ReadableObject, WrappedKey},
};
use dm_services::{KeyRotation, KeyRotationConfig, KeyRotationPorts};
use dm_storage::SqliteCatalog;
use dm_testing::{
    compliance::{MemoryComplianceLog, TestLedger},
    crypto::{MemoryGrants, MemoryPassword},
};
use fernet::Fernet;

/// Content keys in the catalog.
const KEYS: u64 = 100_000;
/// How long reads are measured, in turns with and without the work beside them: what else
/// goes on in the machine slows both.
const TURN: Duration = Duration::from_secs(1);
/// Readers, which keep both processors of a small machine busy.
const READERS: u64 = 8;
/// Objects that are read again and again.
const HOT: u64 = 1000;

/// Versions of a Fernet key in memory: what wrapping costs is what it costs a node.
struct FernetRing(RwLock<Vec<Fernet>>);

impl FernetRing {
    fn new() -> Self {
        Self(RwLock::new(vec![fresh()]))
    }
}

fn fresh() -> Fernet {
    Fernet::new(&Fernet::generate_key()).unwrap()
}

impl KeyRing for FernetRing {
    fn wrap(&self, key: &ContentKey) -> WrappedKey {
        let versions = self.0.read().unwrap();
        WrappedKey {
            version: versions.len() as u32,
            token: versions.last().unwrap().encrypt(key.as_bytes()),
        }
    }

    fn unwrap(&self, key: &WrappedKey) -> Result<ContentKey, KeyRingError> {
        let versions = self.0.read().unwrap();
        let secret = versions[key.version as usize - 1]
            .decrypt(&key.token)
            .map_err(|_| KeyRingError::Damaged)?;
        Ok(ContentKey::from_bytes(secret.try_into().unwrap()))
    }

    fn rotate(&self) -> Result<u32, KeyRingError> {
        let mut versions = self.0.write().unwrap();
        versions.push(fresh());
        Ok(versions.len() as u32)
    }

    fn versions(&self) -> Vec<KeyVersion> {
        let versions = 1..=self.0.read().unwrap().len() as u32;
        let info = |version| KeyVersion {
            version,
            created_at: now_ms(),
            imported_from: None,
        };
        versions.map(info).collect()
    }

    fn destroy(&self, version: u32) -> Result<(), KeyRingError> {
        Err(KeyRingError::Newest(version))
    }
}

fn data_hash(number: u64) -> DataHash {
    DataHash::of(&number.to_be_bytes())
}

async fn fill(catalog: &SqliteCatalog, ring: &FernetRing) {
    let numbers: Vec<u64> = (0..KEYS).collect();
    for page in numbers.chunks(512) {
        let objects: Vec<ReadableObject> = page
            .iter()
            .map(|number| ReadableObject {
                data_hash: data_hash(*number),
                id: ObjectId {
                    locator: data_hash(*number).locator(),
                    owner: Address::repeat_byte(1),
                },
                size: 1024,
                chunk_list: [7; 32],
                key: ring.wrap(&ContentKey::random()),
            })
            .collect();
        let writes = objects.iter().map(|object| catalog.put_readable(object));
        futures::future::try_join_all(writes).await.unwrap();
    }
}

/// Reads wrapped keys and unwraps them, as every retrieval does, until it is stopped.
struct Readers {
    stopped: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Readers {
    fn start(catalog: &SqliteCatalog, ring: &Arc<FernetRing>, objects: u64) -> Self {
        let (stopped, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let read = |first: u64| {
            let (catalog, ring) = (catalog.clone(), ring.clone());
            let (stopped, reads) = (stopped.clone(), reads.clone());
            async move {
                let mut number = first * 7919;
                while !stopped.load(Relaxed) {
                    number = (number + 101) % objects;
                    let object = catalog.readable(&data_hash(number)).await.unwrap().unwrap();
                    ring.unwrap(&object.key).unwrap();
                    reads.fetch_add(1, Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        };
        let tasks = (0..READERS).map(|first| tokio::spawn(read(first))).collect();
        Self {
            stopped,
            reads,
            tasks,
        }
    }

    /// Reads a second while `work` goes on, and how long that takes.
    async fn rate(&self, work: impl Future<Output = ()>) -> (f64, Duration) {
        let (began, before) = (Instant::now(), self.reads.load(Relaxed));
        work.await;
        let took = began.elapsed();
        let reads = self.reads.load(Relaxed) - before;
        (reads as f64 / took.as_secs_f64(), took)
    }

    async fn stop(self) {
        self.stopped.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn measure(what: &str, catalog: &SqliteCatalog, ring: &Arc<FernetRing>, objects: u64) {
    let rotation = KeyRotation::new(
        KeyRotationPorts {
            key_ring: ring.clone(),
            readable: Arc::new(catalog.clone()),
            uses: Arc::new(catalog.clone()),
            changes: Arc::new(catalog.clone()),
            grants: Arc::new(MemoryGrants::new(Address::ZERO)),
            password: Arc::new(MemoryPassword::new("password")),
            log: Arc::new(MemoryComplianceLog::new(Address::ZERO, &TestLedger::new())),
        },
        KeyRotationConfig::default(),
    );
    let readers = Readers::start(catalog, ring, objects);
    let quiet = async || readers.rate(tokio::time::sleep(TURN)).await.0;
    let newest = ring.rotate().unwrap();
    let is_done = async || {
        catalog
            .uses()
            .await
            .unwrap()
            .keys()
            .all(|version| *version == newest)
    };
    let (mut ratios, mut rates, mut total) = (Vec::new(), Vec::new(), Duration::ZERO);
    let mut before = quiet().await;
    while !is_done().await {
        // The work is given up in the middle, and goes on from there.
        let work = async {
            if let Ok(done) = tokio::time::timeout(TURN, rotation.wrap_all_again()).await {
                done.unwrap();
            }
        };
        let (during, took) = readers.rate(work).await;
        let after = quiet().await;
        ratios.push(during / f64::midpoint(before, after));
        rates.push(after);
        total += took;
        before = after;
    }
    readers.stop().await;
    println!(
        "ratio: reads of {what} while {KEYS} keys are wrapped again: {:.2} of {:.0}/s; it takes {:.1} s (goals: 0.9, 60 s)",
        median(ratios),
        median(rates),
        total.as_secs_f64(),
    );
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(folder.path().join("catalog.sqlite"))
            .await
            .unwrap();
        let ring = Arc::new(FernetRing::new());
        fill(&catalog, &ring).await;
        measure("few objects", &catalog, &ring, HOT).await;
        measure("all objects", &catalog, &ring, KEYS).await;
        catalog.close().await.unwrap();
    });
}

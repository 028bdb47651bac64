//! What the store has acknowledged is there after `kill -9` and after a loss
//! of power, at whatever moment. A child process writes and says what was
//! acknowledged; the parent takes the process or the power away.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use dm_core::{
    config::StorageConfig,
    envelope::CHUNK_SIZE,
    ports::{StoreUsage, WriteBatch},
};
use dm_storage::Storage;
use dm_testing::objects::SampleObject;

use crate::common::{LoopDisk, count_files};

/// Tells the child which folder to write to.
const CHILD_FOLDER: &str = "DM_STORAGE_TEST_CHILD_FOLDER";
/// Tells the child where its seeds begin.
const CHILD_SEED: &str = "DM_STORAGE_TEST_CHILD_SEED";
/// Begins each line of the child that says what was acknowledged.
const ACKNOWLEDGED: &str = "acknowledged ";
/// Writers in the child.
const WRITERS: usize = 8;
/// Seeds that a round may use.
const SEEDS_PER_ROUND: u64 = 1 << 20;

fn sample(seed: u64) -> SampleObject {
    let size = match seed % 16 {
        0 => 2 * CHUNK_SIZE + seed % 1000,
        1..4 => 40_000 + seed % 1000,
        _ => 1 + seed % 2000,
    };
    SampleObject::new(1, seed, size)
}

/// No test of its own: what the child process does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a child process of the other tests"]
async fn child_that_writes() {
    let Ok(folder) = env::var(CHILD_FOLDER) else {
        return;
    };
    let first: u64 = env::var(CHILD_SEED).unwrap().parse().unwrap();
    let storage = Arc::new(Storage::open(Path::new(&folder), &StorageConfig::default()).unwrap());
    let next = Arc::new(AtomicU64::new(first));
    let writers = (0..WRITERS).map(|_| tokio::spawn(write_and_say(storage.clone(), next.clone())));
    // Ends when the power is gone, or with the process.
    futures::future::join_all(writers).await;
}

async fn write_and_say(storage: Arc<Storage>, next: Arc<AtomicU64>) {
    let objects = storage.objects();
    let notes = storage.namespace("notes");
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        let mut batch = WriteBatch::new();
        batch.put(seed.to_be_bytes().to_vec(), "noted");
        let stored = sample(seed).store_in(&*objects).await;
        if stored.is_err() || notes.commit(batch).await.is_err() {
            return;
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{ACKNOWLEDGED}{seed} {}", now_us()).unwrap();
        out.flush().unwrap();
    }
}

/// Microseconds since the Unix epoch: one clock for parent and child.
fn now_us() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()
}

/// What the child said, and when.
#[derive(Clone, Copy)]
struct Acknowledgement {
    seed: u64,
    at_us: u128,
}

struct Writer {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Writer {
    fn start(folder: &Path, round: u64) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "durability::child_that_writes",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_FOLDER, folder)
            .env(CHILD_SEED, (round * SEEDS_PER_ROUND).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next acknowledgement; `None` when the child has ended.
    fn acknowledged(&mut self) -> Option<Acknowledgement> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (seed, at_us) = line.strip_prefix(ACKNOWLEDGED)?.split_once(' ')?;
            Some(Acknowledgement {
                seed: seed.parse().ok()?,
                at_us: at_us.parse().ok()?,
            })
        })
    }

    /// Kills the child and returns what it said until then.
    fn kill(mut self) -> Vec<Acknowledgement> {
        self.child.kill().unwrap();
        let said = std::iter::from_fn(|| self.acknowledged()).collect();
        self.child.wait().unwrap();
        said
    }
}

/// Opens the store as after a restart and checks every acknowledged object.
async fn check(folder: &Path, acknowledged: &[Acknowledgement]) {
    let storage = Storage::open(folder, &StorageConfig::default()).unwrap();
    assert_eq!(count_files(&folder.join("incoming")), 0);
    let objects = storage.objects();
    let notes = storage.namespace("notes");
    for Acknowledgement { seed, .. } in acknowledged {
        assert!(sample(*seed).is_in(&*objects).await, "object {seed} is lost");
        let note = notes.get(&seed.to_be_bytes()).await.unwrap();
        assert_eq!(note.as_deref(), Some(&b"noted"[..]), "note {seed} is lost");
    }
    let mut counted = StoreUsage::default();
    for id in objects.list(None, usize::MAX).await.unwrap() {
        counted.objects += 1;
        counted.bytes += objects.envelope(&id).await.unwrap().unwrap().sealed_size();
    }
    assert_eq!(objects.usage().await.unwrap(), counted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let mut writer = Writer::start(folder.path(), round);
        for _ in 0..20 + 31 * round {
            acknowledged.push(
                writer
                    .acknowledged()
                    .expect("the child writes until it is killed"),
            );
        }
        acknowledged.extend(writer.kill());
        check(folder.path(), &acknowledged).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_power_goes() {
    let mut disk = match LoopDisk::new(1 << 30) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("skipped: no loop-mounted ext4 here: {reason}");
            return;
        }
    };
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let folder = disk.path().join("store");
        let mut writer = Writer::start(&folder, round);
        for _ in 0..20 + 31 * round {
            acknowledged.push(
                writer
                    .acknowledged()
                    .expect("the child writes until the power goes"),
            );
        }
        // A new name each time: ext4 flushes files that are overwritten when they are closed.
        let control = disk.path().join(format!("never-fsynced-{round}"));
        fs::write(&control, [7; 5000]).unwrap();
        // A process lives on after this cut, which no process does after a real
        // one, and may be told that an fsync in flight succeeded. So only what
        // was acknowledged before counts.
        let power_went_at = now_us();
        let cut = disk.cut_power();
        let said = writer.kill().into_iter();
        if let Err(reason) = cut {
            println!("skipped: this ext4 cannot be shut down: {reason}");
            return;
        }
        acknowledged.extend(said.filter(|said| said.at_us < power_went_at));
        disk.restart().unwrap();
        // Its name may be there, by the store's own fsyncs; its bytes may not.
        assert!(
            fs::read(control).unwrap_or_default().is_empty(),
            "the power was not really gone"
        );
        check(&folder, &acknowledged).await;
    }
}

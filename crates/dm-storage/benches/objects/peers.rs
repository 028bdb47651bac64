//! What the store is compared with.

use std::{
    fs::{self, File},
    hint,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use dm_core::envelope::Chunk;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

/// Bytes of a value: a chunk of 1 KiB with its name, and an envelope.
const VALUE_LEN: usize = 1024 + 73 + 32 + 200;

/// fjall with one thread that commits for all writers, and nothing else.
pub(crate) struct BareFjall {
    database: Database,
    keyspace: Keyspace,
    next: AtomicU64,
}

/// A value to be put, and where to say that it is durable.
type Put = (u64, mpsc::SyncSender<()>);

impl BareFjall {
    pub(crate) fn open(folder: &Path) -> Self {
        let database = Database::builder(folder).open().unwrap();
        let keyspace = database
            .keyspace("values", KeyspaceCreateOptions::default)
            .unwrap();
        Self {
            database,
            keyspace,
            next: AtomicU64::new(0),
        }
    }

    /// Puts `count` new values with this many writing threads.
    pub(crate) fn put_all(&self, count: u64, writers: usize) -> Duration {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let turn = Arc::new(AtomicU64::new(first));
        let (puts, queue) = mpsc::sync_channel::<Put>(1024);
        let started = Instant::now();
        thread::scope(|scope| {
            scope.spawn(move || self.commit_all(&queue));
            for _ in 0..writers {
                let (puts, turn) = (puts.clone(), turn.clone());
                scope.spawn(move || {
                    let (durable, done) = mpsc::sync_channel(1);
                    loop {
                        let n = turn.fetch_add(1, Ordering::Relaxed);
                        if n >= first + count {
                            return;
                        }
                        puts.send((n, durable.clone())).unwrap();
                        done.recv().unwrap();
                    }
                });
            }
            drop(puts);
        });
        started.elapsed()
    }

    fn commit_all(&self, queue: &mpsc::Receiver<Put>) {
        while let Ok(first) = queue.recv() {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
            let mut waiting = Vec::new();
            for (n, durable) in std::iter::once(first).chain(queue.try_iter()) {
                batch.insert(&self.keyspace, key(n), value(n));
                waiting.push(durable);
            }
            batch.commit().unwrap();
            for durable in waiting {
                durable.send(()).unwrap();
            }
        }
    }

    /// Reads the first `hot` values in turn, `rounds` reads in all.
    pub(crate) fn get_hot(&self, hot: u64, rounds: u64) -> Duration {
        let started = Instant::now();
        for n in (0..hot).cycle().take(rounds as usize) {
            hint::black_box(self.keyspace.get(key(n)).unwrap().unwrap());
        }
        started.elapsed()
    }
}

fn key(n: u64) -> Vec<u8> {
    // Spread like hashes.
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().repeat(4)
}

fn value(n: u64) -> Vec<u8> {
    n.wrapping_mul(0x2545_f491_4f6c_dd1d)
        .to_le_bytes()
        .into_iter()
        .cycle()
        .take(VALUE_LEN)
        .collect()
}

/// Writes the chunks to a file, one after the other, and fsyncs it.
pub(crate) fn plain_file(folder: &Path, chunks: &[Chunk]) -> Duration {
    let path = folder.join("plain");
    let started = Instant::now();
    let mut file = File::create(&path).unwrap();
    for chunk in chunks {
        file.write_all(chunk.bytes()).unwrap();
    }
    file.sync_all().unwrap();
    let time = started.elapsed();
    fs::remove_file(&path).unwrap();
    time
}

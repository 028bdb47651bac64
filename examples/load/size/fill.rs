//! Fills the data directory of a node that is stopped, as if it had made and taken all
//! that before: through the ports that the node uses, with everything signed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use dm_core::{
    config::{NodeConfig, StorageConfig},
    ports::KeptLimits,
    secret::SecretString,
};
use dm_keys::NodeKeys;
use dm_storage::{SqliteCatalog, Storage};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Runtime;

use super::{foreign::Foreign, own::Own};

/// Plaintext bytes of each object.
pub(super) const OBJECT_BYTES: u64 = 1024;
/// One in so many objects is the node's own.
const OWN: u64 = 10;
/// Objects that are made at the same time: enough to fill the groups that commit together.
const AT_ONCE: usize = 2048;
/// How long the log may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What filling came to.
pub(crate) struct Filled {
    pub(super) took: Duration,
    /// Bytes of all files of the directory.
    pub(super) bytes: u64,
}

impl Filled {
    /// The same of a directory that was filled before with as many objects, if it was.
    pub(super) fn before(home: &Path, objects: u64) -> anyhow::Result<Option<Self>> {
        let note = note_of(home);
        if !note.try_exists()? {
            return Ok(None);
        }
        let note = std::fs::read_to_string(note)?;
        let (of, milliseconds) = note.split_once(' ').context("a number of objects and a time")?;
        ensure!(
            of.parse() == Ok(objects),
            "the directory was filled with {of} objects"
        );
        let milliseconds = milliseconds.parse()?;
        Ok(Some(Self {
            took: Duration::from_millis(milliseconds),
            bytes: bytes_below(home)?,
        }))
    }
}

/// Fills the data directory of a `dm-node dev` that has run before. Blocks.
pub(super) fn fill(home: &Path, objects: u64) -> anyhow::Result<Filled> {
    let began = Instant::now();
    Runtime::new()?.block_on(fill_all(home, objects))?;
    let took = began.elapsed();
    std::fs::write(note_of(home), format!("{objects} {}", took.as_millis()))?;
    Ok(Filled {
        took,
        bytes: bytes_below(home)?,
    })
}

/// Beside the directory: how many objects it was filled with, and how many milliseconds that took.
fn note_of(home: &Path) -> PathBuf {
    home.with_extension("filled")
}

async fn fill_all(home: &Path, objects: u64) -> anyhow::Result<()> {
    let password = SecretString::new(std::fs::read_to_string(home.join("dev-password"))?.trim());
    let keys = NodeKeys::open(home, Some(&password), None)?;
    let config = NodeConfig {
        data_dir: home.to_owned(),
        ..NodeConfig::default()
    };
    let limits = KeptLimits {
        account: keys.signer().address(),
        own: u64::MAX,
        foreign: u64::MAX,
    };
    let storage = Storage::open_within(&config.objects_dir(), &StorageConfig::default(), limits)?;
    let catalog = Arc::new(SqliteCatalog::open(config.catalog_file()).await?);

    let (store, own) = (storage.objects(), objects / OWN);
    let maker = Own::new(&keys, store.clone(), catalog.clone()).await?;
    each(own, |number| maker.clone().make(number)).await?;
    ensure!(maker.stop(PATIENCE).await, "the log does not end");
    let maker = Foreign::new(store.clone());
    each(objects - own, |number| maker.clone().make(number)).await?;

    let usage = store.usage().await?;
    ensure!(
        usage.objects >= objects,
        "only {} objects are stored",
        usage.objects
    );
    catalog.close().await?;
    storage.close().await?;
    Ok(())
}

/// Runs a task for each number, many at the same time.
async fn each<Task>(count: u64, task: impl Fn(u64) -> Task) -> anyhow::Result<()>
where
    Task: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    stream::iter(0..count)
        .map(|number| tokio::spawn(task(number)))
        .buffer_unordered(AT_ONCE)
        .map(|made| made.context("a task that makes an object")?)
        .try_collect()
        .await
}

fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += match metadata.is_dir() {
            true => bytes_below(&entry.path())?,
            false => metadata.len(),
        };
    }
    Ok(bytes)
}

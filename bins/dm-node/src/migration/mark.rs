//! What keeps a node from running in two places: a mark among the files of secrets, on the side
//! that it is moved from for good, and on the other one until that has everything.

use std::sync::Arc;

use anyhow::{Context, bail};
use dm_core::{clock::now_ms, ports::SecretFiles};
use dm_keys::KEY_FILE;
use dm_storage::{CatalogSecrets, SqliteCatalog};
use serde::{Deserialize, Serialize};

/// Its name among the files of secrets.
const MARK_FILE: &str = "migration.json";

/// The mark of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    side: Side,
    /// The same on both sides.
    migration: String,
    /// Where the other side is.
    other: String,
    /// When it was begun, in milliseconds since the Unix epoch.
    since: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    Source,
    Target,
}

impl Mark {
    fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(bytes).with_context(|| format!("{MARK_FILE} is damaged"))
    }

    async fn load(files: &Arc<dyn SecretFiles>) -> anyhow::Result<Option<Self>> {
        let files = files.clone();
        let loaded = tokio::task::spawn_blocking(move || files.load(MARK_FILE)).await??;
        loaded.as_deref().map(Self::decode).transpose()
    }

    /// Writes it where there is none.
    async fn store(&self, files: &Arc<dyn SecretFiles>) -> anyhow::Result<()> {
        let (files, bytes) = (files.clone(), serde_json::to_vec(self)?);
        let written = tokio::task::spawn_blocking(move || files.replace(MARK_FILE, None, Some(&bytes)));
        Ok(written.await??)
    }

    fn refusal(&self) -> String {
        match self.side {
            Side::Source => format!(
                "this node was moved to {}: run it there. Two that run as one account destroy its log",
                self.other
            ),
            Side::Target => format!(
                "this node is not complete: `dm-node migrate` goes on with its move from {}",
                self.other
            ),
        }
    }
}

/// Refuses the node whose files of secrets these are where it was moved elsewhere, or is not complete.
///
/// # Errors
/// Says where it was moved, or what to do.
pub(crate) async fn refuse(files: &Arc<dyn SecretFiles>) -> anyhow::Result<()> {
    match Mark::load(files).await? {
        Some(mark) => bail!("{}", mark.refusal()),
        None => Ok(()),
    }
}

/// As [`refuse`], of the node whose catalog in a database this is.
///
/// # Errors
/// As [`refuse`].
pub(crate) async fn refuse_in(catalog: &SqliteCatalog) -> anyhow::Result<()> {
    let files = catalog.namespace(CatalogSecrets::NAMESPACE);
    match files.get(MARK_FILE.as_bytes()).await? {
        Some(bytes) => bail!("{}", Mark::decode(&bytes)?.refusal()),
        None => Ok(()),
    }
}

/// A side of a move: its files of secrets, and where it is.
pub(super) struct Marked {
    pub(super) files: Arc<dyn SecretFiles>,
    pub(super) place: String,
    /// Whether its data directory has a catalog or objects.
    pub(super) has_stores: bool,
}

impl Marked {
    /// Whether there are keys.
    pub(super) async fn has_keys(&self) -> anyhow::Result<bool> {
        let files = self.files.clone();
        let keys = tokio::task::spawn_blocking(move || files.load(KEY_FILE)).await??;
        Ok(keys.is_some())
    }
}

/// Begins to move a node, or goes on with that. The source is marked before the target, so that
/// there is no moment in which both could run.
///
/// # Errors
/// Where the source was moved elsewhere, or the target holds something else.
pub(super) async fn begin(source: &Marked, target: &Marked) -> anyhow::Result<()> {
    let (of_source, of_target) = (Mark::load(&source.files).await?, Mark::load(&target.files).await?);
    let of_source = match of_source {
        Some(mark) if mark.side == Side::Target || mark.other != target.place => bail!("{}", mark.refusal()),
        Some(mark) => mark,
        None => {
            refuse_occupied(target, of_target.is_some()).await?;
            let mark = Mark {
                side: Side::Source,
                migration: hex::encode(rand::random::<[u8; 16]>()),
                other: target.place.clone(),
                since: now_ms(),
            };
            mark.store(&source.files).await?;
            mark
        }
    };
    let expected = Mark {
        side: Side::Target,
        other: source.place.clone(),
        ..of_source
    };
    let has_keys = target.has_keys().await?;
    match of_target {
        Some(mark) if mark.migration == expected.migration => Ok(()),
        None if has_keys => bail!(
            "this node was moved to {} already: run it there; --check compares both before it ran there",
            target.place
        ),
        found => {
            refuse_occupied(target, found.is_some()).await?;
            expected.store(&target.files).await
        }
    }
}

async fn refuse_occupied(target: &Marked, is_marked: bool) -> anyhow::Result<()> {
    if is_marked || target.has_stores || target.has_keys().await? {
        bail!("{} holds a node already; nothing was changed", target.place);
    }
    Ok(())
}

/// The target has everything and may run.
///
/// # Errors
/// Where the mark cannot be removed.
pub(super) async fn complete(target: &Marked) -> anyhow::Result<()> {
    let files = target.files.clone();
    let removed = tokio::task::spawn_blocking(move || {
        let mark = files.load(MARK_FILE)?;
        files.replace(MARK_FILE, mark.as_deref(), None)
    });
    Ok(removed.await??)
}

//! Where an upload is that an earlier run of the same command began: one small file for
//! each, in the folder in which programs keep their state.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::FileUpload;
use crate::client::NodeClient;

/// Nodes forget uploads long before.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The memory of one upload.
pub(super) struct Remembered {
    /// `None` where this user has no folder for state.
    file: Option<PathBuf>,
}

impl Remembered {
    /// Of the upload of this file, as it is now, to this node with this intent.
    ///
    /// # Errors
    /// Where the file cannot be looked at.
    pub(super) async fn of(client: &NodeClient, upload: &FileUpload<'_>) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", upload.path.display());
        let path = fs::canonicalize(upload.path).with_context(cannot)?;
        let changed = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let changed = changed.with_context(cannot)?;
        let changed = changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut hasher = Sha256::new();
        for part in [
            client.api(),
            &path.to_string_lossy(),
            &upload.size.to_string(),
            &changed.as_nanos().to_string(),
            &upload.intent,
        ] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let name = hex::encode(hasher.finalize());
        Ok(Self {
            file: folder().map(|folder| folder.join(name)),
        })
    }

    /// The route of the upload that an earlier run began.
    pub(super) fn route(&self) -> Option<String> {
        let route = fs::read_to_string(self.file.as_ref()?).ok()?;
        let id = route.strip_prefix("/uploads/")?;
        id.bytes()
            .all(|byte| byte.is_ascii_alphanumeric())
            .then_some(route)
    }

    /// Remembers the route for later runs. One that cannot is told so, and goes on.
    pub(super) fn keep(&self, route: &str) {
        let Some(file) = &self.file else { return };
        let written = file.parent().map_or(Ok(()), |folder| {
            fs::create_dir_all(folder)?;
            prune(folder);
            fs::write(file, route)
        });
        if let Err(error) = written {
            eprintln!(
                "this upload cannot be gone on with after this command ends: {}: {error}",
                file.display()
            );
        }
    }

    /// The upload is over.
    pub(super) fn forget(&self) {
        if let Some(file) = &self.file {
            // One that is gone already is no harm, nor is one that stays.
            let _ = fs::remove_file(file);
        }
    }
}

/// Deletes what nobody has come back to.
fn prune(folder: &Path) {
    let is_old = |entry: &fs::DirEntry| {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > FORGOTTEN_AFTER))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(is_old) {
        // It only takes room.
        let _ = fs::remove_file(entry.path());
    }
}

/// `$XDG_STATE_HOME/dm-node/uploads`, by default under `~/.local/state`.
fn folder() -> Option<PathBuf> {
    let path = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("dm-node").join("uploads"))
}

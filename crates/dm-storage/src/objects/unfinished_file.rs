//! What becomes of a file that is being written, where nothing comes of it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{bodies::Placed, partial::Claim};

/// A file that nothing may come of: then it is deleted, or stays to be gone on
/// with.
pub(crate) struct UnfinishedFile {
    /// What is deleted.
    path: Option<PathBuf>,
    claim: Option<Claim>,
    /// What stays in any case.
    source: Option<PathBuf>,
}

impl UnfinishedFile {
    pub(super) fn deleted_at(path: PathBuf) -> Self {
        Self {
            path: Some(path),
            claim: None,
            source: None,
        }
    }

    pub(super) fn kept_at(claim: Claim) -> Self {
        Self {
            path: None,
            claim: Some(claim),
            source: None,
        }
    }

    pub(super) fn linked_from(path: PathBuf) -> Self {
        Self {
            path: None,
            claim: None,
            source: Some(path),
        }
    }

    pub(super) fn delete_when_dropped(&mut self) {
        if let Some(claim) = &self.claim {
            self.path = Some(claim.path().to_owned());
        }
    }

    pub(super) fn move_to(&mut self, path: PathBuf) -> io::Result<()> {
        if let Some(source) = &self.source {
            link_or_copy(source, &path)?;
            self.path = Some(path);
        } else if let Some(from) = &self.path {
            fs::rename(from, &path)?;
            self.path = Some(path);
        }
        Ok(())
    }

    /// Leaves the file where it is, where it is one that can be gone on with.
    #[cfg(feature = "s3")]
    pub(crate) fn stay(&mut self) {
        if self.claim.is_some() {
            self.path = None;
        }
    }
}

impl Placed for UnfinishedFile {
    fn keep(mut self: Box<Self>) {
        self.path = None;
    }
}

/// Gives a file a second name; where the file system knows no such thing, a copy.
fn link_or_copy(source: &Path, target: &Path) -> io::Result<()> {
    if fs::hard_link(source, target).is_ok() {
        return Ok(());
    }
    let copied = fs::copy(source, target).and_then(|_| File::open(target)?.sync_all());
    if copied.is_err() {
        // That it is there is told by no record: the next start deletes it, too.
        let _ = fs::remove_file(target);
    }
    copied
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else {
            return;
        };
        // Nobody takes the file up again before it is gone.
        let claim = self.claim.take();
        let remove = move || {
            let _claim = claim;
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "an unfinished file stays until the next start");
            }
        };
        // Deleting a large file takes long, and this may be an async thread.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

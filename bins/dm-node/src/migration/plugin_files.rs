//! The plugins in their folder.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::Context;

use crate::download::partial_path;

/// Copies the folder of the plugins where there is one, and the target has none.
///
/// # Errors
/// Where a file cannot be read or written.
pub(super) fn copy(source: &Path, target: &Path) -> anyhow::Result<()> {
    if !source.is_dir() || target.exists() {
        return Ok(());
    }
    let partial = partial_path(target);
    let copied = || {
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        copy_folder(source, &partial)?;
        fs::rename(&partial, target)
    };
    copied().with_context(|| format!("cannot copy {} to {}", source.display(), target.display()))
}

fn copy_folder(source: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(source)? {
        let from = entry?.path();
        let to = target.join(from.file_name().unwrap_or_default());
        if from.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
            File::open(&to)?.sync_all()?;
        }
    }
    File::open(target)?.sync_all()
}

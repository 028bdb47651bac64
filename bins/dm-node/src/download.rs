//! Files that come from a running node.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use futures::TryStreamExt;
use reqwest::Response;

use crate::progress;

mod resumed;

pub(crate) use resumed::object_to_file;

/// Writes a download beside its target, and gives it its name only once it is
/// whole and `check` has nothing against it. Returns its bytes.
///
/// # Errors
/// Where it breaks off, cannot be written, or is refused; then nothing is left.
pub(crate) async fn to_file(
    response: Response,
    path: &Path,
    access: Access,
    check: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let partial = partial_path(path);
    let cannot_write = || format!("cannot write {}", path.display());
    let mut file = access.create(&partial).with_context(cannot_write)?;
    let result = async {
        let bytes = copy(response, &mut file).await?;
        file.sync_all().with_context(cannot_write)?;
        check(&partial)?;
        fs::rename(&partial, path).with_context(cannot_write)?;
        Ok(bytes)
    }
    .await;
    if result.is_err() {
        // What came so far is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&partial);
    }
    result
}

/// Lets `work` write into a file that is not there yet.
///
/// # Errors
/// Those of the work, and where the file is there; then it stays as it is.
pub(crate) async fn into_new_file(
    path: &Path,
    work: impl Future<Output = anyhow::Result<u64>>,
) -> anyhow::Result<u64> {
    Access::New.create(path).with_context(|| {
        let path = path.display();
        format!("cannot make the file {path}; choose another one with -o")
    })?;
    let result = work.await;
    if result.is_err() {
        // It is empty: it only kept the name.
        let _ = fs::remove_file(path);
    }
    result
}

/// Who may read a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// As the system has it; the file must not be there yet, and it is no link.
    New,
    /// Its owner alone.
    Private,
}

impl Access {
    fn create(self, path: &Path) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        match self {
            Self::New => options.write(true).create_new(true),
            Self::Private => options.write(true).create(true).truncate(true),
        };
        #[cfg(unix)]
        if let Self::Private = self {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        options.open(path)
    }
}

/// The path with `.partial` behind it.
pub(crate) fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Writes are not asynchronous: this process does nothing else.
pub(crate) async fn copy(response: Response, mut target: impl Write) -> anyhow::Result<u64> {
    let expected = response.content_length();
    let bar = progress::bytes(expected);
    let mut pieces = response.bytes_stream();
    let mut received = 0;
    while let Some(piece) = pieces
        .try_next()
        .await
        .context("the node broke the transfer off")?
    {
        target.write_all(&piece)?;
        received += piece.len() as u64;
        bar.set_position(received);
    }
    target.flush()?;
    bar.finish_and_clear();
    ensure!(
        expected.is_none_or(|expected| expected == received),
        "the node broke the transfer off"
    );
    Ok(received)
}

//! `dm-node get` of a folder, which is unpacked as it comes.

use std::{ffi::OsStr, io, path::Path};

use dm_core::hash::DataHash;
use futures::TryStreamExt;
use reqwest::{Response, header::CONTENT_TYPE};
use serde_json::json;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::{
    folder::{self, Declared},
    output, progress,
};

/// Behind the name of an archive.
const EXTENSION: &str = "tar";

/// How much is in a folder that is answered; `None` where it is none.
pub(super) fn declared(response: &Response) -> Option<Declared> {
    let media_type = response.headers().get(CONTENT_TYPE)?;
    Declared::of(media_type.to_str().ok()?)
}

/// Whether a folder that is written there stays packed.
pub(super) fn is_archive(output: Option<&Path>) -> bool {
    let extension = output.and_then(Path::extension);
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case(EXTENSION))
}

/// Unpacks an answer. The folder has the name of `path` without `.tar`.
pub(super) async fn run(
    response: Response,
    declared: Declared,
    hash: &DataHash,
    path: &Path,
    as_json: bool,
) -> anyhow::Result<()> {
    let target = match path.extension() == Some(OsStr::new(EXTENSION)) {
        true => path.with_extension(""),
        false => path.to_owned(),
    };
    let bar = progress::bytes(response.content_length());
    let received = bar.clone();
    let pieces = response.bytes_stream();
    let pieces = pieces
        .map_err(|error| io::Error::other(format!("the node broke the transfer off: {error}")))
        .inspect_ok(move |piece| received.inc(piece.len() as u64));
    let archive = StreamReader::new(Box::pin(pieces));
    let document = json!({
        "hash": hash, "folder": &target, "entries": declared.entries, "bytes": declared.bytes,
    });
    let shown = target.display().to_string();
    tokio::task::spawn_blocking(move || folder::unpack(SyncIoBridge::new(archive), declared, &target))
        .await??;
    bar.finish_and_clear();
    output::print(as_json, &document, |_| {
        format!(
            "{} files and folders with {} bytes are in {shown}",
            declared.entries, declared.bytes
        )
    })
}

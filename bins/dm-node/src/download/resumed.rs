//! Objects that come from a running node, through broken connections and the end of this
//! command: what has come stays beside the target, and the next part is asked for.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use dm_core::hash::{DataHash, DataHasher};
use futures::TryStreamExt;
use indicatif::ProgressBar;
use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_RANGE, RANGE},
};

use crate::{
    client::{NodeClient, successful},
    progress,
    retries::Retries,
};

/// Bytes that are read at a time.
const PIECE: usize = 256 * 1024;

/// Writes an object beside its target and gives it its name once it is whole and has its
/// hash. Returns its bytes. What has come of one that breaks off stays, for the next time.
///
/// # Errors
/// Where the node refuses it or does not answer for too long, or it cannot be written.
pub(crate) async fn object_to_file(
    client: &NodeClient,
    hash: &DataHash,
    first: Response,
    target: &Path,
) -> anyhow::Result<u64> {
    let partial = partial_path(target, hash);
    let size = first
        .content_length()
        .context("the node does not say how long the data is")?;
    let cannot_write = || format!("cannot write {}", target.display());
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&partial)
        .with_context(cannot_write)?;
    let bar = progress::bytes(Some(size));
    let mut retries = Retries::default();
    let mut have = length(&file)?;
    // Of no use where something is there already.
    let mut answered = Some(first).filter(|_| have == 0);
    while have < size {
        bar.set_position(have);
        let received = receive(client, hash, answered.take(), have, &mut file, &bar).await;
        have = length(&file)?;
        if let Err(Broken::Off(reason)) = received {
            retries.pause(have, reason).await?;
        } else if let Err(Broken::For(error)) = received {
            return Err(error);
        }
    }
    bar.finish_and_clear();
    file.sync_all().with_context(cannot_write)?;
    drop(file);
    if have > size || hash_of(&partial)? != *hash {
        // Nothing good can come of it any more.
        let _ = fs::remove_file(&partial);
        bail!("what has come is not the data with this hash; run the command again");
    }
    fs::rename(&partial, target).with_context(cannot_write)?;
    Ok(size)
}

/// Why an attempt did not come to its end.
enum Broken {
    /// It may be tried again.
    Off(anyhow::Error),
    /// It cannot.
    For(anyhow::Error),
}

/// Adds to the file what comes from this byte on.
async fn receive(
    client: &NodeClient,
    hash: &DataHash,
    answered: Option<Response>,
    from: u64,
    file: &mut File,
    bar: &ProgressBar,
) -> Result<(), Broken> {
    let response = match answered {
        Some(response) => response,
        None => rest(client, hash, from).await?,
    };
    let mut pieces = response.bytes_stream();
    loop {
        let piece = pieces.try_next().await.map_err(broken)?;
        let Some(piece) = piece else { return Ok(()) };
        let written = file.write_all(&piece).context("what comes cannot be written");
        written.map_err(Broken::For)?;
        bar.inc(piece.len() as u64);
    }
}

/// The part of the object from this byte on.
async fn rest(client: &NodeClient, hash: &DataHash, from: u64) -> Result<Response, Broken> {
    let request = client
        .request(Method::GET, &format!("/objects/{hash}"))
        .header(RANGE, format!("bytes={from}-"));
    let response = client.execute(request).await.map_err(broken)?;
    let status = response.status();
    let response = successful(response).await.map_err(|error| match status {
        StatusCode::TOO_MANY_REQUESTS => Broken::Off(error),
        status if status.is_server_error() => Broken::Off(error),
        _ => Broken::For(error),
    })?;
    let begins = format!("bytes {from}-");
    let range = response.headers().get(CONTENT_RANGE);
    let fits = from == 0 || range.is_some_and(|range| range.as_bytes().starts_with(begins.as_bytes()));
    match fits {
        true => Ok(response),
        false => Err(Broken::For(anyhow::anyhow!(
            "the node sends another part than was asked for"
        ))),
    }
}

fn broken(error: reqwest::Error) -> Broken {
    Broken::Off(anyhow::Error::from(error).context("the connection to the node broke"))
}

fn length(file: &File) -> anyhow::Result<u64> {
    Ok(file.metadata()?.len())
}

fn hash_of(path: &Path) -> anyhow::Result<DataHash> {
    let mut file = File::open(path)?;
    let mut hasher = DataHasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&piece[..read]),
        }
    }
}

/// The target with the beginning of the hash and `.partial` behind it: what came of other
/// data is not gone on with.
fn partial_path(target: &Path, hash: &DataHash) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}.partial", &hash.to_string()[..16]));
    name.into()
}

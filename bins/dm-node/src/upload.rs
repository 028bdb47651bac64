//! Files that are sent to a running node in parts: through broken connections, the end of
//! the node, and the end of this command, by [tus 1.0](https://tus.io/protocols/resumable-upload).

use std::{io::SeekFrom, path::Path, time::Duration};

use anyhow::{Context, anyhow, bail, ensure};
use futures::TryStreamExt;
use indicatif::ProgressBar;
use reqwest::{
    Body, Method, RequestBuilder, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION},
};
use serde_json::Value;
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt, AsyncSeekExt},
};
use tokio_util::io::ReaderStream;

use crate::{
    client::{NodeClient, successful},
    order, progress,
    retries::Retries,
};

mod remembered;

use remembered::Remembered;

/// Files from this many bytes on are sent in parts.
pub(crate) const RESUMABLE_FROM: u64 = 8 << 20;

/// Bytes that are read from the file at a time.
const PIECE: usize = 256 * 1024;
/// Pause between two questions whether the share is made.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A file, and what is to become of it.
pub(crate) struct FileUpload<'a> {
    pub(crate) path: &'a Path,
    pub(crate) size: u64,
    /// What the node is told when the upload begins.
    pub(crate) headers: HeaderMap,
    /// What makes another run of the command the same.
    pub(crate) intent: String,
}

/// Why an attempt did not come to its end.
enum Broken {
    /// It may be tried again.
    Off(anyhow::Error),
    /// The node has no such upload any more.
    Gone,
    /// The node refuses.
    Refused(anyhow::Error),
}

impl From<reqwest::Error> for Broken {
    fn from(error: reqwest::Error) -> Self {
        Self::Off(anyhow!(error).context("the connection to the node broke"))
    }
}

/// Sends a file and returns the node's answer to the share; `None` where the node has no
/// uploads that resume.
///
/// # Errors
/// Where the node refuses it or does not answer for too long, or the file cannot be read.
pub(crate) async fn send(client: &NodeClient, file: FileUpload<'_>) -> anyhow::Result<Option<Value>> {
    let remembered = Remembered::of(client, &file).await?;
    let earlier = remembered.route();
    let resumes = earlier.is_some();
    let Some(route) = found_or_begun(client, &file, &remembered, earlier).await? else {
        return Ok(None);
    };
    send_all(client, &file, &route).await?;
    let answer = outcome(client, &route).await?;
    // Those of several shares that failed are asked for by the next run.
    if answer["shares"]
        .as_array()
        .is_none_or(|shares| shares.iter().all(is_made))
    {
        remembered.forget();
    }
    if resumes {
        ensure_same_file(file.path, &answer).await?;
    }
    Ok(Some(answer))
}

/// Whether a share of several was made.
pub(crate) fn is_made(share: &Value) -> bool {
    share["success"] == true
}

/// The route of an upload that an earlier run began, or of a new one.
async fn found_or_begun(
    client: &NodeClient,
    file: &FileUpload<'_>,
    remembered: &Remembered,
    earlier: Option<String>,
) -> anyhow::Result<Option<String>> {
    if let Some(route) = earlier {
        match place(client, &route).await {
            Err(Broken::Gone) => {}
            Err(Broken::Refused(error) | Broken::Off(error)) => return Err(error),
            Ok(place) => {
                eprintln!("goes on with an earlier upload at byte {place}");
                return Ok(Some(route));
            }
        }
    }
    let request = tus(client, Method::POST, "/uploads")
        .header("Upload-Length", file.size)
        .headers(file.headers.clone());
    let response = client.execute(request).await?;
    // Of an earlier version.
    if response.status() == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let begun = successful(response).await?;
    let location = begun
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    let route = format!(
        "/{}",
        location.context("the node does not say where the upload is")?
    );
    remembered.keep(&route);
    Ok(Some(route))
}

async fn send_all(client: &NodeClient, file: &FileUpload<'_>, route: &str) -> anyhow::Result<()> {
    let bar = progress::bytes(Some(file.size));
    let mut retries = Retries::default();
    let mut durable = 0;
    while durable < file.size {
        match go_on(client, file, route, &bar, &mut durable).await {
            Ok(()) => {}
            Err(Broken::Off(reason)) => retries.pause(durable, reason).await?,
            Err(Broken::Gone) => bail!("the node has ended the upload; run the command again"),
            Err(Broken::Refused(error)) => return Err(error),
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Sends what is missing, from where the node says that the upload is.
async fn go_on(
    client: &NodeClient,
    file: &FileUpload<'_>,
    route: &str,
    bar: &ProgressBar,
    durable: &mut u64,
) -> Result<(), Broken> {
    *durable = place(client, route).await?;
    bar.set_position(*durable);
    if *durable == file.size {
        return Ok(());
    }
    let rest = rest(file, *durable).await.map_err(Broken::Refused)?;
    let sent = bar.clone();
    let pieces =
        ReaderStream::with_capacity(rest, PIECE).inspect_ok(move |piece| sent.inc(piece.len() as u64));
    let request = tus(client, Method::PATCH, route)
        .header(CONTENT_TYPE, "application/offset+octet-stream")
        .header(CONTENT_LENGTH, file.size - *durable)
        .header("Upload-Offset", *durable)
        .body(Body::wrap_stream(pieces));
    *durable = offset(&judged(client.execute(request).await?).await?)?;
    Ok(())
}

/// The file from this byte on, as far as the upload goes.
async fn rest(file: &FileUpload<'_>, from: u64) -> anyhow::Result<impl AsyncRead + Send + Sync + 'static> {
    let cannot = || format!("cannot read {}", file.path.display());
    let mut source = File::open(file.path).await.with_context(cannot)?;
    source.seek(SeekFrom::Start(from)).await.with_context(cannot)?;
    Ok(source.take(file.size - from))
}

/// Bytes that the node has.
async fn place(client: &NodeClient, route: &str) -> Result<u64, Broken> {
    let response = client.execute(tus(client, Method::HEAD, route)).await?;
    offset(&judged(response).await?)
}

fn offset(response: &Response) -> Result<u64, Broken> {
    let header = response.headers().get("upload-offset");
    let offset = header.and_then(|value| value.to_str().ok()?.parse().ok());
    offset.ok_or_else(|| Broken::Refused(anyhow!("the node does not say where the upload is")))
}

/// What came of the share, once it is made.
async fn outcome(client: &NodeClient, route: &str) -> anyhow::Result<Value> {
    loop {
        let answer = client.answer(client.request(Method::GET, route)).await?;
        if answer["status"] != "uploading" {
            return Ok(answer);
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
}

/// Whether an answer is a success, and else what that means.
async fn judged(response: Response) -> Result<Response, Broken> {
    let status = response.status();
    let judged = successful(response).await;
    judged.map_err(|error| match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Broken::Gone,
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::CONFLICT
        | StatusCode::LOCKED
        | StatusCode::TOO_MANY_REQUESTS => Broken::Off(error),
        status if status.is_server_error() && status != StatusCode::INSUFFICIENT_STORAGE => {
            Broken::Off(error)
        }
        _ => Broken::Refused(error),
    })
}

fn tus(client: &NodeClient, method: Method, route: &str) -> RequestBuilder {
    client.request(method, route).header("Tus-Resumable", "1.0.0")
}

/// A file may have changed since an earlier run has sent the beginning of it.
async fn ensure_same_file(path: &Path, answer: &Value) -> anyhow::Result<()> {
    let made = answer["shares"].as_array().map_or_else(
        || Some(answer),
        |shares| shares.iter().find(|share| is_made(share)),
    );
    let Some(made) = made else { return Ok(()) };
    let hash = order::hash_file(path).await?.to_string();
    ensure!(
        made["data_hash"] == hash.as_str(),
        "{} has changed since its upload began: what was shared under the hash {} is a mixture; erase it, and \
         share the file again",
        path.display(),
        made["data_hash"]
    );
    Ok(())
}

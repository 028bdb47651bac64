//! `dm-node get`: fetches data from a running node.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use futures::TryStreamExt;
use reqwest::{Method, Response};
use serde_json::json;

use super::explain;
use crate::{cli::GetArgs, client::NodeClient, output, progress};

pub(crate) async fn run(args: GetArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.client.api, &args.client.api_key);
    let route = format!("/objects/{}?explain={}", args.hash, args.explain);
    let response = client.send(client.request(Method::GET, &route)).await?;
    let retrieval = response.headers().get("x-retrieval").cloned();
    match &args.output {
        Some(path) => {
            let bytes = to_file(response, path).await?;
            let document = json!({"hash": args.hash, "file": path, "bytes": bytes});
            output::print(as_json, &document, |_| {
                format!("{bytes} bytes are in {}", path.display())
            })?;
        }
        None => drop(copy(response, std::io::stdout()).await?),
    }
    match retrieval {
        Some(id) => explain::print(&client, id.to_str()?, as_json).await,
        None => Ok(()),
    }
}

/// Writes beside the target first, so that a file of that name is whole.
async fn to_file(response: Response, path: &Path) -> anyhow::Result<u64> {
    let partial = partial_path(path);
    let result = async {
        let file = File::create(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
        let bytes = copy(response, file).await?;
        fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(bytes)
    }
    .await;
    if result.is_err() {
        // What came so far is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&partial);
    }
    result
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Writes are not asynchronous: this process does nothing else.
async fn copy(response: Response, mut target: impl Write) -> anyhow::Result<u64> {
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

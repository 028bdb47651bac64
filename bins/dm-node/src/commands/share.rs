//! `dm-node share`: hands a file to a running node.

use std::path::Path;

use anyhow::Context;
use dm_api::attachment;
use dm_core::descriptor::{LabelPairs, Labels, ObjectName};
use futures::TryStreamExt;
use reqwest::{
    Body, Method, RequestBuilder,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::Value;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use crate::{
    cli::ShareArgs,
    client::NodeClient,
    duration,
    order::{self, Wanted},
    output::{self, cell},
    paths::input_path,
    progress,
};

/// Bytes that are read from the file at a time.
const PIECE: usize = 256 * 1024;

pub(crate) async fn run(args: ShareArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.client.api, &args.client.api_key);
    let wanted = Wanted {
        recipient: &args.to,
        price: Some(&args.price),
    };
    let order = order::presented(&args.order, &client, &wanted, order::hash_file(&args.file)).await?;
    let (source, size) = open(&args).await?;
    let bar = progress::bytes(size);
    let sent = bar.clone();
    let pieces =
        ReaderStream::with_capacity(source, PIECE).inspect_ok(move |piece| sent.inc(piece.len() as u64));
    let request = client
        .request(Method::PUT, &route(&args)?)
        .body(Body::wrap_stream(pieces));
    let mut request = described(request, &args)?;
    if let Some(order) = order {
        request = request
            .header("X-User-Id", order.user_id)
            .header("X-User-Statement", order.statement)
            .header("X-User-Signature", order.signature);
    }
    if let Some(size) = size {
        request = request.header(CONTENT_LENGTH, size);
    }
    let answer: Value = client.send(request).await?.json().await?;
    bar.finish_and_clear();
    output::print(as_json, &answer, describe)
}

fn route(args: &ShareArgs) -> anyhow::Result<String> {
    let mut route = format!("/objects?recipient={}", args.to);
    if let (Some(token), Some(amount)) = (&args.price.payment_token, &args.price.payment_amount) {
        route.push_str(&format!("&payment_token={token}&payment_amount={amount}"));
    }
    if let Some(text) = &args.expires {
        route.push_str(&format!("&expires_at={}", duration::from_now(text)?));
    }
    Ok(route)
}

/// The request with what the readers are told. A file whose name is none elsewhere is
/// shared without one.
fn described(request: RequestBuilder, args: &ShareArgs) -> anyhow::Result<RequestBuilder> {
    let told = &args.description;
    let name = told.name.clone().or_else(|| name_of(&args.file));
    let mut headers = HeaderMap::new();
    if let Some(name) = &name {
        headers.insert(CONTENT_DISPOSITION, attachment(Some(name)).parse()?);
    }
    if let Some(media_type) = &told.media_type {
        headers.insert(CONTENT_TYPE, media_type.as_str().parse()?);
    }
    if !told.labels.is_empty() {
        let labels = Labels::try_from(told.labels.iter().cloned().collect::<LabelPairs>())?;
        headers.insert(
            "x-labels",
            HeaderValue::from_bytes(&serde_json::to_vec(&labels)?)?,
        );
    }
    if let Some(id) = &told.correlation_id {
        headers.insert(
            "x-correlation-id",
            HeaderValue::from_bytes(id.as_str().as_bytes())?,
        );
    }
    if let Some(hash) = &told.supersedes {
        headers.insert("x-supersedes", hash.to_string().parse()?);
    }
    Ok(request.headers(headers))
}

/// The name of a file; standard input has none.
fn name_of(path: &Path) -> Option<ObjectName> {
    if path == Path::new("-") {
        return None;
    }
    let name = path.file_name()?.to_str();
    match name.map(str::parse::<ObjectName>) {
        Some(Ok(name)) => Some(name),
        Some(Err(_)) | None => {
            eprintln!(
                "the file is shared without its name, which is none on other systems; give one with --name"
            );
            None
        }
    }
}

/// The file and its size; the size of standard input is not known.
async fn open(args: &ShareArgs) -> anyhow::Result<(File, Option<u64>)> {
    let path = input_path(&args.file);
    let file = File::open(path)
        .await
        .with_context(|| format!("cannot read {}", path.display()))?;
    let metadata = file.metadata().await?;
    Ok((file, metadata.is_file().then_some(metadata.len())))
}

fn describe(answer: &Value) -> String {
    let mut lines = vec![
        format!("data hash    {}", cell(&answer["data_hash"])),
        format!("recipient    {}", cell(&answer["recipient"])),
        format!("status       {}", cell(&answer["status"])),
        format!("transaction  {}", cell(&answer["tx_hash"])),
        format!("replicas     {}", cell(&answer["replicas"])),
    ];
    if let Some(payment) = answer.get("payment") {
        lines.push(format!("paid by      {}", cell(&payment["paid_by"])));
        lines.push(format!("payment      {}", cell(&payment["tx_hash"])));
    }
    if answer["grant"] == "pending" {
        lines.push(
            "The recipient's node has not been seen yet; it can read as soon as it appears.".to_owned(),
        );
    }
    lines.join("\n")
}

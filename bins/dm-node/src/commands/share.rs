//! `dm-node share`: hands a file to a running node.

use anyhow::Context;
use futures::TryStreamExt;
use reqwest::{Body, Method, header::CONTENT_LENGTH};
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
        recipient: args.to,
        price: Some(&args.price),
    };
    let order = order::presented(&args.order, &client, &wanted, order::hash_file(&args.file)).await?;
    let (source, size) = open(&args).await?;
    let bar = progress::bytes(size);
    let sent = bar.clone();
    let pieces =
        ReaderStream::with_capacity(source, PIECE).inspect_ok(move |piece| sent.inc(piece.len() as u64));
    let mut request = client
        .request(Method::PUT, &route(&args)?)
        .body(Body::wrap_stream(pieces));
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

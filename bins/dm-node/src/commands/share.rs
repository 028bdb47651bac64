//! `dm-node share`: hands a file to a running node.

use std::path::Path;

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use dm_api::attachment;
use dm_core::{
    descriptor::{LabelPairs, Labels, ObjectName},
    hash::DataHash,
    mandate::PresentedMandate,
};
use futures::TryStreamExt;
use reqwest::{
    Body, Method, RequestBuilder,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::Value;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::share_folder;
use crate::{
    cli::{DescriptionArgs, ShareArgs},
    client::{NodeClient, successful},
    duration,
    order::{self, Wanted},
    output::{self, cell},
    paths::input_path,
    progress,
    upload::{self, FileUpload},
};

/// Bytes that are read from the file at a time.
const PIECE: usize = 256 * 1024;

pub(crate) async fn run(args: ShareArgs, as_json: bool) -> anyhow::Result<()> {
    if args.file.is_dir() {
        return share_folder::run(args, as_json).await;
    }
    let client = args.client.connect()?;
    let order = order(&args, &client, order::hash_file(&args.file)).await?;
    let (source, size) = open(&args).await?;
    if let Some(size) = size.filter(|size| *size >= upload::RESUMABLE_FROM)
        && let Some(answer) = upload::send(&client, in_parts(&args, size, order.as_ref())?).await?
    {
        return told(&answer, as_json);
    }
    let bar = progress::bytes(size);
    let sent = bar.clone();
    let pieces =
        ReaderStream::with_capacity(source, PIECE).inspect_ok(move |piece| sent.inc(piece.len() as u64));
    let request = client
        .request(Method::PUT, &route(&args)?)
        .body(Body::wrap_stream(pieces));
    let mut request = described(request, &args)?;
    request = request.headers(order_headers(order.as_ref())?);
    if let Some(size) = size {
        request = request.header(CONTENT_LENGTH, size);
    }
    let sent = client.execute(request).await;
    bar.finish_and_clear();
    let answer: Value = match (sent, size) {
        (Ok(response), _) => successful(response).await?.json().await?,
        // What came of it is not known; the same share again is the same share.
        (Err(error), Some(size)) if size > 0 && !error.is_connect() => {
            eprintln!("the connection to the node broke: {error}; goes on");
            let upload = in_parts(&args, size, order.as_ref())?;
            let answer = upload::send(&client, upload).await?;
            answer.context("the node broke the transfer off")?
        }
        (Err(error), _) => return Err(error).with_context(|| client.silent()),
    };
    told(&answer, as_json)
}

/// Shows what became of the share, or of each. Those of several that were made are shown where
/// others failed.
pub(super) fn told(answer: &Value, as_json: bool) -> anyhow::Result<()> {
    output::print(as_json, answer, describe)?;
    ensure_all_made(answer)
}

/// The order of an authorised user, if one is given: it is for one recipient.
pub(super) async fn order(
    args: &ShareArgs,
    client: &NodeClient,
    data_hash: impl Future<Output = anyhow::Result<DataHash>>,
) -> anyhow::Result<Option<PresentedMandate>> {
    let [recipient] = args.to.as_slice() else {
        ensure!(
            args.order.user.is_none(),
            "an order is for one recipient: share with one at a time"
        );
        return Ok(None);
    };
    let wanted = Wanted {
        recipient,
        price: Some(&args.price),
    };
    order::presented(&args.order, client, &wanted, data_hash).await
}

/// The headers that name who orders the share.
pub(super) fn order_headers(order: Option<&PresentedMandate>) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(order) = order {
        headers.insert("x-user-id", order.user_id.parse()?);
        headers.insert(
            "x-user-statement",
            HeaderValue::from_bytes(order.statement.as_bytes())?,
        );
        headers.insert("x-user-signature", order.signature.parse()?);
    }
    Ok(headers)
}

/// The file as an upload that resumes.
fn in_parts<'a>(
    args: &'a ShareArgs,
    size: u64,
    order: Option<&PresentedMandate>,
) -> anyhow::Result<FileUpload<'a>> {
    let mut pairs = metadata(args)?;
    // The end is counted from now on, in each run anew.
    let intent = format!("{pairs:?} {:?} {:?}", args.expires, args.order.user);
    if let Some(text) = &args.expires {
        pairs.push(("expires_at", duration::from_now(text)?.to_string()));
    }
    let encoded: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key} {}", STANDARD.encode(value)))
        .collect();
    let mut headers = order_headers(order)?;
    headers.insert("upload-metadata", encoded.join(",").parse()?);
    Ok(FileUpload {
        path: &args.file,
        size,
        headers,
        intent,
    })
}

/// What the node is told of the share when an upload begins, but for its end.
fn metadata(args: &ShareArgs) -> anyhow::Result<Vec<(&'static str, String)>> {
    let told = &args.description;
    let name = told.name.clone().or_else(|| name_of(&args.file));
    let labels = match told.labels.is_empty() {
        true => None,
        false => Some(serde_json::to_string(&labels(told)?)?),
    };
    let price = &args.price;
    let pairs = [
        ("recipients", Some(recipients(args))),
        ("name", name.map(|name| name.to_string())),
        ("media_type", told.media_type.as_ref().map(ToString::to_string)),
        ("labels", labels),
        (
            "correlation_id",
            told.correlation_id.as_ref().map(ToString::to_string),
        ),
        ("supersedes", told.supersedes.map(|hash| hash.to_string())),
        (
            "payment_token",
            price.payment_token.map(|token| token.to_string()),
        ),
        ("payment_amount", price.payment_amount.clone()),
    ];
    let given = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
    Ok(given.collect())
}

fn labels(told: &DescriptionArgs) -> anyhow::Result<Labels> {
    Ok(Labels::try_from(
        told.labels.iter().cloned().collect::<LabelPairs>(),
    )?)
}

fn recipients(args: &ShareArgs) -> String {
    let recipients: Vec<String> = args.to.iter().map(ToString::to_string).collect();
    recipients.join(",")
}

pub(super) fn route(args: &ShareArgs) -> anyhow::Result<String> {
    let parameter = match args.to.len() {
        1 => "recipient",
        _ => "recipients",
    };
    let mut route = format!("/objects?{parameter}={}", recipients(args));
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
pub(super) fn described(request: RequestBuilder, args: &ShareArgs) -> anyhow::Result<RequestBuilder> {
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
        let labels = labels(told)?;
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

fn ensure_all_made(answer: &Value) -> anyhow::Result<()> {
    let shares = answer["shares"].as_array().map(Vec::as_slice).unwrap_or_default();
    let failed = shares.iter().filter(|share| !upload::is_made(share)).count();
    ensure!(
        failed == 0,
        "{failed} of {} shares failed; the same command again makes what is missing",
        shares.len()
    );
    Ok(())
}

fn describe(answer: &Value) -> String {
    match answer["shares"].as_array() {
        Some(shares) => describe_each(shares),
        None => describe_one(answer),
    }
}

/// One line for each recipient.
fn describe_each(shares: &[Value]) -> String {
    let data_hash = shares.iter().find_map(|share| share["data_hash"].as_str());
    let rows: Vec<Vec<String>> = shares.iter().map(row).collect();
    let table = output::table(&["RECIPIENT", "STATUS", "REPLICAS", "NOTE"], &rows);
    format!("data hash  {}\n{table}", data_hash.unwrap_or("-"))
}

fn row(share: &Value) -> Vec<String> {
    let note = match (share["error"].as_str(), share["grant"].as_str()) {
        (Some(error), _) => error,
        (None, Some(_)) => "its node has not been seen yet",
        (None, None) => "",
    };
    let [recipient, status, replicas] = ["recipient", "status", "replicas"].map(|field| cell(&share[field]));
    vec![recipient, status, replicas, note.to_owned()]
}

fn describe_one(answer: &Value) -> String {
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

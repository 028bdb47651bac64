//! `dm-node share` of a folder: as one object, which is its archive.

use std::sync::Arc;

use anyhow::ensure;
use dm_core::descriptor::{Description, ObjectName};
use futures::TryStreamExt;
use reqwest::{Body, Method, header::CONTENT_LENGTH};
use serde_json::Value;
use tokio::sync::oneshot;

use super::share;
use crate::{
    cli::ShareArgs,
    folder::{Folder, labels_with_listing},
    progress,
};

pub(super) async fn run(mut args: ShareArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let folder = read(&args).await?;
    describe_folder(&mut args, &folder)?;
    let order = share::order(&args, &client, folder.clone().hash()).await?;
    let size = folder.archive_len();
    let (pieces, fault) = folder.stream();
    let bar = progress::bytes(Some(size));
    let sent = bar.clone();
    let request = client
        .request(Method::PUT, &share::route(&args)?)
        .headers(share::order_headers(order.as_ref())?)
        .header(CONTENT_LENGTH, size)
        .body(Body::wrap_stream(
            pieces.inspect_ok(move |piece| sent.inc(piece.len() as u64)),
        ));
    let request = share::described(request, &args)?;
    let response = client.send(request).await.map_err(|error| reason(fault, error))?;
    let answer: Value = response.json().await?;
    bar.finish_and_clear();
    share::told(&answer, as_json)
}

async fn read(args: &ShareArgs) -> anyhow::Result<Arc<Folder>> {
    let root = args.file.clone();
    Ok(Arc::new(
        tokio::task::spawn_blocking(move || Folder::read(&root)).await??,
    ))
}

/// Says of the archive what it is and what is in it.
fn describe_folder(args: &mut ShareArgs, folder: &Folder) -> anyhow::Result<()> {
    let told = &mut args.description;
    ensure!(
        told.media_type.is_none(),
        "a folder has a media type of its own; leave --media-type out"
    );
    if told.name.is_none() {
        let name = folder
            .name()
            .map(|name| format!("{name}.tar").parse::<ObjectName>());
        told.name = name.transpose()?;
    }
    told.media_type = Some(folder.declared().media_type().parse()?);
    let description = Description {
        name: told.name.clone(),
        media_type: told.media_type.clone(),
        correlation_id: told.correlation_id.clone(),
        supersedes: told.supersedes,
        ..Description::default()
    };
    let labels = labels_with_listing(folder, &description, &told.labels)?;
    told.labels = labels
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Ok(())
}

/// Why nothing was shared: the folder, or else what the exchange ended with.
fn reason(mut fault: oneshot::Receiver<anyhow::Error>, error: anyhow::Error) -> anyhow::Error {
    fault.try_recv().unwrap_or(error)
}

//! `dm-node get`: fetches data from a running node.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use dm_api::attached_name;
use dm_core::hash::DataHash;
use reqwest::{Method, Response, header::CONTENT_DISPOSITION};
use serde_json::json;

use super::{explain, get_folder};
use crate::{cli::GetArgs, client::NodeClient, download, output};

/// Where other tools write what is to be piped on; `./-` is a file of that name.
const STANDARD_OUTPUT: &str = "-";

pub(crate) async fn run(args: GetArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let hash = data_hash(&client, &args.data).await?;
    let route = format!("/objects/{hash}?explain={}", args.explain);
    let response = client.send(client.request(Method::GET, &route)).await?;
    let retrieval = response.headers().get("x-retrieval").cloned();
    let is_standard_output = args.output.as_deref() == Some(Path::new(STANDARD_OUTPUT));
    let target = match args.named {
        true => Some(own_name(&response)?),
        false => args.output.clone().filter(|_| !is_standard_output),
    };
    let folder = get_folder::declared(&response);
    ensure!(
        folder.is_none() || args.archive || !is_standard_output,
        "the data is a folder, which cannot be unpacked on standard output; choose a place with -o, or \
         take it as a tar archive with --archive"
    );
    match (&target, folder) {
        (Some(path), Some(declared)) if !args.archive && !get_folder::is_archive(args.output.as_deref()) => {
            get_folder::run(response, declared, &hash, path, as_json).await?;
        }
        (Some(path), _) => {
            let fetching = download::object_to_file(&client, &hash, response, path);
            let bytes = match args.named {
                true => download::into_new_file(path, fetching).await?,
                false => fetching.await?,
            };
            let document = json!({"hash": hash, "file": path, "bytes": bytes});
            output::print(as_json, &document, |_| {
                format!("{bytes} bytes are in {}", path.display())
            })?;
        }
        (None, _) => drop(download::copy(response, std::io::stdout()).await?),
    }
    match retrieval {
        Some(id) => explain::print(&client, id.to_str()?, as_json).await,
        None => Ok(()),
    }
}

/// The name that the owner gives the data, where a stranger may choose it: it leads to no
/// other folder, and names no file that programs look for unasked.
fn own_name(response: &Response) -> anyhow::Result<PathBuf> {
    let value = response.headers().get(CONTENT_DISPOSITION);
    let name = value
        .map(|value| attached_name(value.as_bytes()))
        .transpose()
        .map_err(|reason| anyhow!("the node's Content-Disposition {reason}"))?
        .flatten()
        .context("its owner gives the data no name; choose one with -o")?;
    let path = Path::new(name.as_str());
    let mut components = path.components();
    let is_plain = matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
    ensure!(
        is_plain && !name.as_str().starts_with('.'),
        "its owner calls the data {name}, which is no name for a file here; choose one with -o"
    );
    Ok(path.to_owned())
}

/// The hash itself, or that of the newest readable item of the inbox with this name.
pub(super) async fn data_hash(client: &NodeClient, text: &str) -> anyhow::Result<DataHash> {
    if let Ok(hash) = text.parse() {
        return Ok(hash);
    }
    let asked = [
        ("name", text.to_owned()),
        ("state", "new,fetched,acknowledged".to_owned()),
        ("limit", "1".to_owned()),
    ];
    let found = client.get("/inbox", &asked).await?;
    let hash = found["items"][0]["data_hash"].as_str();
    hash.and_then(|hash| hash.parse().ok())
        .with_context(|| format!("nothing in the inbox has the name {text}"))
}

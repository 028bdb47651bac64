//! `dm-node get`: fetches data from a running node.

use reqwest::Method;
use serde_json::json;

use super::explain;
use crate::{
    cli::GetArgs,
    client::NodeClient,
    download::{self, Access},
    output,
};

pub(crate) async fn run(args: GetArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.client.api, &args.client.api_key);
    let route = format!("/objects/{}?explain={}", args.hash, args.explain);
    let response = client.send(client.request(Method::GET, &route)).await?;
    let retrieval = response.headers().get("x-retrieval").cloned();
    match &args.output {
        Some(path) => {
            let bytes = download::to_file(response, path, Access::Usual, |_| Ok(())).await?;
            let document = json!({"hash": args.hash, "file": path, "bytes": bytes});
            output::print(as_json, &document, |_| {
                format!("{bytes} bytes are in {}", path.display())
            })?;
        }
        None => drop(download::copy(response, std::io::stdout()).await?),
    }
    match retrieval {
        Some(id) => explain::print(&client, id.to_str()?, as_json).await,
        None => Ok(()),
    }
}

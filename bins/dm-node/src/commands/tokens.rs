//! `dm-node tokens`: the tokens that a running node supports.

use serde_json::Value;

use crate::{
    cli::InternalClientArgs,
    client::NodeClient,
    output::{self, cell},
};

pub(crate) async fn run(args: InternalClientArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.api, &args.api_key);
    let answer = client.get("/tokens", &[]).await?;
    output::print(as_json, &answer, describe)
}

fn describe(answer: &Value) -> String {
    let tokens = answer["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            ["symbol", "name", "type", "decimals", "address"]
                .map(|field| cell(&token[field]))
                .to_vec()
        })
        .collect();
    output::table(&["SYMBOL", "NAME", "TYPE", "DECIMALS", "ADDRESS"], &rows)
}

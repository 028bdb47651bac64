//! `dm-node grant`: lets a further address read data.

use serde_json::{Value, json};

use crate::{cli::GrantArgs, client::NodeClient, output};

pub(crate) async fn run(args: GrantArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.client.api, &args.client.api_key);
    let route = format!("/data/{}/grants", args.hash);
    let answer = client
        .post(&route, &json!({"recipient": args.to.to_string()}))
        .await?;
    output::print(as_json, &answer, describe)
}

fn describe(answer: &Value) -> String {
    let lines = [
        ("granted to", "recipient"),
        ("event", "status"),
        ("transaction", "tx_hash"),
    ];
    output::fields(answer, &lines)
}

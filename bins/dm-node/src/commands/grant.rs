//! `dm-node grant`: lets a further address read data.

use serde_json::{Value, json};

use crate::{
    cli::GrantArgs,
    order::{self, Wanted},
    output,
};

pub(crate) async fn run(args: GrantArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let route = format!("/data/{}/grants", args.hash);
    let wanted = Wanted {
        recipient: &args.to,
        price: None,
    };
    let order = order::presented(&args.order, &client, &wanted, async { Ok(args.hash) }).await?;
    let mut body = json!({"recipient": args.to.to_string()});
    if let Some(order) = order {
        body["user_id"] = json!(order.user_id);
        body["statement"] = json!(order.statement);
        body["signature"] = json!(order.signature);
    }
    let answer = client.post(&route, &body).await?;
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

//! `dm-node transfer`: moves coins or tokens.

use serde_json::{Value, json};

use super::operator;
use crate::{amount::Amount, cli::TransferArgs, client::NodeClient, confirm::confirm, output};

pub(crate) async fn run(args: TransferArgs, as_json: bool) -> anyhow::Result<()> {
    let client = NodeClient::new(&args.client.api, &args.client.api_key);
    let amount = Amount::read(&args.amount, &client).await?;
    let from = match args.from {
        Some(from) => from.to_string(),
        None => operator(&client).await?,
    };
    confirm(
        &args.confirm,
        &format!("Transfer {amount} from {from} to {}", args.to),
    )?;
    let order = json!({
        "from": from,
        "to": args.to.to_string(),
        "amount": amount.units.to_string(),
        "token": amount.token.to_string(),
    });
    let answer = client.post("/transfer", &order).await?;
    output::print(as_json, &answer, describe)
}

fn describe(answer: &Value) -> String {
    let lines = [
        ("status", "status"),
        ("transaction", "tx_hash"),
        ("paid by", "from"),
        ("paid to", "to"),
        ("received", "received"),
    ];
    output::fields(answer, &lines)
}

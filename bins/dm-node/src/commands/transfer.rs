//! `dm-node transfer`: moves coins or tokens.

use serde_json::{Value, json};

use super::operator;
use crate::{amount::Amount, cli::TransferArgs, confirm::confirm, output};

pub(crate) async fn run(args: TransferArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
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

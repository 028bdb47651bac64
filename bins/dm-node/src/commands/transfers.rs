//! `dm-node transfers`: what a running node has done with money, and what becomes of
//! refunds that it owes.

use serde_json::{Value, json};

use crate::{
    amount::KnownTokens,
    cli::{TransfersArgs, TransfersCommand},
    confirm::confirm,
    output::{self, cell},
    times,
};

pub(crate) async fn run(args: TransfersArgs, as_json: bool) -> anyhow::Result<()> {
    let answer = match args.command {
        None => return list(args, as_json).await,
        Some(TransfersCommand::Retry { id, client: node }) => {
            node.connect()?
                .post(&format!("/transfers/{id}/retry"), &json!({}))
                .await?
        }
        Some(TransfersCommand::End {
            id,
            reason,
            confirm: asked,
            client: node,
        }) => {
            confirm(&asked, &format!("End refund {id}, so that it is never made"))?;
            node.connect()?
                .post(&format!("/transfers/{id}/end"), &json!({"reason": reason}))
                .await?
        }
    };
    output::print(as_json, &answer, describe_refund)
}

fn describe_refund(answer: &Value) -> String {
    let lines = [
        ("status", "status"),
        ("transaction", "tx_hash"),
        ("paid by", "from"),
        ("paid to", "to"),
        ("amount", "amount"),
        ("attempts", "attempts"),
        ("reason", "reason"),
    ];
    output::fields(answer, &lines)
}

async fn list(args: TransfersArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.cursor.map(|cursor| ("cursor", cursor)));
    let mut answer = client.get("/transfers", &query).await?;
    times::add_iso(&mut answer["transfers"]);
    let tokens = KnownTokens::read(&client).await?;
    output::print(as_json, &answer, |answer| describe(answer, &tokens))
}

fn describe(answer: &Value, tokens: &KnownTokens) -> String {
    let transfers = answer["transfers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = transfers
        .iter()
        .map(|transfer| {
            let text = |field: &str| cell(&transfer[field]);
            vec![
                times::local_secs(&transfer["timestamp"]),
                text("kind"),
                text("purpose"),
                text("status"),
                tokens.amount(&transfer["token"], &transfer["amount"]),
                text("from"),
                text("to"),
                text("tx_hash"),
            ]
        })
        .collect();
    let headings = [
        "TIME",
        "KIND",
        "PURPOSE",
        "STATUS",
        "AMOUNT",
        "FROM",
        "TO",
        "TRANSACTION",
    ];
    let mut text = output::table(&headings, &rows);
    for refund in transfers.iter().filter(|transfer| is_owed(transfer)) {
        text.push_str(&format!("\n{}", describe_owed(refund)));
    }
    if let Some(cursor) = answer["next_cursor"].as_str() {
        text.push_str(&format!("\nmore with --cursor {cursor}"));
    }
    text
}

/// Whether an operator can have it tried again or ended. One has failed only where it
/// was given up when the node was restored from a backup.
fn is_owed(transfer: &Value) -> bool {
    let open = ["accepted", "sent", "failed"];
    transfer["purpose"] == "refund" && open.iter().any(|status| transfer["status"] == *status)
}

fn describe_owed(refund: &Value) -> String {
    let next_try = match &refund["next_try"] {
        Value::Null => String::new(),
        time => format!(", next try {}", times::local_secs(time)),
    };
    format!(
        "refund {} is owed: {} attempts{next_try}, {}",
        cell(&refund["id"]),
        cell(&refund["attempts"]),
        refund["reason"].as_str().unwrap_or("none has failed"),
    )
}

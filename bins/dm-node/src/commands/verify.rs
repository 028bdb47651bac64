//! `dm-node verify`: checks a share, through a node or with a chain alone.

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use dm_chain::{ChainAccess, ClientConfig, ReceiptVerifier};
use dm_core::{
    ports::ChainError,
    receipt::{Receipt, Verification},
};
use dm_keys::{NotOrdered, UserPublicKey};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::{
    cli::VerifyArgs,
    output::{self, cell},
    paths::input_path,
    times,
};

/// Largest receipt that is read, in bytes.
const MAX_RECEIPT: u64 = 1 << 20;

/// Succeeds where the share holds, and fails where it does not.
pub(crate) async fn run(args: VerifyArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let verdict = match (&args.hash, &args.receipt) {
        (Some(hash), _) => {
            let client = args.client.connect()?;
            client.get(&format!("/verify_data/{hash}"), &[]).await?
        }
        (None, Some(file)) => verify_receipt(file, &args.chain, args.user_key.as_deref()).await?,
        (None, None) => anyhow::bail!("give a data hash or --receipt FILE"),
    };
    output::print(as_json, &verdict, describe)?;
    Ok(if verdict["verified"] == true {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn verify_receipt(file: &Path, chain: &str, user_key: Option<&Path>) -> anyhow::Result<Value> {
    let receipt: Receipt = serde_json::from_slice(&read(file).await?)
        .with_context(|| format!("{} is no receipt", file.display()))?;
    let ordered = user_key.map_or(Ok(Ok(())), |key| ordered_by(&receipt, key))?;
    let verdict = match dm_compliance::verify_offline(&receipt) {
        Err(reason) => Verification::invalid(reason.to_string()),
        Ok(leaf_hash) => {
            let verifier = ReceiptVerifier::new(&ClientConfig::default(), ChainAccess::urls([chain]))?;
            match verifier.proves(&receipt, leaf_hash).await {
                Ok(true) => Verification::Valid,
                Ok(false) => {
                    Verification::invalid("the chain does not hold this checkpoint at this block and time")
                }
                Err(error @ ChainError::WrongChain { .. }) => Verification::invalid(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
    };
    let verdict = match ordered {
        Err(reason) if verdict.is_valid() => Verification::invalid(reason.to_string()),
        _ => verdict,
    };
    Ok(json!({
        "verified": verdict.is_valid(),
        "reason": match &verdict {
            Verification::Valid => Value::Null,
            Verification::Invalid { reason } => json!(reason),
        },
        "event_type": receipt.event.event_type,
        "hash": receipt.event.data_hash,
        "recipient": receipt.event.recipient.map(|address| address.to_string()),
        "acknowledgement": acknowledgement(&receipt),
        "user_id": receipt.event.mandate.as_ref().map(|mandate| &mandate.user_id),
        "log": receipt.event.log.to_string(),
        "tx_hash": receipt.anchor.tx_hash,
        "block": receipt.anchor.block,
        "anchored_at": receipt.anchor.timestamp,
    }))
}

/// What the recipient has signed, in the receipt of a delivery or an acknowledgement.
fn acknowledgement(receipt: &Receipt) -> Value {
    match receipt.event.evidence() {
        Ok(Some(statement)) => json!({
            "recipient": statement.recipient.to_string(),
            "owner": statement.object.owner.to_string(),
            "sequence": statement.sequence,
            "fetched_at": statement.fetched_at,
            "acknowledged_at": statement.made_at,
        }),
        Ok(None) | Err(_) => Value::Null,
    }
}

/// Whether the user of a public key has ordered what the receipt is for.
fn ordered_by(receipt: &Receipt, key: &Path) -> anyhow::Result<Result<(), NotOrdered>> {
    let key = input_path(key);
    let text = std::fs::read_to_string(key).with_context(|| format!("cannot read {}", key.display()))?;
    let key = UserPublicKey::parse(&text).with_context(|| format!("the public key in {}", key.display()))?;
    Ok(key.check_order(&receipt.event, receipt.anchor.chain_id))
}

async fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let file = input_path(file);
    let opened = tokio::fs::File::open(file).await;
    let opened = opened.with_context(|| format!("cannot read {}", file.display()))?;
    let mut bytes = Vec::new();
    opened.take(MAX_RECEIPT).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn describe(verdict: &Value) -> String {
    if verdict["verified"] == true {
        let mut lines = vec!["verified".to_owned()];
        for (name, field) in [
            ("event", "event_type"),
            ("data hash", "hash"),
            ("recipient", "recipient"),
            ("ordered by", "user_id"),
            ("log of", "log"),
            ("transaction", "tx_hash"),
            ("block", "block"),
            ("anchored at", "anchored_at"),
        ] {
            let shown = match field {
                "anchored_at" => times::local_secs(&verdict[field]),
                field => cell(&verdict[field]),
            };
            if !verdict[field].is_null() {
                lines.push(format!("{name:<12} {shown}"));
            }
        }
        lines.extend(proven(&verdict["acknowledgement"]));
        lines.join("\n")
    } else {
        format!("NOT verified: {}", cell(&verdict["reason"]))
    }
}

/// What an acknowledgement proves, in words.
fn proven(statement: &Value) -> Option<String> {
    statement.is_object().then(|| {
        format!(
            "proven       {} has signed that it read data of {} and checked it against this hash, by {}; it says so since {}",
            cell(&statement["recipient"]),
            cell(&statement["owner"]),
            times::local_ms(&statement["fetched_at"]),
            times::local_ms(&statement["acknowledged_at"]),
        )
    })
}

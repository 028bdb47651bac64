//! `dm-node balance`: what an account has.

use anyhow::Context;
use dm_core::{U256, token::format_units};
use serde_json::{Value, json};

use super::operator;
use crate::{
    cli::BalanceArgs,
    output::{self, cell},
};

pub(crate) async fn run(args: BalanceArgs, as_json: bool) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let account = match args.address {
        Some(address) => address.to_string(),
        None => operator(&client).await?,
    };
    let answer = client.get("/tokens", &[]).await?;
    let tokens = answer["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut balances = Vec::new();
    for token in tokens {
        let address = token["address"].as_str().unwrap_or_default();
        if args.token.is_some_and(|wanted| wanted.to_string() != address) {
            continue;
        }
        let query = [("token", address.to_owned())];
        let mut balance = client.get(&format!("/balance/{account}"), &query).await?;
        balance["symbol"] = token["symbol"].clone();
        balance["decimals"] = token["decimals"].clone();
        balances.push(balance);
    }
    if balances.is_empty() {
        anyhow::bail!("the node supports no such token; `dm-node tokens` lists those that it does");
    }
    let document = json!({"address": account, "balances": balances});
    output::print(as_json, &document, |document| {
        describe(document).unwrap_or_else(|error| error.to_string())
    })
}

fn describe(document: &Value) -> anyhow::Result<String> {
    let balances = document["balances"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: anyhow::Result<Vec<Vec<String>>> = balances
        .iter()
        .map(|line| {
            let units: U256 = line["balance"]
                .as_str()
                .and_then(|text| U256::from_str_radix(text, 10).ok())
                .context("the node's answer makes no sense")?;
            let decimals = line["decimals"].as_u64().unwrap_or_default();
            let whole = format_units(units, u8::try_from(decimals).unwrap_or_default());
            Ok(vec![
                cell(&line["symbol"]),
                whole,
                units.to_string(),
                cell(&line["token"]),
            ])
        })
        .collect();
    Ok(output::table(
        &["SYMBOL", "BALANCE", "SMALLEST UNITS", "TOKEN"],
        &rows?,
    ))
}

//! `dm-node tokens`: the tokens that a running node supports.

use dm_core::token::parse_units_or_nothing;
use serde_json::{Value, json};

use crate::{
    amount::Amount,
    cli::{TokensArgs, TokensCommand},
    confirm::confirm,
    output::{self, cell},
};

pub(crate) async fn run(args: TokensArgs, as_json: bool) -> anyhow::Result<()> {
    let answer = match args.command {
        None => {
            let answer = args.client.connect()?.get("/tokens", &[]).await?;
            return output::print(as_json, &answer, list);
        }
        Some(TokensCommand::Add {
            address,
            client: node,
        }) => {
            let body = json!({"address": address.to_string()});
            node.connect()?.post("/tokens", &body).await?
        }
        Some(TokensCommand::Refresh {
            address,
            client: node,
        }) => {
            node.connect()?
                .post(&format!("/tokens/{address}/refresh"), &json!({}))
                .await?
        }
        Some(TokensCommand::Issue {
            name,
            symbol,
            decimals,
            supply,
            confirm: asked,
            client: node,
        }) => {
            let units = initial_supply(&supply, decimals)?;
            confirm(&asked, &format!("Issue {supply} {symbol} ({units})"))?;
            let body = json!({"name": name, "symbol": symbol, "decimals": decimals, "initial_supply": units});
            node.connect()?.post("/tokens/issue", &body).await?
        }
        Some(TokensCommand::Mint {
            amount,
            to,
            confirm: asked,
            client: node,
        }) => {
            let node = node.connect()?;
            let amount = Amount::read(&amount, &node).await?;
            confirm(&asked, &format!("Mint {amount} for {to}"))?;
            let body = json!({"to": to.to_string(), "amount": amount.units.to_string()});
            node.post(&format!("/tokens/{}/mint", amount.token), &body)
                .await?
        }
        Some(TokensCommand::Approve {
            amount,
            spender,
            confirm: asked,
            client: node,
        }) => {
            let node = node.connect()?;
            let amount = Amount::read_or_nothing(&amount, &node).await?;
            let question = match amount.units.is_zero() {
                true => format!("Let {spender} take no more {}", amount.symbol),
                false => format!("Let {spender} take up to {amount}"),
            };
            confirm(&asked, &question)?;
            let body = json!({"spender": spender.to_string(), "amount": amount.units.to_string()});
            node.post(&format!("/tokens/{}/approve", amount.token), &body)
                .await?
        }
    };
    output::print(as_json, &answer, describe)
}

/// A token may begin with nothing.
fn initial_supply(supply: &str, decimals: u8) -> anyhow::Result<String> {
    let units =
        parse_units_or_nothing(supply, decimals).map_err(|reason| anyhow::anyhow!("supply {reason}"))?;
    Ok(units.to_string())
}

fn list(answer: &Value) -> String {
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

fn describe(answer: &Value) -> String {
    ["symbol", "decimals", "address", "token", "status", "tx_hash"]
        .into_iter()
        .filter(|field| !answer[*field].is_null())
        .map(|field| format!("{field:<10} {}", cell(&answer[field])))
        .collect::<Vec<_>>()
        .join("\n")
}

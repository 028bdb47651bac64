//! Amounts as people write them: `1.5 DATA`, or a number of smallest units.

use anyhow::{Context, bail};
use dm_core::{
    Address, U256,
    token::{
        InvalidAmount, NATIVE_TOKEN, format_units, parse_amount, parse_amount_or_nothing, parse_units,
        parse_units_or_nothing,
    },
};
use serde_json::Value;

use crate::{cli::AmountArgs, client::NodeClient, output::cell};

/// How much of which token.
pub(crate) struct Amount {
    /// The token's address, as the node names it.
    pub(crate) token: Address,
    /// In the smallest unit.
    pub(crate) units: U256,
    /// Short name of the token.
    pub(crate) symbol: String,
    decimals: u8,
}

impl Amount {
    /// Reads an amount, with what the node knows of its tokens.
    ///
    /// # Errors
    /// Where the text is no amount, or the symbol names no token or several.
    pub(crate) async fn read(args: &AmountArgs, client: &NodeClient) -> anyhow::Result<Self> {
        Self::read_by(args, client, parse_units, parse_amount).await
    }

    /// The same of an amount that may be nothing, such as `0 DATA`.
    ///
    /// # Errors
    /// As [`Amount::read`].
    pub(crate) async fn read_or_nothing(args: &AmountArgs, client: &NodeClient) -> anyhow::Result<Self> {
        Self::read_by(args, client, parse_units_or_nothing, parse_amount_or_nothing).await
    }

    async fn read_by(
        args: &AmountArgs,
        client: &NodeClient,
        in_units_of_people: fn(&str, u8) -> Result<U256, InvalidAmount>,
        in_smallest_units: fn(&str) -> Result<U256, InvalidAmount>,
    ) -> anyhow::Result<Self> {
        let words: Vec<&str> = args
            .amount
            .iter()
            .flat_map(|text| text.split_whitespace())
            .collect();
        let answer = client.get("/tokens", &[]).await?;
        let tokens = answer["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
        let (number, symbol) = match words[..] {
            [number] => (number, None),
            [number, symbol] => (number, Some(symbol)),
            _ => bail!("an amount is a number, or a number and a symbol, such as `1.5 DATA`"),
        };
        let token = known(choose(tokens, symbol, args.token)?)?;
        let units = match symbol {
            Some(_) => in_units_of_people(number, token.decimals),
            None => in_smallest_units(number),
        };
        let units = units.map_err(|reason| anyhow::anyhow!("amount {reason}"))?;
        Ok(Self { units, ..token })
    }
}

/// The tokens that a node supports.
pub(crate) struct KnownTokens(Vec<Amount>);

impl KnownTokens {
    /// Asks the node for them.
    ///
    /// # Errors
    /// Where it does not answer.
    pub(crate) async fn read(client: &NodeClient) -> anyhow::Result<Self> {
        let answer = client.get("/tokens", &[]).await?;
        let tokens = answer["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
        tokens.iter().map(known).collect::<anyhow::Result<_>>().map(Self)
    }

    /// An amount in an answer, in the unit that people use; of a token that the node does
    /// not know, in its smallest unit.
    pub(crate) fn amount(&self, token: &Value, units: &Value) -> String {
        let address = token.as_str().and_then(|text| text.parse::<Address>().ok());
        let known = self.0.iter().find(|known| Some(known.token) == address);
        let number = units
            .as_str()
            .and_then(|text| U256::from_str_radix(text, 10).ok());
        match (known, number) {
            (Some(known), Some(number)) => {
                format!("{} {}", format_units(number, known.decimals), known.symbol)
            }
            _ => format!("{} units of {}", cell(units), cell(token)),
        }
    }
}

/// `1.5 DATA (1500000)`.
impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = format_units(self.units, self.decimals);
        write!(f, "{whole} {} ({})", self.symbol, self.units)
    }
}

/// The token that a symbol or an address names; the chain's own coin, which
/// the node lists first, where neither is given.
fn choose<'a>(
    tokens: &'a [Value],
    symbol: Option<&str>,
    address: Option<Address>,
) -> anyhow::Result<&'a Value> {
    let named: Vec<&Value> = tokens
        .iter()
        .filter(|token| address.is_none_or(|address| token["address"] == address.to_string()))
        .filter(|token| symbol.is_none_or(|symbol| token["symbol"] == symbol))
        .collect();
    match (named[..].first(), named.len(), symbol) {
        (Some(token), 1, _) | (Some(token), _, None) => Ok(token),
        (None, ..) => bail!("the node supports no such token; `dm-node tokens` lists those that it does"),
        (Some(_), ..) => bail!("several tokens have this symbol; name one with --token"),
    }
}

fn known(token: &Value) -> anyhow::Result<Amount> {
    let text = |field: &str| token[field].as_str().context("the node's answer makes no sense");
    Ok(Amount {
        token: text("address")?.parse().unwrap_or(NATIVE_TOKEN),
        units: U256::ZERO,
        symbol: text("symbol")?.to_owned(),
        decimals: token["decimals"]
            .as_u64()
            .and_then(|decimals| u8::try_from(decimals).ok())
            .context("the node's answer makes no sense")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tokens() -> Vec<Value> {
        let token = |symbol: &str, n: u8| json!({"symbol": symbol, "decimals": 6, "address": Address::repeat_byte(n).to_string()});
        vec![token("ETH", 0), token("DATA", 1), token("DATA", 2)]
    }

    #[test]
    fn a_token_is_named_by_symbol_or_address() {
        let tokens = tokens();
        let chosen = |symbol, address| choose(&tokens, symbol, address).map(|token| token["address"].clone());
        let address = |n| json!(Address::repeat_byte(n).to_string());
        assert_eq!(chosen(None, None).unwrap(), address(0));
        assert_eq!(chosen(Some("ETH"), None).unwrap(), address(0));
        assert_eq!(chosen(None, Some(Address::repeat_byte(2))).unwrap(), address(2));
        assert_eq!(
            chosen(Some("DATA"), Some(Address::repeat_byte(2))).unwrap(),
            address(2)
        );
        assert!(
            chosen(Some("DATA"), None)
                .unwrap_err()
                .to_string()
                .contains("several")
        );
        assert!(chosen(Some("NONE"), None).is_err());
    }

    #[test]
    fn amounts_in_answers_are_shown_in_whole_tokens() {
        let known = KnownTokens(tokens().iter().map(|token| known(token).unwrap()).collect());
        let data = json!(Address::repeat_byte(1).to_string().to_lowercase());
        assert_eq!(known.amount(&data, &json!("1500000")), "1.5 DATA");
        let unknown = json!(Address::repeat_byte(9).to_string());
        let shown = known.amount(&unknown, &json!("1500000"));
        assert_eq!(shown, format!("1500000 units of {}", cell(&unknown)));
        assert_eq!(known.amount(&Value::Null, &json!("7")), "7 units of -");
    }

    #[test]
    fn an_amount_is_shown_in_both_units() {
        let amount = Amount {
            units: U256::from(1_500_000),
            ..known(&tokens()[1]).unwrap()
        };
        assert_eq!(amount.to_string(), "1.5 DATA (1500000)");
    }
}

//! The arguments of `dm-node api-key create`.

use clap::Args;
use dm_core::{
    api_key::{RouteName, Scope, UnknownScope},
    contact::Party,
};

use super::RunArgs;

#[derive(Debug, Args)]
pub(crate) struct CreateApiKeyArgs {
    /// What you call it
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long, value_delimiter = ',', required = true, value_parser = parse_scope,
        help = format!("What it allows, comma-separated: {}", Scope::names()))]
    pub(crate) scopes: Vec<Scope>,
    /// The only route that it may call, such as `GET /data/{data_hash}`; may be repeated
    #[arg(long = "route", value_name = "METHOD PATH")]
    pub(crate) routes: Vec<RouteName>,
    /// The only address or contact to which it may have data, rights or money go; may be repeated
    #[arg(long = "recipient", value_name = "ADDRESS")]
    pub(crate) recipients: Vec<Party>,
    /// Bytes that may pass for it in all, such as 500MiB or 10GiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) bytes_budget: Option<u64>,
    /// How long it is valid, such as 12h or 30d
    #[arg(long)]
    pub(crate) expires: Option<String>,
    #[command(flatten)]
    pub(crate) node: RunArgs,
}

/// A scope in a list, in which blanks may follow the commas.
fn parse_scope(text: &str) -> Result<Scope, UnknownScope> {
    text.trim().parse()
}

/// A number of bytes, alone or with a unit.
fn parse_bytes(text: &str) -> Result<u64, &'static str> {
    const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(unit, power)| Some((text.strip_suffix(unit)?, 1_u64 << power)))
        .unwrap_or((text, 1));
    let bytes = digits
        .trim_end()
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit));
    bytes.ok_or("must be a number of bytes, such as 1000000, 500MiB or 10GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_their_unit() {
        for (text, bytes) in [
            ("7", 7),
            ("1KiB", 1024),
            ("500 MiB", 500 << 20),
            ("10GiB", 10 << 30),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "GiB", "1.5GiB", "-1", "1GB", "99999999999TiB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}

//! Tokens and amounts.

use alloy_primitives::{Address, U256};
use serde::{Deserialize, Serialize};

/// The address that stands for the chain's own coin.
pub const NATIVE_TOKEN: Address = Address::ZERO;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// The chain's own coin.
    Native,
    /// A contract that follows ERC-20.
    Erc20,
}

/// A token that the node supports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its contract, or [`NATIVE_TOKEN`].
    pub address: Address,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: TokenKind,
    /// Short name, such as `ETH`.
    pub symbol: String,
    /// Full name.
    pub name: String,
    /// Decimal places of the unit that people use.
    pub decimals: u8,
}

/// The largest amount that is accepted, in the token's smallest unit: 10^30.
pub fn max_amount() -> U256 {
    U256::from(10u128.pow(30))
}

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not a string of decimal digits.
    #[error("must be a whole number in the token's smallest unit")]
    Format,
    /// Not a decimal number.
    #[error("must be a number such as 1.5")]
    Decimal,
    /// More decimal places than the token has.
    #[error("has more than the token's {0} decimal places")]
    TooFine(u8),
    /// Zero.
    #[error("must be greater than 0")]
    NotPositive,
    /// Above [`max_amount`].
    #[error("must be at most 10^30")]
    TooLarge,
}

/// Reads an amount in the unit that people use, such as `1.5`, and returns it in
/// the smallest unit.
///
/// # Errors
/// [`InvalidAmount`], with a reason that completes "`<field>` …".
pub fn parse_units(text: &str, decimals: u8) -> Result<U256, InvalidAmount> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = !whole.is_empty()
        && (whole.len() == text.len() || !fraction.is_empty())
        && whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !is_number {
        return Err(InvalidAmount::Decimal);
    }
    let places = usize::from(decimals);
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return Err(InvalidAmount::TooFine(decimals));
    }
    parse_amount(&format!("{whole}{fraction:0<places$}"))
}

/// An amount in the smallest unit, written in the unit that people use.
pub fn format_units(amount: U256, decimals: u8) -> String {
    let places = usize::from(decimals);
    let digits = format!("{amount:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// Reads an amount in the smallest unit that may be nothing: decimal digits, from 0
/// to 10^30.
///
/// # Errors
/// [`InvalidAmount`], with a reason that completes "`<field>` …".
pub fn parse_amount_or_nothing(text: &str) -> Result<U256, InvalidAmount> {
    let is_nothing = !text.is_empty() && text.bytes().all(|digit| digit == b'0');
    if is_nothing {
        Ok(U256::ZERO)
    } else {
        parse_amount(text)
    }
}

/// Reads an amount in the unit that people use that may be nothing, such as `0`, and
/// returns it in the smallest unit.
///
/// # Errors
/// [`InvalidAmount`], with a reason that completes "`<field>` …".
pub fn parse_units_or_nothing(text: &str, decimals: u8) -> Result<U256, InvalidAmount> {
    match parse_units(text, decimals) {
        Err(InvalidAmount::NotPositive) => Ok(U256::ZERO),
        read => read,
    }
}

/// Reads an amount in the smallest unit: decimal digits, from 1 to 10^30.
///
/// # Errors
/// [`InvalidAmount`], with a reason that completes "`<field>` …".
pub fn parse_amount(text: &str) -> Result<U256, InvalidAmount> {
    if text.starts_with('-') && text[1..].bytes().all(|b| b.is_ascii_digit()) && text.len() > 1 {
        return Err(InvalidAmount::NotPositive);
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidAmount::Format);
    }
    let digits = text.trim_start_matches('0');
    if digits.is_empty() {
        return Err(InvalidAmount::NotPositive);
    }
    if digits.len() > 31 {
        return Err(InvalidAmount::TooLarge);
    }
    let amount = U256::from_str_radix(digits, 10).map_err(|_| InvalidAmount::Format)?;
    if amount > max_amount() {
        return Err(InvalidAmount::TooLarge);
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_in_the_unit_of_people() {
        for (text, decimals, units) in [
            ("1.5", 6, 1_500_000),
            ("2", 0, 2),
            ("0.01", 2, 1),
            ("3.10", 1, 31),
        ] {
            assert_eq!(parse_units(text, decimals), Ok(U256::from(units)), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", " 1", "0x1"] {
            assert_eq!(parse_units(text, 6), Err(InvalidAmount::Decimal), "{text}");
        }
        assert_eq!(parse_units("0.001", 2), Err(InvalidAmount::TooFine(2)));
        assert_eq!(parse_units("0.00", 2), Err(InvalidAmount::NotPositive));
        assert_eq!(parse_units("1", 31), Err(InvalidAmount::TooLarge));
    }

    #[test]
    fn nothing_is_read_where_it_may_be() {
        for text in ["0", "0.0", "00.00"] {
            assert_eq!(parse_units_or_nothing(text, 2), Ok(U256::ZERO), "{text}");
        }
        for text in ["0", "000"] {
            assert_eq!(parse_amount_or_nothing(text), Ok(U256::ZERO), "{text}");
        }
        assert_eq!(parse_amount_or_nothing("7"), Ok(U256::from(7)));
        assert_eq!(parse_units_or_nothing("0.7", 1), Ok(U256::from(7)));
        for text in ["", "-", "-0", "-1", "+0", "x"] {
            assert!(parse_amount_or_nothing(text).is_err(), "{text}");
            assert!(parse_units_or_nothing(text, 2).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(units in 1..=10_u128.pow(30), decimals in 0..=30_u8) {
            let units = U256::from(units);
            prop_assert_eq!(parse_units(&format_units(units, decimals), decimals), Ok(units));
        }
    }
}

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
    /// Zero.
    #[error("must be greater than 0")]
    NotPositive,
    /// Above [`max_amount`].
    #[error("must be at most 10^30")]
    TooLarge,
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

//! Ethereum addresses as clients write them.

pub use alloy_primitives::Address;
use serde::Serializer;

/// The text was no Ethereum address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Not `0x` and 40 hexadecimal digits.
    #[error("must be a valid Ethereum address (0x + 40 hex chars)")]
    Format,
    /// Mixed case, and the case is not the EIP-55 checksum.
    #[error("must be a valid Ethereum address (its EIP-55 checksum does not match)")]
    Checksum,
}

/// Reads `0x` and 40 hexadecimal digits; surrounding blanks are ignored, and
/// mixed case must satisfy [EIP-55](https://eips.ethereum.org/EIPS/eip-55).
///
/// # Errors
/// [`InvalidAddress`], with a reason that completes "`<field>` …".
pub fn parse_address(text: &str) -> Result<Address, InvalidAddress> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").ok_or(InvalidAddress::Format)?;
    let mut bytes = [0; 20];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| InvalidAddress::Format)?;
    let address = Address::from(bytes);
    let one_case = !digits.contains(|c: char| c.is_ascii_uppercase())
        || !digits.contains(|c: char| c.is_ascii_lowercase());
    if one_case || address.to_checksum(None)[2..] == *digits {
        Ok(address)
    } else {
        Err(InvalidAddress::Checksum)
    }
}

/// Writes an address as clients see it, with its EIP-55 checksum; by itself it is written in lower
/// case. For `#[serde(serialize_with = …)]`.
///
/// # Errors
/// Those of the serializer.
pub fn checksummed<S: Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

/// The same of an address that may not be there.
///
/// # Errors
/// Those of the serializer.
pub fn checksummed_if_any<S: Serializer>(
    address: &Option<Address>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => checksummed(address, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECKSUMMED: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

    #[test]
    fn any_single_case_and_the_right_checksum_are_read() {
        let address = parse_address(CHECKSUMMED).unwrap();
        for text in [
            CHECKSUMMED.to_lowercase(),
            format!("  {CHECKSUMMED}\n"),
            format!("0x{}", CHECKSUMMED[2..].to_uppercase()),
        ] {
            assert_eq!(parse_address(&text), Ok(address), "{text}");
        }
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let wrong = CHECKSUMMED.replace("9Fd", "9fD");
        assert_eq!(parse_address(&wrong), Err(InvalidAddress::Checksum));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "0x",
            "f39fd6",
            &CHECKSUMMED[..41],
            "0xg",
            &format!("{CHECKSUMMED}0"),
        ] {
            assert_eq!(parse_address(text), Err(InvalidAddress::Format), "{text}");
        }
    }
}

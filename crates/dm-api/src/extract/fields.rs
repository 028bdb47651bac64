//! The fields of a JSON body, one by one, so that a fault names its field;
//! `null` counts as absent.

use dm_core::{
    Address, U256,
    address::parse_address,
    contact::Party,
    token::{parse_amount, parse_amount_or_nothing},
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::ApiError;

/// A field as it stands in the body. Nothing is built from it before it is
/// asked for, so that hostile nesting costs no memory and a number keeps all
/// its digits.
pub(crate) type Field<'a> = Option<&'a RawValue>;

/// Whether the field is there and not `null`.
pub(crate) fn is_given(field: Field<'_>) -> bool {
    field.is_some_and(|value| value.get() != "null")
}

/// A string, if the field is there.
pub(crate) fn text(name: &'static str, field: Field<'_>) -> Result<Option<String>, ApiError> {
    value(name, field, "must be a string")
}

/// A value of type `T`, if the field is there; `otherwise` completes
/// "`<name>` …" where it is something else.
pub(crate) fn value<T: DeserializeOwned>(
    name: &'static str,
    field: Field<'_>,
    otherwise: &'static str,
) -> Result<Option<T>, ApiError> {
    match field.filter(|value| value.get() != "null") {
        None => Ok(None),
        Some(value) => serde_json::from_str(value.get())
            .map(Some)
            .map_err(|_| ApiError::invalid(name, otherwise)),
    }
}

/// An Ethereum address, which must be there.
pub(crate) fn address(name: &'static str, field: Field<'_>) -> Result<Address, ApiError> {
    parse_address(&address_text(name, field)?).map_err(|reason| ApiError::invalid(name, reason))
}

/// An address or the name of a contact, which must be there.
pub(crate) fn party(name: &'static str, field: Field<'_>) -> Result<Party, ApiError> {
    let party = address_text(name, field)?.parse();
    party.map_err(|reason| ApiError::invalid(name, reason))
}

fn address_text(name: &'static str, field: Field<'_>) -> Result<String, ApiError> {
    let text = value(
        name,
        field,
        "must be a valid Ethereum address (0x + 40 hex chars)",
    )?;
    Ok(text.unwrap_or_default())
}

/// An amount: an integer or a decimal string.
pub(crate) fn amount(name: &'static str, field: Field<'_>) -> Result<U256, ApiError> {
    parse_amount(&digits(field)).map_err(|reason| ApiError::invalid(name, reason))
}

/// An amount that may be nothing: 0 as well.
pub(crate) fn amount_or_nothing(name: &'static str, field: Field<'_>) -> Result<U256, ApiError> {
    parse_amount_or_nothing(&digits(field)).map_err(|reason| ApiError::invalid(name, reason))
}

fn digits(field: Field<'_>) -> String {
    let written = field.map_or("", RawValue::get);
    if written.starts_with('"') {
        serde_json::from_str(written).unwrap_or_default()
    } else {
        written.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn read_amount(json: &str) -> Result<U256, String> {
        amount("amount", Some(&raw(json))).map_err(|error| error.to_string())
    }

    #[test]
    fn amounts_are_integers_or_decimal_strings() {
        let largest = "1000000000000000000000000000000";
        for json in [largest.to_owned(), format!("\"{largest}\"")] {
            assert_eq!(read_amount(&json), Ok(U256::from(10u128.pow(30))));
        }
        for json in ["0", "\"0\"", "-5", "\"-5\""] {
            assert_eq!(
                read_amount(json),
                Err("amount must be greater than 0".to_owned()),
                "{json}"
            );
        }
        for json in ["1.5", "1e3", "\"+1\"", "\" 1\"", "true", "[1]", "\"\""] {
            assert!(read_amount(json).unwrap_err().contains("whole number"), "{json}");
        }
        assert!(
            read_amount("1000000000000000000000000000001")
                .unwrap_err()
                .contains("10^30")
        );
    }

    #[test]
    fn nothing_is_an_amount_where_it_may_be() {
        let read =
            |json: &str| amount_or_nothing("amount", Some(&raw(json))).map_err(|error| error.to_string());
        for json in ["0", "\"0\"", "\"00\""] {
            assert_eq!(read(json), Ok(U256::ZERO), "{json}");
        }
        assert_eq!(read("7"), Ok(U256::from(7)));
        for json in ["-0", "-5", "\"\"", "0.0", "null"] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named() {
        let error = text("data", Some(&raw("[[[]]]"))).unwrap_err();
        assert_eq!(error.to_string(), "data must be a string");
        let lone_surrogate = raw(r#""\ud800""#);
        assert!(text("data", Some(&lone_surrogate)).is_err());
        assert_eq!(text("data", Some(&raw("null"))).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_field_makes_a_reader_panic(json in "\\PC{0,64}") {
            if let Ok(value) = RawValue::from_string(json) {
                let _ = amount("a", Some(&value));
                let _ = address("a", Some(&value));
                let _ = text("a", Some(&value));
            }
        }
    }
}

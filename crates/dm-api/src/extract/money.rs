//! What payments consist of: prices, and a payer's signed consent.

use dm_core::{
    Address, B256, U256,
    operation::{Permit, SignatureParts, TransferAuthorization},
    payment::{PaymentTerms, SignedConsent},
    token::parse_amount,
};
use serde::Deserialize;

use super::{
    address_param,
    fields::{self, Field},
};
use crate::error::ApiError;

/// The fields of a body that say what a share costs.
pub(crate) struct PaymentFields<'a> {
    pub(crate) payment_token: Field<'a>,
    pub(crate) payment_amount: Field<'a>,
    pub(crate) permit: Field<'a>,
    pub(crate) authorization: Field<'a>,
}

/// Between whom money moves.
#[derive(Clone, Copy)]
pub(crate) struct Parties {
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) amount: U256,
    pub(crate) operator: Address,
}

impl PaymentFields<'_> {
    /// What `payer` shall pay `operator`, if anything.
    pub(crate) fn terms(&self, payer: Address, operator: Address) -> Result<Option<PaymentTerms>, ApiError> {
        match (
            fields::is_given(self.payment_token),
            fields::is_given(self.payment_amount),
        ) {
            (false, false) if fields::is_given(self.permit) || fields::is_given(self.authorization) => {
                return Err(ApiError::invalid(
                    "payment_token",
                    "is required when a permit or an authorization is provided",
                ));
            }
            (false, false) => return Ok(None),
            (false, true) => return Err(token_missing()),
            (true, false) => return Err(amount_missing()),
            (true, true) => {}
        }
        let token = fields::address("payment_token", self.payment_token)?;
        let amount = fields::amount("payment_amount", self.payment_amount)?;
        let parties = Parties {
            from: payer,
            to: operator,
            amount,
            operator,
        };
        Ok(Some(PaymentTerms {
            token,
            amount,
            consent: consent(self.permit, self.authorization, parties)?,
        }))
    }
}

/// What `?payment_token=` and `?payment_amount=` say that a share costs.
pub(crate) fn price_params(
    token: Option<&str>,
    amount: Option<&str>,
) -> Result<Option<PaymentTerms>, ApiError> {
    let (token, amount) = match (token, amount) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(token_missing()),
        (Some(_), None) => return Err(amount_missing()),
        (Some(token), Some(amount)) => (token, amount),
    };
    Ok(Some(PaymentTerms {
        token: address_param("payment_token", token)?,
        amount: parse_amount(amount).map_err(|reason| ApiError::invalid("payment_amount", reason))?,
        consent: None,
    }))
}

fn token_missing() -> ApiError {
    ApiError::invalid("payment_token", "is required when payment_amount is provided")
}

fn amount_missing() -> ApiError {
    ApiError::invalid("payment_amount", "is required when payment_token is provided")
}

#[derive(Deserialize)]
struct PermitFields<'a> {
    #[serde(borrow)]
    value: Field<'a>,
    #[serde(borrow)]
    deadline: Field<'a>,
    #[serde(borrow)]
    signature: Field<'a>,
}

#[derive(Deserialize)]
struct AuthorizationFields<'a> {
    #[serde(borrow)]
    valid_after: Field<'a>,
    #[serde(borrow)]
    valid_before: Field<'a>,
    #[serde(borrow)]
    nonce: Field<'a>,
    #[serde(borrow)]
    signature: Field<'a>,
}

/// The payer's signed consent, if one is given: what it does not say follows
/// from the transfer that it is for.
pub(crate) fn consent(
    permit: Field<'_>,
    authorization: Field<'_>,
    parties: Parties,
) -> Result<Option<SignedConsent>, ApiError> {
    match (fields::is_given(permit), fields::is_given(authorization)) {
        (false, false) => Ok(None),
        (true, true) => Err(ApiError::invalid(
            "permit",
            "and authorization exclude each other",
        )),
        (true, false) => read_permit(permit, parties).map(|permit| Some(SignedConsent::Permit(permit))),
        (false, true) => read_authorization(authorization, parties)
            .map(|authorization| Some(SignedConsent::Authorization(authorization))),
    }
}

fn read_permit(field: Field<'_>, parties: Parties) -> Result<Permit, ApiError> {
    const NAME: &str = "permit";
    let given: PermitFields<'_> = object(NAME, field)?;
    let value = if fields::is_given(given.value) {
        number(NAME, "value", given.value)?
    } else {
        parties.amount
    };
    Ok(Permit {
        owner: parties.from,
        spender: parties.operator,
        value,
        deadline: number(NAME, "deadline", given.deadline)?,
        signature: signature(NAME, given.signature)?,
    })
}

fn read_authorization(field: Field<'_>, parties: Parties) -> Result<TransferAuthorization, ApiError> {
    const NAME: &str = "authorization";
    let given: AuthorizationFields<'_> = object(NAME, field)?;
    Ok(TransferAuthorization {
        from: parties.from,
        to: parties.to,
        value: parties.amount,
        valid_after: number(NAME, "valid_after", given.valid_after)?,
        valid_before: number(NAME, "valid_before", given.valid_before)?,
        nonce: bytes(NAME, "nonce", given.nonce).map(B256::new)?,
        signature: signature(NAME, given.signature)?,
    })
}

fn object<'a, T: Deserialize<'a>>(name: &'static str, field: Field<'a>) -> Result<T, ApiError> {
    let written = field.map_or("", |value| value.get());
    serde_json::from_str(written).map_err(|_| ApiError::invalid(name, "must be an object"))
}

/// A number below 2^256: an integer or a decimal string.
fn number(name: &'static str, part: &str, field: Field<'_>) -> Result<U256, ApiError> {
    let written = field.map_or("", |value| value.get());
    let digits = written
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(written);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number
        .then(|| U256::from_str_radix(digits, 10).ok())
        .flatten()
        .ok_or_else(|| ApiError::invalid(name, format!("needs {part}, a whole number below 2^256")))
}

/// `N` bytes as `0x` and hexadecimal digits.
fn bytes<const N: usize>(name: &'static str, part: &str, field: Field<'_>) -> Result<[u8; N], ApiError> {
    let refusal = || ApiError::invalid(name, format!("needs {part}, 0x and {} hex digits", 2 * N));
    let text: Option<String> = fields::value(name, field, "must be made of strings and numbers")?;
    let mut bytes = [0; N];
    let text = text.unwrap_or_default();
    let digits = text.strip_prefix("0x").ok_or_else(refusal)?;
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| refusal())?;
    Ok(bytes)
}

/// 65 bytes: r, s and v, as wallets give them out.
fn signature(name: &'static str, field: Field<'_>) -> Result<SignatureParts, ApiError> {
    let bytes: [u8; 65] = bytes(name, "signature", field)?;
    let (r, rest) = bytes.split_at(32);
    let (s, v) = rest.split_at(32);
    // Some wallets count from 0.
    let v = match v[0] {
        v @ (0 | 1) => v + 27,
        v => v,
    };
    if !matches!(v, 27 | 28) {
        return Err(ApiError::invalid(
            name,
            "needs a signature that ends with 1b or 1c",
        ));
    }
    Ok(SignatureParts {
        v,
        r: B256::from_slice(r),
        s: B256::from_slice(s),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{json, value::RawValue};

    use super::*;

    fn parties() -> Parties {
        Parties {
            from: Address::repeat_byte(1),
            to: Address::repeat_byte(2),
            amount: U256::from(9),
            operator: Address::repeat_byte(3),
        }
    }

    fn raw(json: &serde_json::Value) -> Box<RawValue> {
        RawValue::from_string(json.to_string()).unwrap()
    }

    fn signed(v: u8) -> String {
        format!("0x{}{}{v:02x}", "11".repeat(32), "22".repeat(32))
    }

    #[test]
    fn a_permit_is_for_the_operator_and_at_least_the_amount() {
        let given = raw(
            &json!({"deadline": "115792089237316195423570985008687907853269984665640564039457584007913129639935", "signature": signed(1)}),
        );
        let Some(SignedConsent::Permit(permit)) = consent(Some(&given), None, parties()).unwrap() else {
            panic!("no permit");
        };
        assert_eq!(
            (permit.owner, permit.spender),
            (parties().from, parties().operator)
        );
        assert_eq!((permit.value, permit.deadline), (U256::from(9), U256::MAX));
        assert_eq!(permit.signature.v, 28);
    }

    #[test]
    fn an_authorization_is_for_the_transfer_that_it_comes_with() {
        let given = raw(&json!({
            "valid_after": 0, "valid_before": 7, "nonce": format!("0x{}", "ab".repeat(32)), "signature": signed(27),
        }));
        let Some(SignedConsent::Authorization(read)) = consent(None, Some(&given), parties()).unwrap() else {
            panic!("no authorization");
        };
        assert_eq!(
            (read.from, read.to, read.value),
            (parties().from, parties().to, U256::from(9))
        );
        assert_eq!(read.nonce, B256::repeat_byte(0xab));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (given, part) in [
            (json!(5), "object"),
            (json!({"signature": signed(27)}), "deadline"),
            (json!({"deadline": 1}), "signature"),
            (json!({"deadline": "1e3", "signature": signed(27)}), "deadline"),
            (json!({"deadline": -1, "signature": signed(27)}), "deadline"),
            (json!({"deadline": 1, "signature": "0x12"}), "signature"),
            (json!({"deadline": 1, "signature": signed(29)}), "signature"),
        ] {
            let given = raw(&given);
            let refused = consent(Some(&given), None, parties()).unwrap_err().to_string();
            assert!(
                refused.starts_with("permit") && refused.contains(part),
                "{refused}"
            );
        }
        let any = raw(&json!({}));
        assert!(consent(Some(&any), Some(&any), parties()).is_err());
    }

    proptest! {
        #[test]
        fn no_consent_makes_a_reader_panic(json in "\\PC{0,80}") {
            if let Ok(value) = RawValue::from_string(json) {
                let _ = consent(Some(&value), None, parties());
                let _ = consent(None, Some(&value), parties());
            }
        }
    }
}

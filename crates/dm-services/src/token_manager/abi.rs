//! Whether a text is the ABI of an ERC-20 token.

use serde::Deserialize;

use crate::ServiceError;

/// Longest ABI in bytes; that of a token with everything has some 20 KiB.
const MAX_LENGTH: usize = 256 * 1024;
/// The functions that the node calls, with the types of what they take.
const NEEDED: [(&str, &[&str]); 5] = [
    ("totalSupply", &[]),
    ("balanceOf", &["address"]),
    ("transfer", &["address", "uint256"]),
    ("allowance", &["address", "address"]),
    ("transferFrom", &["address", "address", "uint256"]),
];

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    inputs: Vec<Parameter>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(rename = "type")]
    kind: String,
}

/// Refuses what is no ABI
/// ([JSON form](https://docs.soliditylang.org/en/latest/abi-spec.html#json)), or
/// lacks a function of ERC-20.
pub(super) fn check(abi: &str) -> Result<(), ServiceError> {
    if abi.len() > MAX_LENGTH {
        return Err(ServiceError::invalid(
            "abi",
            format!("must be at most {MAX_LENGTH} bytes"),
        ));
    }
    let items: Vec<Item> = serde_json::from_str(abi)
        .map_err(|_| ServiceError::invalid("abi", "must be an array of functions, events and errors"))?;
    for (name, inputs) in NEEDED {
        if !items.iter().any(|item| is_function(item, name, inputs)) {
            let reason = format!(
                "has no function {name}({}), so it is not that of an ERC-20 token",
                inputs.join(",")
            );
            return Err(ServiceError::invalid("abi", reason));
        }
    }
    Ok(())
}

fn is_function(item: &Item, name: &str, inputs: &[&str]) -> bool {
    item.kind == "function"
        && item.name == name
        && item
            .inputs
            .iter()
            .map(|input| &*input.kind)
            .eq(inputs.iter().copied())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn function(name: &str, inputs: &[&str]) -> serde_json::Value {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|kind| json!({"type": kind, "name": "x"}))
            .collect();
        json!({"type": "function", "name": name, "inputs": inputs, "outputs": [], "stateMutability": "view"})
    }

    #[test]
    fn the_abi_of_a_token_is_taken_and_what_lacks_a_function_is_not() {
        let whole: Vec<_> = NEEDED
            .iter()
            .map(|(name, inputs)| function(name, inputs))
            .collect();
        assert!(check(&json!(whole).to_string()).is_ok());
        for (missing, (name, _)) in NEEDED.iter().enumerate() {
            let mut part = whole.clone();
            part.remove(missing);
            let refused = check(&json!(part).to_string()).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn what_is_no_abi_is_refused() {
        let huge = format!("[{}]", " ".repeat(MAX_LENGTH));
        for text in ["", "{}", "[1]", "[{}]", "[[[[", "[{\"type\":5}]", &huge] {
            assert!(check(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }
}

//! Why contracts refuse, in words: the anchor contract's errors, the standard ones of
//! Solidity, and those of OpenZeppelin's tokens ([ERC-6093](https://eips.ethereum.org/EIPS/eip-6093)).

use alloy::{
    primitives::Bytes,
    rpc::json_rpc::ErrorPayload,
    sol_types::{GenericRevertReason, SolInterface},
};

use self::abi::Refusals::RefusalsErrors as Errors;
use crate::{
    contract::refusal_in_words,
    text::{printable, shortened},
};

// Generated: the documentation stands in the contracts.
#[allow(missing_docs, unreachable_pub)]
mod abi {
    alloy::sol! {
        interface Refusals {
            error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
            error ERC20InvalidSender(address sender);
            error ERC20InvalidReceiver(address receiver);
            error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
            error ERC20InvalidApprover(address approver);
            error ERC20InvalidSpender(address spender);
            error ERC2612ExpiredSignature(uint256 deadline);
            error ERC2612InvalidSigner(address signer, address owner);
            error ERC3009InvalidSignature();
            error ERC3009InvalidAuthorizationTime(uint256 validAfter, uint256 validBefore);
            error ERC3009UsedAuthorization(address authorizer, bytes32 nonce);
            error ECDSAInvalidSignature();
            error ECDSAInvalidSignatureLength(uint256 length);
            error ECDSAInvalidSignatureS(bytes32 s);
            error OwnableUnauthorizedAccount(address account);
            error AccessControlUnauthorizedAccount(address account, bytes32 neededRole);
            error EnforcedPause();
        }
    }
}

/// What a refused call says.
pub(crate) fn in_words(payload: &ErrorPayload) -> String {
    let known = revert_data(payload).and_then(|data| decoded(&data));
    known.unwrap_or_else(|| printable(&shortened(&payload.message)))
}

/// The data of a revert. Nodes that descend from OpenEthereum put a word before it.
fn revert_data(payload: &ErrorPayload) -> Option<Bytes> {
    payload.as_revert_data().or_else(|| {
        let data: String = payload.try_data_as()?.ok()?;
        data.strip_prefix("Reverted ")?.parse().ok()
    })
}

fn decoded(data: &[u8]) -> Option<String> {
    if let Some(words) = refusal_in_words(data) {
        return Some(words);
    }
    if let Ok(error) = Errors::abi_decode(data) {
        return Some(refusal(error));
    }
    let words = match GenericRevertReason::decode(data)? {
        GenericRevertReason::ContractError(error) => error.to_string(),
        GenericRevertReason::RawString(words) => words,
    };
    let words = printable(&shortened(words.trim_start_matches("revert: ")));
    Some(words).filter(|words| !words.trim().is_empty())
}

fn refusal(error: Errors) -> String {
    match error {
        Errors::ERC20InsufficientBalance(error) => format!(
            "{} has {}, {} are needed",
            error.sender, error.balance, error.needed
        ),
        Errors::ERC20InsufficientAllowance(error) => format!(
            "{} is allowed to take {}, {} are needed",
            error.spender, error.allowance, error.needed
        ),
        Errors::ERC20InvalidSender(error) => format!("{} cannot pay", error.sender),
        Errors::ERC20InvalidReceiver(error) => format!("{} cannot be paid", error.receiver),
        Errors::ERC20InvalidApprover(error) => format!("{} cannot allow anything", error.approver),
        Errors::ERC20InvalidSpender(error) => format!("{} cannot be allowed anything", error.spender),
        Errors::ERC2612ExpiredSignature(error) => format!("the permit expired at {}", error.deadline),
        Errors::ERC2612InvalidSigner(error) => format!(
            "the permit of {} is signed by {}, or for another spender, amount, deadline, chain or token, or was used before",
            error.owner, error.signer
        ),
        Errors::ERC3009InvalidSignature(_) => {
            "the authorization is not signed by its payer, or for another transfer, chain or token".to_owned()
        }
        Errors::ERC3009InvalidAuthorizationTime(error) => format!(
            "the authorization is valid after {} and before {} alone",
            error.validAfter, error.validBefore
        ),
        Errors::ERC3009UsedAuthorization(error) => format!(
            "authorization {} of {} was used or cancelled before",
            error.nonce, error.authorizer
        ),
        Errors::ECDSAInvalidSignature(_)
        | Errors::ECDSAInvalidSignatureLength(_)
        | Errors::ECDSAInvalidSignatureS(_) => "the signature is none".to_owned(),
        Errors::OwnableUnauthorizedAccount(error) => format!("{} does not own the token", error.account),
        Errors::AccessControlUnauthorizedAccount(error) => {
            format!("{} lacks the role {}", error.account, error.neededRole)
        }
        Errors::EnforcedPause(_) => "the token is paused".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::{Address, U256, hex},
        sol_types::{Panic, PanicKind, Revert, SolError},
    };
    use proptest::prelude::*;

    use super::{abi::Refusals, *};

    fn payload(data: &[u8]) -> ErrorPayload {
        ErrorPayload {
            code: 3,
            message: "execution reverted".into(),
            data: serde_json::value::to_raw_value(&hex::encode_prefixed(data)).ok(),
        }
    }

    #[test]
    fn words_of_the_contract_are_passed_on() {
        let data = Revert::from("not today").abi_encode();
        assert_eq!(in_words(&payload(&data)), "not today");
    }

    #[test]
    fn the_data_of_a_revert_may_have_a_word_before_it() {
        let data = hex::encode_prefixed(Revert::from("not today").abi_encode());
        let payload = ErrorPayload {
            code: -32015,
            message: "VM execution error.".into(),
            data: serde_json::value::to_raw_value(&format!("Reverted {data}")).ok(),
        };
        assert_eq!(in_words(&payload), "not today");
    }

    #[test]
    fn errors_of_openzeppelin_say_what_was_needed_and_what_was_found() {
        let data = Refusals::ERC20InsufficientBalance {
            sender: Address::ZERO,
            balance: U256::from(3),
            needed: U256::from(5),
        }
        .abi_encode();
        let words = in_words(&payload(&data));
        assert!(words.contains("has 3, 5 are needed"), "{words}");
    }

    #[test]
    fn a_panic_is_named() {
        let data = Panic::from(PanicKind::UnderOverflow).abi_encode();
        assert!(
            in_words(&payload(&data)).contains("overflow"),
            "{}",
            in_words(&payload(&data))
        );
    }

    #[test]
    fn no_data_leaves_the_words_of_the_node() {
        assert_eq!(in_words(&payload(&[])), "execution reverted");
    }

    proptest! {
        #[test]
        fn any_data_becomes_a_short_text_without_control_characters(data: Vec<u8>, selector in 0usize..3) {
            let selectors = [&[][..], &[0x08, 0xc3, 0x79, 0xa0], &[0x4e, 0x48, 0x7b, 0x71]];
            let words = in_words(&payload(&[selectors[selector], &data].concat()));
            prop_assert!(words.chars().count() <= 300 && !words.chars().any(char::is_control));
        }
    }
}

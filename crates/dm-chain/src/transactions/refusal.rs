//! What chains say when they do not take a transaction. There is no standard:
//! geth, reth, nethermind, besu, anvil and others each have their own words.

use alloy::rpc::json_rpc::ErrorPayload;

/// Why a chain did not take a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has this very transaction.
    AlreadyKnown,
    /// A mined transaction has the nonce.
    NonceTooLow,
    /// Transactions before it are missing.
    NonceTooHigh,
    /// A waiting transaction has the nonce.
    NonceTaken,
    /// It pays too little for its gas.
    FeeTooLow,
    /// There is no room for it now.
    NoRoom,
    /// The account cannot pay for it.
    LackOfFunds,
    /// No block can have it as it is.
    Invalid,
    /// Something else.
    Other,
}

/// Words and what they mean; the first that occur in a message count.
const WORDS: &[(&str, Refusal)] = &[
    ("unknown transaction", Refusal::Invalid),
    ("already known", Refusal::AlreadyKnown),
    ("already imported", Refusal::AlreadyKnown),
    ("known transaction", Refusal::AlreadyKnown),
    ("alreadyknown", Refusal::AlreadyKnown),
    ("pool is full", Refusal::NoRoom),
    ("tries to replace pending", Refusal::NoRoom),
    ("already reserved", Refusal::NoRoom),
    ("pool full", Refusal::NoRoom),
    ("poolfull", Refusal::NoRoom),
    ("exceeds the maximum number of", Refusal::NoRoom),
    ("account limit", Refusal::NoRoom),
    ("accountlimitexceeded", Refusal::NoRoom),
    ("limit reached", Refusal::NoRoom),
    ("too many", Refusal::NoRoom),
    ("inflight transaction limit", Refusal::NoRoom),
    ("in-flight transaction limit", Refusal::NoRoom),
    ("replacement", Refusal::NonceTaken),
    ("same nonce", Refusal::NonceTaken),
    ("nonce too low", Refusal::NonceTooLow),
    ("nonce is too low", Refusal::NonceTooLow),
    ("oldnonce", Refusal::NonceTooLow),
    ("nonce too high", Refusal::NonceTooHigh),
    ("nonce is too high", Refusal::NonceTooHigh),
    ("nonce gap", Refusal::NonceTooHigh),
    ("noncegap", Refusal::NonceTooHigh),
    ("too distant", Refusal::NonceTooHigh),
    ("insufficient funds", Refusal::LackOfFunds),
    ("insufficientfunds", Refusal::LackOfFunds),
    ("insufficient balance", Refusal::LackOfFunds),
    ("insufficient sender balance", Refusal::LackOfFunds),
    ("enough funds", Refusal::LackOfFunds),
    ("lack of funds", Refusal::LackOfFunds),
    ("upfront cost exceeds", Refusal::LackOfFunds),
    ("less than block base fee", Refusal::FeeTooLow),
    ("underpriced", Refusal::FeeTooLow),
    ("fee too low", Refusal::FeeTooLow),
    ("feetoolow", Refusal::FeeTooLow),
    ("gas price below", Refusal::FeeTooLow),
    // What comes now is said of transactions that stay as they are.
    ("exceeds the configured cap", Refusal::Invalid),
    ("exceeds block gas limit", Refusal::Invalid),
    ("gas limit too high", Refusal::Invalid),
    ("gas limit exceeded", Refusal::Invalid),
    ("gas limit is too high", Refusal::Invalid),
    ("exceeds max transaction gas limit", Refusal::Invalid),
    ("intrinsic gas", Refusal::Invalid),
    ("floor data gas", Refusal::Invalid),
    ("gas uint64 overflow", Refusal::Invalid),
    ("higher than max fee per gas", Refusal::Invalid),
    ("initcode size", Refusal::Invalid),
    ("oversized data", Refusal::Invalid),
    ("invalid sender", Refusal::Invalid),
    ("sender not an eoa", Refusal::Invalid),
    ("invalid chain id", Refusal::Invalid),
    ("replay-protected", Refusal::Invalid),
    ("type not supported", Refusal::Invalid),
    ("invalid transaction", Refusal::Invalid),
    ("invalid raw transaction", Refusal::Invalid),
    ("rlp:", Refusal::Invalid),
    ("nonce has max value", Refusal::Invalid),
];

impl Refusal {
    /// What a chain's error means.
    pub(super) fn of(payload: &ErrorPayload) -> Self {
        let message = payload.message.to_lowercase();
        WORDS
            .iter()
            .find(|(words, _)| message.contains(words))
            .map_or(Self::Other, |(_, refusal)| *refusal)
    }
}

/// Whether a call was refused because its account cannot pay.
pub(super) fn is_lack_of_funds(payload: &ErrorPayload) -> bool {
    // A contract may say so too, about its own tokens; then there is revert data.
    payload.as_revert_data().is_none() && Refusal::of(payload) == Refusal::LackOfFunds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_common_chains_are_understood() {
        for (message, meaning) in [
            ("already known", Refusal::AlreadyKnown),
            ("nonce too low: next nonce 5, tx nonce 4", Refusal::NonceTooLow),
            ("replacement transaction underpriced", Refusal::NonceTaken),
            ("transaction underpriced: gas tip cap 0", Refusal::FeeTooLow),
            (
                "max fee per gas less than block base fee: address 0x…",
                Refusal::FeeTooLow,
            ),
            ("Insufficient funds for gas * price + value", Refusal::LackOfFunds),
            ("nonce too high", Refusal::NonceTooHigh),
            ("Known transaction", Refusal::AlreadyKnown),
            ("unknown transaction type", Refusal::Invalid),
            ("txpool is full", Refusal::NoRoom),
            (
                "in-flight transaction limit reached for delegated accounts",
                Refusal::NoRoom,
            ),
            ("intrinsic gas too low", Refusal::Invalid),
            (
                "transaction gas limit too high (cap: 16777216, tx: 17500000)",
                Refusal::Invalid,
            ),
            ("exceeds block gas limit", Refusal::Invalid),
            (
                "tx fee (1.50 ether) exceeds the configured cap (1.00 ether)",
                Refusal::Invalid,
            ),
            ("the node is being maintained", Refusal::Other),
        ] {
            let payload = ErrorPayload {
                code: -32000,
                message: message.into(),
                data: None,
            };
            assert_eq!(Refusal::of(&payload), meaning, "{message}");
        }
    }
}

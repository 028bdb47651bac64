//! What chains say when they do not take a transaction. There is no standard:
//! geth, reth, nethermind, besu, anvil and others each have their own words.

use alloy::rpc::json_rpc::ErrorPayload;

/// Why a chain did not take a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
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
const WORDS: &[(&str, Rejection)] = &[
    ("unknown transaction", Rejection::Invalid),
    ("already known", Rejection::AlreadyKnown),
    ("already imported", Rejection::AlreadyKnown),
    ("known transaction", Rejection::AlreadyKnown),
    ("alreadyknown", Rejection::AlreadyKnown),
    ("pool is full", Rejection::NoRoom),
    ("tries to replace pending", Rejection::NoRoom),
    ("already reserved", Rejection::NoRoom),
    ("pool full", Rejection::NoRoom),
    ("poolfull", Rejection::NoRoom),
    ("exceeds the maximum number of", Rejection::NoRoom),
    ("account limit", Rejection::NoRoom),
    ("accountlimitexceeded", Rejection::NoRoom),
    ("limit reached", Rejection::NoRoom),
    ("too many", Rejection::NoRoom),
    ("inflight transaction limit", Rejection::NoRoom),
    ("in-flight transaction limit", Rejection::NoRoom),
    ("replacement", Rejection::NonceTaken),
    ("same nonce", Rejection::NonceTaken),
    ("nonce too low", Rejection::NonceTooLow),
    ("nonce is too low", Rejection::NonceTooLow),
    ("oldnonce", Rejection::NonceTooLow),
    ("nonce too high", Rejection::NonceTooHigh),
    ("nonce is too high", Rejection::NonceTooHigh),
    ("nonce gap", Rejection::NonceTooHigh),
    ("noncegap", Rejection::NonceTooHigh),
    ("too distant", Rejection::NonceTooHigh),
    ("insufficient funds", Rejection::LackOfFunds),
    ("insufficientfunds", Rejection::LackOfFunds),
    ("insufficient balance", Rejection::LackOfFunds),
    ("insufficient sender balance", Rejection::LackOfFunds),
    ("enough funds", Rejection::LackOfFunds),
    ("lack of funds", Rejection::LackOfFunds),
    ("upfront cost exceeds", Rejection::LackOfFunds),
    ("less than block base fee", Rejection::FeeTooLow),
    ("underpriced", Rejection::FeeTooLow),
    ("fee too low", Rejection::FeeTooLow),
    ("feetoolow", Rejection::FeeTooLow),
    ("gas price below", Rejection::FeeTooLow),
    // What comes now is said of transactions that stay as they are.
    ("exceeds the configured cap", Rejection::Invalid),
    ("exceeds block gas limit", Rejection::Invalid),
    ("gas limit too high", Rejection::Invalid),
    ("gas limit exceeded", Rejection::Invalid),
    ("gas limit is too high", Rejection::Invalid),
    ("exceeds max transaction gas limit", Rejection::Invalid),
    ("intrinsic gas", Rejection::Invalid),
    ("floor data gas", Rejection::Invalid),
    ("gas uint64 overflow", Rejection::Invalid),
    ("higher than max fee per gas", Rejection::Invalid),
    ("initcode size", Rejection::Invalid),
    ("oversized data", Rejection::Invalid),
    ("invalid sender", Rejection::Invalid),
    ("sender not an eoa", Rejection::Invalid),
    ("invalid chain id", Rejection::Invalid),
    ("replay-protected", Rejection::Invalid),
    ("type not supported", Rejection::Invalid),
    ("invalid transaction", Rejection::Invalid),
    ("invalid raw transaction", Rejection::Invalid),
    ("rlp:", Rejection::Invalid),
    ("nonce has max value", Rejection::Invalid),
];

impl Rejection {
    /// What a chain's error means.
    pub(super) fn of(payload: &ErrorPayload) -> Self {
        let message = payload.message.to_lowercase();
        WORDS
            .iter()
            .find(|(words, _)| message.contains(words))
            .map_or(Self::Other, |(_, rejection)| *rejection)
    }
}

/// Whether a call was refused because its account cannot pay.
pub(super) fn is_lack_of_funds(payload: &ErrorPayload) -> bool {
    // A contract may say so too, about its own tokens; then there is revert data.
    payload.as_revert_data().is_none() && Rejection::of(payload) == Rejection::LackOfFunds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_common_chains_are_understood() {
        for (message, meaning) in [
            ("already known", Rejection::AlreadyKnown),
            ("nonce too low: next nonce 5, tx nonce 4", Rejection::NonceTooLow),
            ("replacement transaction underpriced", Rejection::NonceTaken),
            ("transaction underpriced: gas tip cap 0", Rejection::FeeTooLow),
            (
                "max fee per gas less than block base fee: address 0x…",
                Rejection::FeeTooLow,
            ),
            (
                "Insufficient funds for gas * price + value",
                Rejection::LackOfFunds,
            ),
            ("nonce too high", Rejection::NonceTooHigh),
            ("Known transaction", Rejection::AlreadyKnown),
            ("unknown transaction type", Rejection::Invalid),
            ("txpool is full", Rejection::NoRoom),
            (
                "in-flight transaction limit reached for delegated accounts",
                Rejection::NoRoom,
            ),
            ("intrinsic gas too low", Rejection::Invalid),
            (
                "transaction gas limit too high (cap: 16777216, tx: 17500000)",
                Rejection::Invalid,
            ),
            ("exceeds block gas limit", Rejection::Invalid),
            (
                "tx fee (1.50 ether) exceeds the configured cap (1.00 ether)",
                Rejection::Invalid,
            ),
            ("the node is being maintained", Rejection::Other),
        ] {
            let payload = ErrorPayload {
                code: -32000,
                message: message.into(),
                data: None,
            };
            assert_eq!(Rejection::of(&payload), meaning, "{message}");
        }
    }
}

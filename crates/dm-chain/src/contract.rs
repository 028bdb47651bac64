//! The anchor contract: its interface, its address, and its refusals in words.

use alloy::{
    primitives::{Address, B256, Bytes, address, keccak256},
    sol_types::SolInterface,
};

use self::AnchorLog::AnchorLogErrors;

// Generated: the documentation stands in the contract.
#[allow(missing_docs, unreachable_pub)]
mod abi {
    alloy::sol!(AnchorLog, "contracts/artifacts/AnchorLog.json");
}

pub(crate) use abi::AnchorLog;

/// The common CREATE2 deployment proxy, at the same address on every chain that
/// has it (<https://github.com/Arachnid/deterministic-deployment-proxy>).
pub const DEPLOYMENT_PROXY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// Salt of the deployment.
const SALT: B256 = B256::ZERO;

/// Address of the anchor contract: the same on every chain, since it follows
/// from the contract's bytecode
/// ([EIP-1014](https://eips.ethereum.org/EIPS/eip-1014)).
pub fn anchor_contract() -> Address {
    DEPLOYMENT_PROXY.create2(SALT, keccak256(&AnchorLog::BYTECODE))
}

/// What the deployment proxy has to be sent to deploy the contract.
pub(crate) fn deployment_input() -> Bytes {
    [SALT.as_slice(), &AnchorLog::BYTECODE].concat().into()
}

/// What the contract says with the data of a revert; `None` where it is none
/// of its errors.
pub(crate) fn refusal_in_words(data: &[u8]) -> Option<String> {
    let words = match AnchorLogErrors::abi_decode(data).ok()? {
        AnchorLogErrors::NotTheKeeper(error) => {
            format!("the log of {} is controlled by {}", error.log, error.keeper)
        }
        AnchorLogErrors::NobodyToKeep(_) => "the zero address can keep no log".to_owned(),
        AnchorLogErrors::Sha256Missing(_) => "the chain lacks the SHA-256 precompile".to_owned(),
        AnchorLogErrors::NotLarger(error) => format!(
            "the log is anchored up to size {} already, size {} was offered",
            error.anchored, error.offered
        ),
        AnchorLogErrors::NoPreviousCheckpoint(error) => format!(
            "the log has no checkpoint yet, but the previous root {} and {} proof hashes were offered",
            error.offeredRoot, error.proofLength
        ),
        AnchorLogErrors::OtherPreviousRoot(error) => format!(
            "the anchored checkpoint of size {} has another root than {}",
            error.size, error.offeredRoot
        ),
        AnchorLogErrors::WrongProofLength(error) => format!(
            "{} hashes are not the length of a consistency proof from size {} to {}",
            error.proofLength, error.previousSize, error.size
        ),
        AnchorLogErrors::NotAContinuation(error) => format!(
            "the log was rewritten: from the anchored root {} to {} was offered, the proof leads from {} to {}",
            error.previousRoot, error.root, error.provenPreviousRoot, error.provenRoot
        ),
    };
    Some(words)
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolError;

    use super::*;

    #[test]
    fn a_refusal_says_what_was_expected_and_what_came() {
        let data = AnchorLog::NotLarger {
            anchored: 7,
            offered: 5,
        }
        .abi_encode();
        assert_eq!(
            refusal_in_words(&data).as_deref(),
            Some("the log is anchored up to size 7 already, size 5 was offered")
        );
    }

    #[test]
    fn revert_data_of_others_is_no_refusal() {
        assert_eq!(refusal_in_words(&[]), None);
        assert_eq!(refusal_in_words(&[0xff; 100]), None);
    }

    #[test]
    fn the_deployment_starts_with_the_salt_and_ends_with_the_bytecode() {
        let input = deployment_input();
        assert_eq!(input[..32], [0; 32]);
        assert_eq!(input[32..], AnchorLog::BYTECODE[..]);
    }
}

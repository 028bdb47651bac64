//! What an EVM library does for the client: it encodes, decodes and signs. alloy does
//! it, and behind the feature `ethers` also ethers-rs. Nothing here asks a chain.

mod alloy;
mod erc20;
#[cfg(feature = "ethers")]
mod ethers;
mod operation;
mod signing;

use ::alloy::primitives::{Address, B256, Bytes, U256};
use dm_core::{
    operation::Operation,
    ports::{AnchorHead, AnchorRequest, ChainError, Signer},
    receipt::{Checkpoint, Receipt},
};

#[cfg(feature = "ethers")]
pub(crate) use self::ethers::EthersBackend;
pub(crate) use self::{
    alloy::AlloyBackend,
    operation::{amount_received, call_of, expected_transfer, returns_success},
};
use crate::{
    tx::{SigningJob, Version},
    wire::Log,
};

/// An EVM library behind the client.
pub(crate) trait EvmBackend: Send + Sync {
    /// Signs a transaction for one chain alone
    /// ([EIP-155](https://eips.ethereum.org/EIPS/eip-155)).
    ///
    /// # Errors
    /// [`ChainError::Refused`] where the account cannot sign.
    fn sign(&self, job: &SigningJob, chain_id: u64, signer: &dyn Signer) -> Result<Version, ChainError>;

    /// What a token contract is sent to be asked this.
    fn token_question(&self, question: TokenQuestion) -> Bytes;

    /// What an operation sends to its contract: selector and arguments, or the code of
    /// the contract that it makes; nothing for a transfer of the chain's own coin.
    fn operation_input(&self, operation: &Operation) -> Bytes;

    /// Receiver and amount of a token's `Transfer` event.
    fn transfer(&self, log: &Log) -> Option<(Address, U256)>;

    /// What the anchor contract is sent by a log's controller to take a checkpoint.
    fn anchor(&self, request: &AnchorRequest, target: AnchorTarget) -> Bytes;

    /// What it is sent to hand a log over.
    fn hand_over(&self, log: Address, to: Address) -> Bytes;

    /// What the anchor contract is sent to be asked this.
    fn anchor_question(&self, question: &AnchorQuestion<'_>) -> Bytes;

    /// What it answers to [`AnchorQuestion::Head`].
    fn decode_head(&self, answer: &[u8]) -> Option<AnchorHead>;

    /// What it answers to [`AnchorQuestion::Controller`].
    fn decode_controller(&self, answer: &[u8]) -> Option<Address>;

    /// What it answers to the other questions.
    fn decode_bool(&self, answer: &[u8]) -> Option<bool>;

    /// The anchor contract's event about an accepted checkpoint.
    fn anchored(&self, log: &Log) -> Option<Anchored>;
}

/// A question to a token contract.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TokenQuestion {
    /// Its full name.
    Name,
    /// Its short name.
    Symbol,
    /// Its decimal places.
    Decimals,
    /// Who may make more of it.
    Owner,
    /// How much there is.
    TotalSupply,
    /// What an account has.
    BalanceOf(Address),
    /// What `spender` may take of what `owner` has.
    Allowance {
        /// Who has it.
        owner: Address,
        /// Who may take it.
        spender: Address,
    },
}

/// A question to the anchor contract.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AnchorQuestion<'a> {
    /// The newest checkpoint of a log.
    Head(Address),
    /// The log controller (`keeper` in the contract): who anchors a log.
    Controller(Address),
    /// Whether a log has this checkpoint, accepted there and then.
    Holds(Address, &'a Checkpoint, &'a AnchorHead),
    /// Whether the receipt's event, with this leaf hash, stands in its log.
    Proves(&'a Receipt, B256),
}

/// The log that an account anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnchorTarget {
    /// Its own.
    OwnLog,
    /// One that was handed over to it.
    LogOf(Address),
}

/// The anchor contract accepted a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchored {
    /// Whose log it is.
    pub(crate) log: Address,
    /// Size, block and time.
    pub(crate) head: AnchorHead,
}

#[cfg(test)]
mod tests;

//! What a raw transaction must satisfy before it may wait for a block. The
//! refusals use the words of geth, which tools look for.

use alloy::{
    consensus::{
        Transaction, TxEnvelope, Typed2718,
        transaction::{Recovered, SignerRecoverable},
    },
    eips::eip2718::Decodable2718,
    primitives::{Address, U256},
};
use revm::{
    context_interface::result::InvalidTransaction, handler::validation::validate_initial_tx_gas,
    primitives::eip3860::MAX_INITCODE_SIZE,
};

use super::{
    EmbeddedChainError,
    chain::{Chain, Head},
    evm,
    genesis::CREATE2_DEPLOYMENT,
    pool::{Candidate, PoolError},
};

/// Bytes that a raw transaction may have, as in geth.
const MAX_TRANSACTION_BYTES: usize = 128 * 1024;

/// Why a raw transaction is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmissionError {
    #[error("oversized data: transaction size {0}, limit {MAX_TRANSACTION_BYTES}")]
    Oversized(usize),
    #[error("invalid raw transaction: {0}")]
    Undecodable(String),
    #[error("transaction type not supported")]
    UnsupportedType,
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    NotReplayProtected,
    #[error("invalid chain id for signer: have {found} want {expected}")]
    WrongChain { expected: u64, found: u64 },
    #[error("invalid sender")]
    InvalidSignature,
    #[error("max initcode size exceeded: code size {0}, limit {MAX_INITCODE_SIZE}")]
    InitcodeTooLarge(usize),
    #[error("transaction gas limit too high (cap: {cap}, tx: {0})", cap = evm::TRANSACTION_GAS_LIMIT)]
    GasLimitTooHigh(u64),
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
    )]
    TipAboveFee { tip: u128, fee: u128 },
    #[error(
        "max fee per gas less than block base fee: address {sender}, maxFeePerGas: {fee}, baseFee: {base_fee}"
    )]
    BelowBaseFee {
        sender: Address,
        fee: u128,
        base_fee: u64,
    },
    #[error("intrinsic gas too low: gas {limit}, minimum needed {needed}")]
    IntrinsicGas { limit: u64, needed: u64 },
    #[error("insufficient gas for floor data gas cost: gas {limit}, minimum needed {needed}")]
    FloorGas { limit: u64, needed: u64 },
    #[error("nonce too low: address {sender}, tx: {found} state: {next}")]
    NonceTooLow { sender: Address, found: u64, next: u64 },
    #[error("nonce has max value: address {0}")]
    NonceAtMaximum(Address),
    #[error("sender not an eoa: address {0}")]
    SenderIsContract(Address),
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}", cost - balance)]
    InsufficientFunds { balance: U256, cost: U256 },
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error("the chain is shutting down")]
    Closed,
    #[error(transparent)]
    Chain(#[from] EmbeddedChainError),
}

/// Checks a raw transaction against the newest block. Recovers the sender,
/// which takes some tens of microseconds, and reads the state.
pub(super) fn admit(chain: &Chain, raw: &[u8]) -> Result<Candidate, AdmissionError> {
    let transaction = decode(raw)?;
    if *transaction.tx_hash() == CREATE2_DEPLOYMENT {
        return Err(already_deployed(&transaction));
    }
    check_form(chain.chain_id, &transaction)?;
    let sender = transaction
        .recover_signer()
        .map_err(|_| AdmissionError::InvalidSignature)?;
    let transaction = Recovered::new_unchecked(transaction, sender);
    check_gas(&transaction)?;
    let head = chain.head();
    check_fees(&transaction, head.block.next_base_fee())?;
    check_sender(chain, &head, &transaction)?;
    Ok(Candidate {
        transaction,
        bytes: raw.len(),
    })
}

/// Tools deploy the proxy by a transaction that is good for every chain, where they
/// do not find it. Here it is there from the beginning, so that they hear what they
/// would hear on a chain that has mined the transaction.
fn already_deployed(transaction: &TxEnvelope) -> AdmissionError {
    match transaction.recover_signer() {
        Ok(sender) => AdmissionError::NonceTooLow {
            sender,
            found: transaction.nonce(),
            next: 1,
        },
        Err(_) => AdmissionError::InvalidSignature,
    }
}

fn decode(raw: &[u8]) -> Result<TxEnvelope, AdmissionError> {
    if raw.len() > MAX_TRANSACTION_BYTES {
        return Err(AdmissionError::Oversized(raw.len()));
    }
    // Types 0 to 2 are decoded; those of blobs and authorisations, and unknown ones, are not.
    match raw.first() {
        Some(3..=0x7f) => return Err(AdmissionError::UnsupportedType),
        None => return Err(AdmissionError::Undecodable("it is empty".to_owned())),
        _ => {}
    }
    let transaction =
        TxEnvelope::decode_2718_exact(raw).map_err(|error| AdmissionError::Undecodable(error.to_string()))?;
    match transaction.ty() {
        0..=2 => Ok(transaction),
        _ => Err(AdmissionError::UnsupportedType),
    }
}

fn check_form(chain_id: u64, transaction: &TxEnvelope) -> Result<(), AdmissionError> {
    match transaction.chain_id() {
        None => return Err(AdmissionError::NotReplayProtected),
        Some(found) if found != chain_id => {
            return Err(AdmissionError::WrongChain {
                expected: chain_id,
                found,
            });
        }
        Some(_) => {}
    }
    if transaction.kind().is_create() && transaction.input().len() > MAX_INITCODE_SIZE {
        return Err(AdmissionError::InitcodeTooLarge(transaction.input().len()));
    }
    if transaction.gas_limit() > evm::TRANSACTION_GAS_LIMIT {
        return Err(AdmissionError::GasLimitTooHigh(transaction.gas_limit()));
    }
    let fee = transaction.max_fee_per_gas();
    match transaction.max_priority_fee_per_gas() {
        Some(tip) if tip > fee => Err(AdmissionError::TipAboveFee { tip, fee }),
        _ => Ok(()),
    }
}

fn check_gas(transaction: &Recovered<TxEnvelope>) -> Result<(), AdmissionError> {
    let limit = transaction.gas_limit();
    match validate_initial_tx_gas(
        evm::environment(transaction),
        evm::SPEC,
        false,
        false,
        u64::MAX,
        None,
    ) {
        Ok(_) => Ok(()),
        Err(InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, .. }) => {
            Err(AdmissionError::FloorGas {
                limit,
                needed: gas_floor,
            })
        }
        Err(InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, .. }) => {
            Err(AdmissionError::IntrinsicGas {
                limit,
                needed: initial_gas,
            })
        }
        Err(other) => Err(AdmissionError::Undecodable(other.to_string())),
    }
}

fn check_fees(transaction: &Recovered<TxEnvelope>, base_fee: u64) -> Result<(), AdmissionError> {
    let (sender, fee) = (transaction.signer(), transaction.max_fee_per_gas());
    match fee < u128::from(base_fee) {
        true => Err(AdmissionError::BelowBaseFee {
            sender,
            fee,
            base_fee,
        }),
        false => Ok(()),
    }
}

fn check_sender(
    chain: &Chain,
    head: &Head,
    transaction: &Recovered<TxEnvelope>,
) -> Result<(), AdmissionError> {
    let sender = transaction.signer();
    let account = chain.view(head).account(&sender)?.unwrap_or_default();
    if !account.is_empty_code_hash() {
        return Err(AdmissionError::SenderIsContract(sender));
    }
    if transaction.nonce() < account.nonce {
        return Err(AdmissionError::NonceTooLow {
            sender,
            found: transaction.nonce(),
            next: account.nonce,
        });
    }
    if transaction.nonce() == u64::MAX {
        return Err(AdmissionError::NonceAtMaximum(sender));
    }
    let cost = highest_cost(transaction);
    match cost > account.balance {
        true => Err(AdmissionError::InsufficientFunds {
            balance: account.balance,
            cost,
        }),
        false => Ok(()),
    }
}

/// What the transaction may take from its sender: all its gas at the highest
/// price, and its value.
fn highest_cost(transaction: &Recovered<TxEnvelope>) -> U256 {
    U256::from(transaction.gas_limit())
        .saturating_mul(U256::from(transaction.max_fee_per_gas()))
        .saturating_add(transaction.value())
}

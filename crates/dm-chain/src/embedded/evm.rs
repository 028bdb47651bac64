//! How the EVM is set up, for blocks and for calls that change nothing.

use alloy::{
    consensus::{Header, Transaction, TxEnvelope, Typed2718, transaction::Recovered},
    primitives::{B256, U256},
};
use revm::{
    Context, Database, MainBuilder, MainContext, MainnetEvm,
    context::{BlockEnv, TxEnv},
    context_interface::block::BlobExcessGasAndPrice,
    handler::MainnetContext,
    primitives::{eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE, hardfork::SpecId},
};

/// The rules of the chain: Osaka, the newest that is active on Ethereum.
pub(super) const SPEC: SpecId = SpecId::OSAKA;

/// Gas that all transactions of a block may use together.
pub(super) const BLOCK_GAS_LIMIT: u64 = 30_000_000;

/// Gas that one transaction may ask for (EIP-7825).
pub(super) const TRANSACTION_GAS_LIMIT: u64 = revm::primitives::eip7825::TX_GAS_LIMIT_CAP;

/// Gas that a call without transaction may use: what bounds its time.
pub(super) const CALL_GAS_LIMIT: u64 = 50_000_000;

/// Bytes of EVM memory that a call may use over all its frames.
const CALL_MEMORY_LIMIT: u64 = 32 * 1024 * 1024;

/// An EVM on some state.
pub(super) type Evm<DB> = MainnetEvm<MainnetContext<DB>>;

/// An EVM that keeps every rule, for the transactions of a block.
pub(super) fn for_block<DB: Database>(state: DB, chain_id: u64, header: &Header) -> Evm<DB> {
    context(state, chain_id, header).build_mainnet()
}

/// An EVM for calls that never become transactions: the caller needs neither a
/// nonce nor gas money, may be a contract, and has its own limits of gas and memory.
pub(super) fn for_call<DB: Database>(state: DB, chain_id: u64, header: &Header) -> Evm<DB> {
    context(state, chain_id, header)
        .modify_cfg_chained(|cfg| {
            cfg.disable_nonce_check = true;
            cfg.disable_base_fee = true;
            cfg.disable_block_gas_limit = true;
            cfg.disable_eip3607 = true;
            cfg.tx_gas_limit_cap = Some(u64::MAX);
            cfg.memory_limit = CALL_MEMORY_LIMIT;
        })
        .build_mainnet()
}

/// A signed transaction as the EVM takes it.
pub(super) fn environment(transaction: &Recovered<TxEnvelope>) -> TxEnv {
    let inner = transaction.inner();
    TxEnv {
        tx_type: inner.ty(),
        caller: transaction.signer(),
        gas_limit: inner.gas_limit(),
        gas_price: inner.max_fee_per_gas(),
        kind: inner.kind(),
        value: inner.value(),
        data: inner.input().clone(),
        nonce: inner.nonce(),
        chain_id: inner.chain_id(),
        access_list: inner.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: inner.max_priority_fee_per_gas(),
        ..TxEnv::default()
    }
}

fn context<DB: Database>(state: DB, chain_id: u64, header: &Header) -> MainnetContext<DB> {
    Context::mainnet()
        .with_db(state)
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(SPEC);
            cfg.chain_id = chain_id;
        })
        .with_block(block_environment(header))
}

fn block_environment(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(randomness(&header.parent_hash)),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new(
            0,
            BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE,
        )),
        slot_num: header.number,
    }
}

/// What `PREVRANDAO` answers: known to everybody in advance, as on every
/// development chain.
pub(super) fn randomness(parent_hash: &B256) -> B256 {
    alloy::primitives::keccak256(parent_hash)
}

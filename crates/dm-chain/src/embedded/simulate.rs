//! Calls that become no transaction: `eth_call` and `eth_estimateGas`.

use alloy::{
    consensus::Header,
    primitives::{Bytes, TxKind, U256},
    rpc::types::TransactionRequest,
};
use revm::{
    ExecuteEvm,
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, OutOfGasError},
    },
    database_interface::WrapDatabaseRef,
};

use super::{
    EmbeddedChainError,
    chain::{Chain, Head},
    evm,
};

/// Gas of a transfer to an account without code.
const TRANSFER_GAS: u64 = 21_000;
/// The estimate may be this much above what is needed, as in geth.
const ESTIMATE_TOLERANCE_PERMILLE: u64 = 15;
/// Gas that a call with value hands on besides what it is given.
const CALL_STIPEND: u64 = 2_300;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// `REVERT`, with its data.
    #[error("execution reverted")]
    Reverted(Bytes),
    /// Ended by another fault.
    #[error("{0}")]
    Halted(String),
    /// Not even begun.
    #[error("{0}")]
    Invalid(String),
    #[error("gas required exceeds allowance ({0})")]
    NotEnoughGas(u64),
    #[error(transparent)]
    Chain(#[from] EmbeddedChainError),
}

/// Executes a call on the state after `head` and returns its output.
pub(super) fn call(chain: &Chain, head: &Head, request: &TransactionRequest) -> Result<Bytes, CallError> {
    let environment = environment(request, evm::CALL_GAS_LIMIT)?;
    output(execute(chain, head, &head.block.header, environment)?)
}

/// The least gas limit, but for 1.5 %, with which the call succeeds in the next block.
pub(super) fn estimate_gas(
    chain: &Chain,
    head: &Head,
    request: &TransactionRequest,
) -> Result<u64, CallError> {
    let highest = allowance(chain, head, request)?;
    let environment = environment(request, highest)?;
    let header = super::builder::next_header(&head.block, super::chain::now());
    if is_plain_transfer(chain, head, &environment)? && highest >= TRANSFER_GAS {
        return Ok(TRANSFER_GAS);
    }
    let run = |gas_limit| {
        execute(
            chain,
            head,
            &header,
            TxEnv {
                gas_limit,
                ..environment.clone()
            },
        )
    };
    let result = run(highest)?;
    let gas = *result.gas();
    if ran_out_of_gas(&result) {
        return Err(CallError::NotEnoughGas(highest));
    }
    output(result)?;
    // Each frame can hand on 63/64 of its gas only, so somewhat more than what was used is the likely limit.
    let likely = gas
        .total_gas_spent()
        .saturating_add(CALL_STIPEND)
        .saturating_mul(64)
        / 63;
    search(gas.tx_gas_used().saturating_sub(1), likely, highest, |limit| {
        Ok(run(limit)?.is_success())
    })
}

/// Searches the least gas limit in (`failing`, `succeeding`] that succeeds,
/// beginning at `first`.
fn search(
    mut failing: u64,
    first: u64,
    mut succeeding: u64,
    succeeds: impl Fn(u64) -> Result<bool, CallError>,
) -> Result<u64, CallError> {
    let mut next = first;
    while succeeding - failing > 1
        && (succeeding - failing) * 1_000 > succeeding * ESTIMATE_TOLERANCE_PERMILLE
    {
        let probe = next.clamp(failing + 1, succeeding - 1);
        // A limit too low even to begin is a failure like any other.
        match succeeds(probe) {
            Ok(true) => succeeding = probe,
            Ok(false) | Err(CallError::Invalid(_)) => failing = probe,
            Err(error) => return Err(error),
        }
        next = failing + (succeeding - failing) / 2;
    }
    Ok(succeeding)
}

/// The highest gas limit that the request, the chain and the sender's money allow.
fn allowance(chain: &Chain, head: &Head, request: &TransactionRequest) -> Result<u64, CallError> {
    let wanted = request.gas.unwrap_or(u64::MAX).min(evm::TRANSACTION_GAS_LIMIT);
    let price = request.max_fee_per_gas.or(request.gas_price).unwrap_or_default();
    if price == 0 {
        return Ok(wanted);
    }
    let sender = request.from.unwrap_or_default();
    let balance = chain.view(head).account(&sender)?.unwrap_or_default().balance;
    let value = request.value.unwrap_or_default();
    let left = balance
        .checked_sub(value)
        .ok_or_else(|| insufficient(&balance, &value))?;
    Ok(u64::try_from(left / U256::from(price))
        .unwrap_or(u64::MAX)
        .min(wanted))
}

fn is_plain_transfer(chain: &Chain, head: &Head, call: &TxEnv) -> Result<bool, EmbeddedChainError> {
    let TxKind::Call(to) = call.kind else {
        return Ok(false);
    };
    if !call.data.is_empty() || !call.access_list.is_empty() {
        return Ok(false);
    }
    let view = chain.view(head);
    let code_free = view
        .account(&to)?
        .is_none_or(|account| account.is_empty_code_hash());
    let funded = view.account(&call.caller)?.unwrap_or_default().balance >= call.value;
    let precompile = to.as_slice()[..18].iter().all(|byte| *byte == 0);
    Ok(code_free && funded && !precompile)
}

fn environment(request: &TransactionRequest, gas_cap: u64) -> Result<TxEnv, CallError> {
    let data = request.input.unique_input().map_err(|_| {
        // The words of geth.
        CallError::Invalid(
            "both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass transaction call data"
                .to_owned(),
        )
    })?;
    let data = data.cloned().unwrap_or_default();
    let (max_fee, tip) = match (request.gas_price, request.max_fee_per_gas) {
        (Some(_), Some(_)) => {
            return Err(CallError::Invalid(
                "both gasPrice and maxFeePerGas specified".to_owned(),
            ));
        }
        (Some(price), None) => (price, None),
        (None, Some(fee)) => (fee, request.max_priority_fee_per_gas),
        (None, None) => (0, None),
    };
    if request.blob_versioned_hashes.is_some() || request.authorization_list.is_some() {
        return Err(CallError::Invalid("transaction type not supported".to_owned()));
    }
    let access_list = request.access_list.clone().unwrap_or_default();
    let tx_type = match (tip, access_list.is_empty()) {
        (Some(_), _) => 2,
        (None, false) => 1,
        (None, true) => 0,
    };
    Ok(TxEnv {
        tx_type,
        caller: request.from.unwrap_or_default(),
        gas_limit: request.gas.unwrap_or(gas_cap).min(gas_cap),
        gas_price: max_fee,
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data,
        chain_id: None,
        access_list,
        gas_priority_fee: tip,
        ..TxEnv::default()
    })
}

fn execute(chain: &Chain, head: &Head, header: &Header, call: TxEnv) -> Result<ExecutionResult, CallError> {
    let mut evm = evm::for_call(WrapDatabaseRef(chain.view(head)), chain.chain_id, header);
    evm.transact(call)
        .map(|executed| executed.result)
        .map_err(|error| match error {
            EVMError::Database(error) => CallError::Chain(error),
            EVMError::Transaction(InvalidTransaction::LackOfFundForMaxFee { fee, balance }) => {
                insufficient(&balance, &fee)
            }
            other => CallError::Invalid(format!("err: {other}")),
        })
}

fn insufficient(balance: &U256, cost: &U256) -> CallError {
    CallError::Invalid(format!(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}"
    ))
}

fn output(result: ExecutionResult) -> Result<Bytes, CallError> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(CallError::Reverted(output)),
        ExecutionResult::Halt { reason, .. } => Err(CallError::Halted(halt_message(&reason))),
    }
}

fn ran_out_of_gas(result: &ExecutionResult) -> bool {
    matches!(
        result,
        ExecutionResult::Halt {
            reason: HaltReason::OutOfGas(_),
            ..
        }
    )
}

/// The words of geth for the commonest faults.
fn halt_message(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(OutOfGasError::MemoryLimit) => "memory limit of calls exceeded".to_owned(),
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode".to_owned(),
        HaltReason::CallTooDeep => "max call depth exceeded".to_owned(),
        other => format!("execution halted: {other:?}"),
    }
}

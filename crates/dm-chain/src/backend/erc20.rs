//! Token contracts: what they are asked and told, and what their events say, by alloy.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::{SolCall, SolConstructor, SolEvent},
};
use dm_core::{operation::Operation, token::NATIVE_TOKEN};

use super::TokenQuestion;
use crate::wire::Log;

// Generated: the documentation stands in the standards.
#[allow(missing_docs, unreachable_pub, clippy::too_many_arguments)]
mod abi {
    alloy::sol! {
        interface Token {
            event Transfer(address indexed from, address indexed to, uint256 value);

            function name() external view returns (string);
            function symbol() external view returns (string);
            function decimals() external view returns (uint8);
            function owner() external view returns (address);
            function totalSupply() external view returns (uint256);
            function balanceOf(address account) external view returns (uint256);
            function allowance(address owner, address spender) external view returns (uint256);
            function transfer(address to, uint256 amount) external returns (bool);
            function transferFrom(address from, address to, uint256 amount) external returns (bool);
            function approve(address spender, uint256 amount) external returns (bool);
            function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
            function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
            function mint(address to, uint256 amount) external;
        }
    }
    alloy::sol!(NodeToken, "contracts/artifacts/NodeToken.json");
}

pub(super) use abi::NodeToken;
use abi::Token;

/// Selector and arguments of a question.
pub(super) fn question(question: TokenQuestion) -> Bytes {
    match question {
        TokenQuestion::Name => Token::nameCall {}.abi_encode(),
        TokenQuestion::Symbol => Token::symbolCall {}.abi_encode(),
        TokenQuestion::Decimals => Token::decimalsCall {}.abi_encode(),
        TokenQuestion::Owner => Token::ownerCall {}.abi_encode(),
        TokenQuestion::TotalSupply => Token::totalSupplyCall {}.abi_encode(),
        TokenQuestion::BalanceOf(account) => Token::balanceOfCall { account }.abi_encode(),
        TokenQuestion::Allowance { owner, spender } => Token::allowanceCall { owner, spender }.abi_encode(),
    }
    .into()
}

/// What an operation sends to its contract.
pub(super) fn operation_input(operation: &Operation) -> Bytes {
    match operation.clone() {
        Operation::Transfer { token, .. } if token == NATIVE_TOKEN => Vec::new(),
        Operation::Transfer { to, amount, .. } => Token::transferCall { to, amount }.abi_encode(),
        Operation::TransferFrom { from, to, amount, .. } => {
            Token::transferFromCall { from, to, amount }.abi_encode()
        }
        Operation::Permit { permit, .. } => Token::permitCall {
            owner: permit.owner,
            spender: permit.spender,
            value: permit.value,
            deadline: permit.deadline,
            v: permit.signature.v,
            r: permit.signature.r,
            s: permit.signature.s,
        }
        .abi_encode(),
        Operation::TransferWithAuthorization { authorization, .. } => Token::transferWithAuthorizationCall {
            from: authorization.from,
            to: authorization.to,
            value: authorization.value,
            validAfter: authorization.valid_after,
            validBefore: authorization.valid_before,
            nonce: authorization.nonce,
            v: authorization.signature.v,
            r: authorization.signature.r,
            s: authorization.signature.s,
        }
        .abi_encode(),
        Operation::Approve { spender, amount, .. } => Token::approveCall { spender, amount }.abi_encode(),
        Operation::IssueToken {
            name,
            symbol,
            decimals,
            initial_supply,
        } => {
            let arguments = NodeToken::constructorCall {
                name,
                symbol,
                decimals_: decimals,
                initialSupply: initial_supply,
            };
            [&NodeToken::BYTECODE[..], &arguments.abi_encode()].concat()
        }
        Operation::Mint { to, amount, .. } => Token::mintCall { to, amount }.abi_encode(),
    }
    .into()
}

/// Receiver and amount of a `Transfer` event.
pub(super) fn transfer(log: &Log) -> Option<(Address, U256)> {
    let topics = log.topics.iter().copied();
    let transfer = Token::Transfer::decode_raw_log_validate(topics, &log.data).ok()?;
    Some((transfer.to, transfer.value))
}

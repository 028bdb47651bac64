//! Token contracts: what they are asked, told, and what their events say.

use alloy::{
    primitives::{Address, Bytes, U256},
    sol_types::{SolCall, SolConstructor, SolEvent},
};
use dm_core::{operation::Operation, token::NATIVE_TOKEN};

use crate::{
    transactions::{Call, Gain},
    wire::Log,
};

// Generated: the documentation stands in the standards.
#[allow(missing_docs, unreachable_pub, clippy::too_many_arguments)]
mod abi {
    alloy::sol! {
        interface Token {
            event Transfer(address indexed from, address indexed to, uint256 value);

            function name() external view returns (string);
            function symbol() external view returns (string);
            function decimals() external view returns (uint8);
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

use abi::{NodeToken, Token};

/// A question to a token contract.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Question {
    Name,
    Symbol,
    Decimals,
    TotalSupply,
    BalanceOf(Address),
    Allowance { owner: Address, spender: Address },
}

impl Question {
    /// Selector and arguments.
    pub(crate) fn input(self) -> Bytes {
        match self {
            Self::Name => Token::nameCall {}.abi_encode(),
            Self::Symbol => Token::symbolCall {}.abi_encode(),
            Self::Decimals => Token::decimalsCall {}.abi_encode(),
            Self::TotalSupply => Token::totalSupplyCall {}.abi_encode(),
            Self::BalanceOf(account) => Token::balanceOfCall { account }.abi_encode(),
            Self::Allowance { owner, spender } => Token::allowanceCall { owner, spender }.abi_encode(),
        }
        .into()
    }
}

/// The call that an operation makes.
pub(crate) fn call_of(operation: &Operation) -> Call {
    if let Operation::Transfer { token, to, amount } = operation
        && *token == NATIVE_TOKEN
    {
        return Call {
            to: Some(*to),
            input: Bytes::new(),
            value: *amount,
        };
    }
    let (to, input) = match operation {
        Operation::Transfer { token, to, amount } => {
            let call = Token::transferCall {
                to: *to,
                amount: *amount,
            };
            (Some(*token), call.abi_encode())
        }
        Operation::TransferFrom {
            token,
            from,
            to,
            amount,
        } => {
            let call = Token::transferFromCall {
                from: *from,
                to: *to,
                amount: *amount,
            };
            (Some(*token), call.abi_encode())
        }
        Operation::Permit { token, permit } => {
            let call = Token::permitCall {
                owner: permit.owner,
                spender: permit.spender,
                value: permit.value,
                deadline: permit.deadline,
                v: permit.signature.v,
                r: permit.signature.r,
                s: permit.signature.s,
            };
            (Some(*token), call.abi_encode())
        }
        Operation::TransferWithAuthorization { token, authorization } => {
            let call = Token::transferWithAuthorizationCall {
                from: authorization.from,
                to: authorization.to,
                value: authorization.value,
                validAfter: authorization.valid_after,
                validBefore: authorization.valid_before,
                nonce: authorization.nonce,
                v: authorization.signature.v,
                r: authorization.signature.r,
                s: authorization.signature.s,
            };
            (Some(*token), call.abi_encode())
        }
        Operation::Approve {
            token,
            spender,
            amount,
        } => {
            let call = Token::approveCall {
                spender: *spender,
                amount: *amount,
            };
            (Some(*token), call.abi_encode())
        }
        Operation::IssueToken {
            name,
            symbol,
            decimals,
            initial_supply,
        } => {
            let arguments = NodeToken::constructorCall {
                name: name.clone(),
                symbol: symbol.clone(),
                decimals_: *decimals,
                initialSupply: *initial_supply,
            };
            (None, [&NodeToken::BYTECODE[..], &arguments.abi_encode()].concat())
        }
        Operation::Mint { token, to, amount } => {
            let call = Token::mintCall {
                to: *to,
                amount: *amount,
            };
            (Some(*token), call.abi_encode())
        }
    };
    Call {
        to,
        input: input.into(),
        value: U256::ZERO,
    }
}

/// What somebody gets by an operation.
pub(crate) fn gain_of(operation: &Operation) -> Gain {
    match operation {
        Operation::Transfer { token, amount, .. } if *token == NATIVE_TOKEN => Gain::Coin(*amount),
        Operation::Transfer { token, to, .. }
        | Operation::TransferFrom { token, to, .. }
        | Operation::Mint { token, to, .. } => Gain::Tokens {
            token: *token,
            receiver: *to,
        },
        Operation::TransferWithAuthorization { token, authorization } => Gain::Tokens {
            token: *token,
            receiver: authorization.to,
        },
        Operation::Permit { .. } | Operation::Approve { .. } | Operation::IssueToken { .. } => Gain::Nothing,
    }
}

/// Whether the function of an operation says by its result whether it was done.
pub(crate) fn returns_success(operation: &Operation) -> bool {
    match operation {
        Operation::Transfer { token, .. } => *token != NATIVE_TOKEN,
        Operation::TransferFrom { .. } | Operation::Approve { .. } => true,
        _ => false,
    }
}

/// What an account got of a token by the events of a transaction.
pub(crate) fn received(logs: &[Log], token: Address, receiver: Address) -> U256 {
    logs.iter()
        .filter(|log| log.address == token)
        .filter_map(|log| {
            Token::Transfer::decode_raw_log_validate(log.topics.iter().copied(), &log.data).ok()
        })
        .filter(|transfer| transfer.to == receiver)
        .fold(U256::ZERO, |sum, transfer| sum.saturating_add(transfer.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(token: Address, to: Address, value: U256) -> Log {
        let event = Token::Transfer {
            from: Address::repeat_byte(1),
            to,
            value,
        };
        let data = event.encode_log_data();
        Log {
            address: token,
            topics: data.topics().to_vec(),
            data: data.data,
            transaction_hash: None,
        }
    }

    #[test]
    fn only_the_tokens_own_transfers_to_the_receiver_count() {
        let (token, receiver, other) = (
            Address::repeat_byte(7),
            Address::repeat_byte(8),
            Address::repeat_byte(9),
        );
        let logs = [
            transfer(token, receiver, U256::from(5)),
            transfer(token, other, U256::from(100)),
            transfer(other, receiver, U256::from(1000)),
            transfer(token, receiver, U256::from(2)),
        ];
        assert_eq!(received(&logs, token, receiver), U256::from(7));
    }

    #[test]
    fn no_event_makes_the_sum_overflow() {
        let (token, receiver) = (Address::repeat_byte(7), Address::repeat_byte(8));
        let logs = [
            transfer(token, receiver, U256::MAX),
            transfer(token, receiver, U256::MAX),
        ];
        assert_eq!(received(&logs, token, receiver), U256::MAX);
    }

    #[test]
    fn events_of_another_shape_are_no_transfers() {
        let (token, receiver) = (Address::repeat_byte(7), Address::repeat_byte(8));
        let good = transfer(token, receiver, U256::from(5));
        let short = Log {
            data: Bytes::from_static(&[1; 31]),
            ..good.clone()
        };
        let unindexed = Log {
            topics: good.topics[..1].to_vec(),
            ..good
        };
        assert_eq!(received(&[short, unindexed], token, receiver), U256::ZERO);
    }
}

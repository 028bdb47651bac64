//! ethers-rs as the backend.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use dm_core::{
    operation::Operation,
    ports::{AnchorHead, AnchorRequest, ChainError, Signer},
    token::NATIVE_TOKEN,
};
use ethers_core::{
    abi::{ParamType, Token, decode, encode},
    types::{
        Bytes as EthersBytes, Eip1559TransactionRequest, H160, H256, NameOrAddress, Signature,
        TransactionRequest, U256 as Number, transaction::eip2718::TypedTransaction,
    },
};

use super::{AnchorQuestion, AnchorTarget, Anchored, EvmBackend, TokenQuestion, erc20::NodeToken};
use crate::{
    tx::{Fees, SigningJob, Version},
    wire::Log,
};

/// The client over ethers-rs.
pub(crate) struct EthersBackend;

impl EvmBackend for EthersBackend {
    fn sign(&self, job: &SigningJob, chain_id: u64, signer: &dyn Signer) -> Result<Version, ChainError> {
        let call = &job.draft.call;
        let to = call.to.map(|to| NameOrAddress::Address(H160(to.0.0)));
        let (value, data) = (
            Some(number(call.value)),
            Some(EthersBytes::from(call.input.to_vec())),
        );
        let (nonce, gas) = (Some(job.nonce.into()), Some(job.draft.gas_limit.into()));
        let transaction: TypedTransaction = match job.fees {
            Fees::Dynamic { max_fee, tip } => Eip1559TransactionRequest {
                to,
                value,
                data,
                nonce,
                gas,
                max_fee_per_gas: Some(max_fee.into()),
                max_priority_fee_per_gas: Some(tip.into()),
                chain_id: Some(chain_id.into()),
                ..Default::default()
            }
            .into(),
            Fees::Legacy { gas_price } => TransactionRequest {
                to,
                value,
                data,
                nonce,
                gas,
                gas_price: Some(gas_price.into()),
                chain_id: Some(chain_id.into()),
                ..Default::default()
            }
            .into(),
        };
        let signature = signer
            .sign_hash(&B256::from(transaction.sighash().0))
            .map_err(|error| ChainError::Refused(error.to_string()))?;
        let signature = Signature {
            r: number(signature.r()),
            s: number(signature.s()),
            v: u64::from(signature.v()) + 35 + 2 * chain_id,
        };
        let bytes = Bytes::from(transaction.rlp_signed(&signature).to_vec());
        Ok(Version {
            hash: keccak256(&bytes),
            bytes,
            fees: job.fees,
        })
    }

    fn token_question(&self, question: TokenQuestion) -> Bytes {
        match question {
            TokenQuestion::Name => input("name()", &[]),
            TokenQuestion::Symbol => input("symbol()", &[]),
            TokenQuestion::Decimals => input("decimals()", &[]),
            TokenQuestion::Owner => input("owner()", &[]),
            TokenQuestion::TotalSupply => input("totalSupply()", &[]),
            TokenQuestion::BalanceOf(account) => input("balanceOf(address)", &[address(account)]),
            TokenQuestion::Allowance { owner, spender } => {
                input("allowance(address,address)", &[address(owner), address(spender)])
            }
        }
    }

    fn operation_input(&self, operation: &Operation) -> Bytes {
        match operation {
            Operation::Transfer { token, .. } if *token == NATIVE_TOKEN => Bytes::new(),
            Operation::Transfer { to, amount, .. } => {
                input("transfer(address,uint256)", &[address(*to), uint(*amount)])
            }
            Operation::TransferFrom { from, to, amount, .. } => input(
                "transferFrom(address,address,uint256)",
                &[address(*from), address(*to), uint(*amount)],
            ),
            Operation::Permit { permit, .. } => input(
                "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
                &[
                    address(permit.owner),
                    address(permit.spender),
                    uint(permit.value),
                    uint(permit.deadline),
                    small(u64::from(permit.signature.v)),
                    word(permit.signature.r),
                    word(permit.signature.s),
                ],
            ),
            Operation::TransferWithAuthorization { authorization, .. } => input(
                "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
                &[
                    address(authorization.from),
                    address(authorization.to),
                    uint(authorization.value),
                    uint(authorization.valid_after),
                    uint(authorization.valid_before),
                    word(authorization.nonce),
                    small(u64::from(authorization.signature.v)),
                    word(authorization.signature.r),
                    word(authorization.signature.s),
                ],
            ),
            Operation::Approve { spender, amount, .. } => {
                input("approve(address,uint256)", &[address(*spender), uint(*amount)])
            }
            Operation::IssueToken {
                name,
                symbol,
                decimals,
                initial_supply,
            } => {
                let arguments = [
                    Token::String(name.clone()),
                    Token::String(symbol.clone()),
                    small(u64::from(*decimals)),
                    uint(*initial_supply),
                ];
                [&NodeToken::BYTECODE[..], &encode(&arguments)].concat().into()
            }
            Operation::Mint { to, amount, .. } => {
                input("mint(address,uint256)", &[address(*to), uint(*amount)])
            }
        }
    }

    fn transfer(&self, log: &Log) -> Option<(Address, U256)> {
        let [signature, _, to] = log.topics[..] else {
            return None;
        };
        let is_transfer = signature == keccak256("Transfer(address,address,uint256)");
        let value = values(&[ParamType::Uint(256)], &log.data)?.pop()?.into_uint()?;
        is_transfer.then(|| (Address::from_word(to), from_number(value)))
    }

    fn anchor(&self, request: &AnchorRequest, target: AnchorTarget) -> Bytes {
        let previous = request.previous.map_or(B256::ZERO, |previous| previous.root);
        let checkpoint = [
            word(previous),
            small(request.next.size),
            word(request.next.root),
            words(&request.consistency_proof),
        ];
        match target {
            AnchorTarget::OwnLog => input("anchor(bytes32,uint64,bytes32,bytes32[])", &checkpoint),
            AnchorTarget::LogOf(log) => input(
                "anchorFor(address,bytes32,uint64,bytes32,bytes32[])",
                &[&[address(log)], checkpoint.as_slice()].concat(),
            ),
        }
    }

    fn hand_over(&self, log: Address, to: Address) -> Bytes {
        input("handOver(address,address)", &[address(log), address(to)])
    }

    fn anchor_question(&self, question: &AnchorQuestion<'_>) -> Bytes {
        match *question {
            AnchorQuestion::Head(log) => input("head(address)", &[address(log)]),
            AnchorQuestion::Controller(log) => input("keeper(address)", &[address(log)]),
            AnchorQuestion::Holds(log, checkpoint, head) => input(
                "holds(address,uint64,bytes32,uint64,uint64)",
                &[
                    address(log),
                    small(checkpoint.size),
                    word(checkpoint.root),
                    small(head.block),
                    small(head.timestamp),
                ],
            ),
            AnchorQuestion::Proves(receipt, leaf_hash) => input(
                "proves(address,uint64,bytes32,uint64,uint64,bytes32,uint64,bytes32[])",
                &[
                    address(receipt.event.log),
                    small(receipt.checkpoint.size),
                    word(receipt.checkpoint.root),
                    small(receipt.anchor.block),
                    small(receipt.anchor.timestamp),
                    word(leaf_hash),
                    small(receipt.leaf_index),
                    words(&receipt.inclusion_proof),
                ],
            ),
        }
    }

    fn decode_head(&self, answer: &[u8]) -> Option<AnchorHead> {
        let numbers = small_numbers::<3>(answer)?;
        let [size, block, timestamp] = numbers;
        Some(AnchorHead {
            size,
            block,
            timestamp,
        })
    }

    fn decode_controller(&self, answer: &[u8]) -> Option<Address> {
        let controller = values(&[ParamType::Address], answer)?.pop()?.into_address()?;
        Some(Address::from(controller.0))
    }

    fn decode_bool(&self, answer: &[u8]) -> Option<bool> {
        values(&[ParamType::Bool], answer)?.pop()?.into_bool()
    }

    fn anchored(&self, log: &Log) -> Option<Anchored> {
        let [signature, owner, size] = log.topics[..] else {
            return None;
        };
        let [block, timestamp] = small_numbers::<2>(log.data.get(32..)?)?;
        let is_anchored = signature == keccak256("Anchored(address,uint64,bytes32,uint64,uint64)");
        is_anchored.then_some(Anchored {
            log: Address::from_word(owner),
            head: AnchorHead {
                size: U256::from_be_bytes(size.0).try_into().ok()?,
                block,
                timestamp,
            },
        })
    }
}

/// Selector and arguments of a function.
fn input(signature: &str, arguments: &[Token]) -> Bytes {
    let selector = &keccak256(signature)[..4];
    [selector, &encode(arguments)].concat().into()
}

/// What ABI-encoded bytes are, where they are exactly that.
fn values(types: &[ParamType], bytes: &[u8]) -> Option<Vec<Token>> {
    let values = decode(types, bytes).ok()?;
    (encode(&values) == bytes).then_some(values)
}

fn small_numbers<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let numbers = values(&[const { ParamType::Uint(64) }; N], bytes)?
        .into_iter()
        .map(|value| {
            let number = value.into_uint()?;
            u64::try_from(number).ok()
        });
    numbers.collect::<Option<Vec<_>>>()?.try_into().ok()
}

fn number(value: U256) -> Number {
    Number::from_big_endian(&value.to_be_bytes::<32>())
}

fn from_number(value: Number) -> U256 {
    U256::from_limbs(value.0)
}

fn uint(value: U256) -> Token {
    Token::Uint(number(value))
}

fn small(value: u64) -> Token {
    Token::Uint(value.into())
}

fn address(value: Address) -> Token {
    Token::Address(H160(value.0.0))
}

fn word(value: B256) -> Token {
    Token::FixedBytes(H256(value.0).as_bytes().to_vec())
}

fn words(values: &[B256]) -> Token {
    Token::Array(values.iter().map(|value| word(*value)).collect())
}

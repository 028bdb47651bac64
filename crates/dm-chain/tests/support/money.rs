//! Money for the tests of the client.

use std::time::Duration;

use alloy::{
    primitives::{Address, B256, Bytes, U256, hex},
    sol_types::{Eip712Domain, SolStruct, eip712_domain},
};
use dm_chain::EvmClient;
use dm_core::{
    operation::{Operation, OperationId, Permit, SignatureParts, TransferAuthorization},
    ports::{ChainError, MinedOperation, OperationState, Operations, Signer},
};
use dm_testing::signer::TestSigner;
use serde_json::{Value, json};

use super::{CHAIN_ID, TestChain};

/// Longest wait for a block.
pub const PATIENCE: Duration = Duration::from_secs(60);

alloy::sol! {
    struct PermitStatement {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }
    struct TransferStatement {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// Begins an operation and waits until it is mined.
pub async fn done(client: &EvmClient, operation: &Operation) -> Result<MinedOperation, ChainError> {
    let id = OperationId::random();
    client.begin(id, operation).await?;
    Ok(mined(client, id).await)
}

/// Waits until an operation is mined.
pub async fn mined(client: &EvmClient, id: OperationId) -> MinedOperation {
    match client.wait(id, PATIENCE).await.unwrap() {
        Some(OperationState::Mined(mined)) => mined,
        other => panic!("not mined: {other:?}"),
    }
}

/// A payment from the client's account.
pub fn pay(token: Address, to: Address, amount: u64) -> Operation {
    Operation::Transfer {
        token,
        to,
        amount: U256::from(amount),
    }
}

/// Issues a token of a million.
pub async fn issue(client: &EvmClient) -> Address {
    let issue = Operation::IssueToken {
        name: "Data credit".to_owned(),
        symbol: "DATA".to_owned(),
        decimals: 6,
        initial_supply: U256::from(1_000_000),
    };
    done(client, &issue).await.unwrap().contract.unwrap()
}

/// The code of one of the contracts that only tests use.
pub fn code_of(contract: &str) -> Bytes {
    let path = format!(
        "{}/contracts/artifacts/test/{contract}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let artifact: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    hex::decode(artifact["bytecode"].as_str().unwrap())
        .unwrap()
        .into()
}

/// Deploys one of the contracts that only tests use, for the test account `n`,
/// whom everything in it belongs to.
pub async fn deploy(chain: &TestChain, n: u8, contract: &str) -> Address {
    let signer = TestSigner::new(n);
    let from = signer.address();
    let nonce: alloy::primitives::U64 = serde_json::from_value(
        chain
            .ask("eth_getTransactionCount", json!([from, "pending"]))
            .await,
    )
    .unwrap();
    let transaction = alloy::consensus::TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce: nonce.to(),
        gas_price: 100_000_000_000,
        gas_limit: 3_000_000,
        to: alloy::primitives::TxKind::Create,
        value: U256::ZERO,
        input: code_of(contract),
    };
    let hash = chain.send_signed(&signer, transaction).await;
    while chain
        .ask("eth_getTransactionReceipt", json!([hash]))
        .await
        .is_null()
    {
        tokio::task::yield_now().await;
    }
    from.create(nonce.to())
}

/// What a permit or authorisation is good for.
pub fn domain(token: Address, chain_id: u64) -> Eip712Domain {
    eip712_domain! {
        name: "Data credit",
        version: "1",
        chain_id: chain_id,
        verifying_contract: token,
    }
}

/// A permit of the test account `n`, whose first it is.
pub fn permit(n: u8, spender: Address, value: u64, deadline: u64, domain: &Eip712Domain) -> Permit {
    let owner = TestSigner::new(n).address();
    let statement = PermitStatement {
        owner,
        spender,
        value: U256::from(value),
        nonce: U256::ZERO,
        deadline: U256::from(deadline),
    };
    Permit {
        owner,
        spender,
        value: statement.value,
        deadline: statement.deadline,
        signature: signed_as(n, "Permit", &statement, domain),
    }
}

/// An authorisation of the test account `n`.
pub fn authorization(
    n: u8,
    to: Address,
    value: u64,
    valid_before: u64,
    domain: &Eip712Domain,
) -> TransferAuthorization {
    let statement = TransferStatement {
        from: TestSigner::new(n).address(),
        to,
        value: U256::from(value),
        validAfter: U256::ZERO,
        validBefore: U256::from(valid_before),
        nonce: B256::random(),
    };
    TransferAuthorization {
        from: statement.from,
        to,
        value: statement.value,
        valid_after: statement.validAfter,
        valid_before: statement.validBefore,
        nonce: statement.nonce,
        signature: signed_as(n, "TransferWithAuthorization", &statement, domain),
    }
}

/// Signs under the name that the standard has for the statement.
fn signed_as<S: SolStruct>(n: u8, name: &str, statement: &S, domain: &Eip712Domain) -> SignatureParts {
    let type_text = S::eip712_encode_type().replacen(S::NAME, name, 1);
    let mut content = alloy::primitives::keccak256(type_text).to_vec();
    content.extend(statement.eip712_encode_data());
    let mut bytes = vec![0x19, 0x01];
    bytes.extend(domain.hash_struct());
    bytes.extend(alloy::primitives::keccak256(content));
    let signature = TestSigner::new(n)
        .sign_hash(&alloy::primitives::keccak256(bytes))
        .unwrap();
    SignatureParts {
        v: 27 + u8::from(signature.v()),
        r: B256::from(signature.r()),
        s: B256::from(signature.s()),
    }
}

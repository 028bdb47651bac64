//! Tokens as they are met on real chains, each odd in one way.

use alloy::primitives::{Address, U256};
use dm_chain::EvmClient;
use dm_core::{
    operation::Operation,
    ports::{ChainError, Operations, TokenError, Tokens},
};

use crate::support::{
    TestChain, account,
    money::{deploy, done, pay},
};

const SUPPLY: u128 = 10u128.pow(24);

/// Runs a test on the embedded chain, and on anvil where there is one.
async fn on_each<F: AsyncFn(&TestChain, &EvmClient)>(test: F) {
    let mut chains = vec![TestChain::embedded().await];
    chains.extend(TestChain::anvil(&[]).await);
    for chain in chains {
        let client = chain.client(0);
        test(&chain, &client).await;
    }
}

fn reverted(result: Result<(), ChainError>) -> String {
    match result {
        Err(ChainError::Reverted(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

fn not_erc20<T>(result: &Result<T, TokenError>) -> bool {
    matches!(result, Err(TokenError::NotErc20 { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_returns_nothing_is_paid_with() {
    on_each(async |chain, client| {
        let token = deploy(chain, 0, "SilentToken").await;
        let mined = done(client, &pay(token, account(5), 70)).await.unwrap();
        assert_eq!((mined.succeeded, mined.received), (true, U256::from(70)));
        let approve = Operation::Approve {
            token,
            spender: account(1),
            amount: U256::from(9),
        };
        assert!(done(client, &approve).await.unwrap().succeeded);
        let allowed = client.allowance(token, account(0), account(1)).await;
        assert_eq!(allowed, Ok(U256::from(9)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_32_bytes_are_read() {
    on_each(async |chain, client| {
        let token = deploy(chain, 0, "Bytes32Token").await;
        let info = client.describe(token).await.unwrap();
        assert_eq!((&*info.symbol, &*info.name, info.decimals), ("MKR", "Maker", 18));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_keeps_as_its_fee_was_not_received() {
    on_each(async |chain, client| {
        let token = deploy(chain, 0, "FeeToken").await;
        let mined = done(client, &pay(token, account(5), 1000)).await.unwrap();
        assert_eq!(mined.received, U256::from(990));
        let balance = client.balance_of(token, account(5)).await;
        assert_eq!(balance, Ok(U256::from(990)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_passed_on_with_its_reason_and_one_without_is_one_too() {
    on_each(async |chain, client| {
        let refusing = deploy(chain, 0, "RefusingToken").await;
        let reason = reverted(client.check(&pay(refusing, account(5), 1)).await);
        assert_eq!(reason, "transfers are paused");
        let mute = deploy(chain, 0, "MuteToken").await;
        reverted(client.check(&pay(mute, account(5), 1)).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_returns_false_is_not_paid_with() {
    on_each(async |chain, client| {
        let token = deploy(chain, 0, "FalseToken").await;
        reverted(client.check(&pay(token, account(5), 1)).await);
        let take = Operation::TransferFrom {
            token,
            from: account(0),
            to: account(5),
            amount: U256::ONE,
        };
        reverted(client.check(&take).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_yes_and_moves_nothing_gives_nothing() {
    on_each(async |chain, client| {
        let token = deploy(chain, 0, "LyingToken").await;
        let mined = done(client, &pay(token, account(5), 70)).await.unwrap();
        assert_eq!((mined.succeeded, mined.received), (true, U256::ZERO));
        let token = deploy(chain, 0, "BoastingToken").await;
        let mined = done(client, &pay(token, account(5), 70)).await.unwrap();
        assert_eq!(mined.received, U256::MAX);
        assert_eq!(client.balance_of(token, account(5)).await, Ok(U256::ZERO));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decimals_that_there_cannot_be_are_none() {
    on_each(async |chain, client| {
        let token = deploy(chain, 0, "ManyDecimalsToken").await;
        assert_eq!(client.describe(token).await.unwrap().decimals, 0);
        let token = deploy(chain, 0, "NamelessToken").await;
        let info = client.describe(token).await.unwrap();
        assert_eq!(info.decimals, 0);
        assert!(token.to_string().starts_with(&info.symbol) && !info.symbol.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_without_end_are_cut() {
    on_each(async |chain, client| {
        let token = deploy(chain, 0, "LongNameToken").await;
        let info = client.describe(token).await.unwrap();
        for text in [&info.name, &info.symbol] {
            assert!(
                text.chars().count() <= 64 && !text.chars().any(char::is_control),
                "{text:?}"
            );
        }
        for contract in ["EndlessNameToken", "GarbledNameToken"] {
            let token = deploy(chain, 0, contract).await;
            let info = client.describe(token).await.unwrap();
            assert!(!info.symbol.is_empty());
            assert_eq!(client.balance_of(token, account(0)).await, Ok(U256::from(SUPPLY)));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_told_apart() {
    on_each(async |chain, client| {
        for contract in ["Hole", "Counter"] {
            let address = deploy(chain, 0, contract).await;
            assert!(not_erc20(&client.describe(address).await));
            assert!(not_erc20(&client.balance_of(address, account(0)).await));
        }
        for address in [account(3), Address::with_last_byte(2), Address::ZERO] {
            let described = client.describe(address).await;
            assert_eq!(described, Err(TokenError::NoContract(address)));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_paid_to_a_token_that_is_not_there() {
    on_each(async |_, client| {
        reverted(client.check(&pay(account(3), account(5), 1)).await);
        let mint = Operation::Mint {
            token: account(3),
            to: account(5),
            amount: U256::ONE,
        };
        reverted(client.check(&mint).await);
    })
    .await;
}

//! Permits (EIP-2612) and authorisations (EIP-3009): good for what was signed,
//! once, in time, and for nothing else.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, U256};
use dm_chain::EvmClient;
use dm_core::{
    operation::{Operation, Permit, TransferAuthorization},
    ports::{ChainError, Operations, Tokens},
};

use crate::support::{
    CHAIN_ID, TestChain, account,
    money::{authorization, deploy, domain, done, issue, pay, permit},
};

/// Runs a test on the embedded chain, and on anvil where there is one. The client
/// is that of account 0; account 1 has a thousand of the token.
async fn on_each<F: AsyncFn(&TestChain, &EvmClient, Address)>(test: F) {
    let mut chains = vec![TestChain::embedded().await];
    chains.extend(TestChain::anvil(&[]).await);
    for chain in chains {
        let client = chain.client(0);
        let token = issue(&client).await;
        done(&client, &pay(token, account(1), 1000)).await.unwrap();
        test(&chain, &client, token).await;
    }
}

fn in_an_hour() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() + 3600
}

async fn refused(client: &EvmClient, operation: &Operation, words: &str) {
    match client.check(operation).await {
        Err(ChainError::Reverted(reason)) => assert!(reason.contains(words), "{reason}"),
        other => panic!("{other:?}"),
    }
}

fn hand_in(token: Address, permit: &Permit) -> Operation {
    Operation::Permit {
        token,
        permit: permit.clone(),
    }
}

fn carry_out(token: Address, authorization: &TransferAuthorization) -> Operation {
    Operation::TransferWithAuthorization {
        token,
        authorization: authorization.clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_allows_what_it_says_once() {
    on_each(async |_, client, token| {
        let permit = permit(1, account(0), 60, in_an_hour(), &domain(token, CHAIN_ID));
        assert!(done(client, &hand_in(token, &permit)).await.unwrap().succeeded);
        let take = Operation::TransferFrom {
            token,
            from: account(1),
            to: account(0),
            amount: U256::from(60),
        };
        assert_eq!(done(client, &take).await.unwrap().received, U256::from(60));
        refused(client, &take, "60 are needed").await;
        refused(client, &hand_in(token, &permit), "used before").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_is_good_for_nothing_else() {
    on_each(async |_, client, token| {
        let here = domain(token, CHAIN_ID);
        let expired = permit(1, account(0), 60, 1, &here);
        refused(client, &hand_in(token, &expired), "expired").await;
        let elsewhere = permit(1, account(0), 60, in_an_hour(), &domain(token, 5));
        refused(client, &hand_in(token, &elsewhere), "another spender").await;
        let mut changed = permit(1, account(2), 60, in_an_hour(), &here);
        changed.spender = account(0);
        refused(client, &hand_in(token, &changed), "another spender").await;
        let mut broken = permit(1, account(0), 60, in_an_hour(), &here);
        broken.signature.v = 99;
        refused(client, &hand_in(token, &broken), "signature is none").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_somebody_else_handed_in_has_done_its_work() {
    on_each(async |chain, client, token| {
        let permit = permit(1, account(0), 60, in_an_hour(), &domain(token, CHAIN_ID));
        let other = chain.client(2);
        done(&other, &hand_in(token, &permit)).await.unwrap();
        refused(client, &hand_in(token, &permit), "used before").await;
        let allowed = client.allowance(token, account(1), account(0)).await;
        assert_eq!(allowed, Ok(U256::from(60)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorisation_pays_what_it_says_once() {
    on_each(async |_, client, token| {
        let authorization = authorization(1, account(4), 60, in_an_hour(), &domain(token, CHAIN_ID));
        let operation = carry_out(token, &authorization);
        assert_eq!(done(client, &operation).await.unwrap().received, U256::from(60));
        assert_eq!(client.balance_of(token, account(1)).await, Ok(U256::from(940)));
        refused(client, &operation, "used").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorisation_is_good_for_nothing_else() {
    on_each(async |_, client, token| {
        let here = domain(token, CHAIN_ID);
        let expired = authorization(1, account(4), 60, 1, &here);
        refused(client, &carry_out(token, &expired), "alone").await;
        let elsewhere = authorization(1, account(4), 60, in_an_hour(), &domain(token, 5));
        refused(client, &carry_out(token, &elsewhere), "another transfer").await;
        let mut more = authorization(1, account(4), 60, in_an_hour(), &here);
        more.value = U256::from(61);
        refused(client, &carry_out(token, &more), "another transfer").await;
        let too_much = authorization(1, account(4), 1001, in_an_hour(), &here);
        refused(client, &carry_out(token, &too_much), "has 1000, 1001 are needed").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_permits_refuses_them() {
    on_each(async |chain, client, _| {
        let token = deploy(chain, 1, "PlainToken").await;
        let permit = permit(1, account(0), 60, in_an_hour(), &domain(token, CHAIN_ID));
        refused(client, &hand_in(token, &permit), "").await;
    })
    .await;
}

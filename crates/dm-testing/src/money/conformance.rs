//! What every adapter of [`Tokens`] and [`Operations`] promises.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, U256};
use dm_core::{
    operation::{Operation, OperationId},
    ports::{ChainError, MinedOperation, OperationState, Operations, TokenError, Tokens},
    token::{NATIVE_TOKEN, TokenKind},
};
use futures::future::{BoxFuture, join_all};

/// Longest wait for a block.
const PATIENCE: Duration = Duration::from_secs(30);
/// What each issued token has at first.
const SUPPLY: u64 = 1_000_000;

/// Makes another client of the same account, as a restart of the node does.
pub type Restart = Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn Operations>> + Send + Sync>;

/// A chain under test. Blocks come by themselves.
pub struct MoneyFixture {
    /// The adapter that reads tokens.
    pub tokens: Arc<dyn Tokens>,
    /// The adapter for an account that has some of the chain's coin.
    pub operations: Arc<dyn Operations>,
    /// The same for another account.
    pub other: Arc<dyn Operations>,
    /// Makes the adapter of `operations` anew over what is durable of it.
    pub restart: Restart,
    /// What must live as long as the test, such as a process.
    pub guard: Box<dyn std::any::Any + Send + Sync>,
}

/// Generates one test for each promise of [`Tokens`] and [`Operations`].
/// `$make` is an `async fn() -> Option<MoneyFixture>`; where it returns `None`
/// the promise is not tested.
#[macro_export]
macro_rules! money_conformance {
    ($make:path) => {
        $crate::money_conformance!(@tests $make,
            an_issued_token_is_described_and_belongs_to_its_issuer
            where_no_token_is_nothing_is_read
            coins_and_tokens_are_moved
            what_was_allowed_can_be_taken_and_no_more
            only_the_issuer_mints
            an_operation_begun_twice_is_done_once
            an_operation_survives_a_restart_and_is_done_once
            a_hundred_operations_at_once_are_all_done
            what_would_be_undone_is_not_begun
            an_operation_is_begun_by_no_account_but_those_of_the_node
            unknown_operations_have_no_state
            a_concluded_operation_is_forgotten_only_when_it_is_final
        );
    };
    (@tests $make:path, $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                if let Some(fixture) = $make().await {
                    $crate::money::$promise(&fixture).await;
                }
            }
        )*
    };
}

async fn mined(operations: &dyn Operations, id: OperationId) -> MinedOperation {
    match operations.wait(id, PATIENCE).await.unwrap() {
        Some(OperationState::Mined(mined)) => mined,
        other => panic!("not mined: {other:?}"),
    }
}

/// Does an operation and expects that it succeeds.
async fn done(operations: &dyn Operations, operation: Operation) -> MinedOperation {
    let id = OperationId::random();
    operations.begin(id, &operation).await.unwrap();
    let mined = mined(operations, id).await;
    assert!(mined.succeeded, "{operation:?}");
    mined
}

async fn issued(operations: &dyn Operations) -> Address {
    let issue = Operation::IssueToken {
        name: "Data credit".to_owned(),
        symbol: "DATA".to_owned(),
        decimals: 6,
        initial_supply: U256::from(SUPPLY),
    };
    done(operations, issue).await.contract.unwrap()
}

async fn assert_balance(fixture: &MoneyFixture, token: Address, account: Address, amount: u64) {
    let balance = fixture.tokens.balance_of(token, account).await;
    assert_eq!(balance, Ok(U256::from(amount)));
}

fn pay(token: Address, to: Address, amount: u64) -> Operation {
    Operation::Transfer {
        token,
        to,
        amount: U256::from(amount),
    }
}

/// Name, symbol, decimals and supply are those that were asked for.
pub async fn an_issued_token_is_described_and_belongs_to_its_issuer(fixture: &MoneyFixture) {
    let token = issued(&*fixture.operations).await;
    let info = fixture.tokens.describe(token).await.unwrap();
    assert_eq!(
        (info.address, info.kind, &*info.symbol, &*info.name, info.decimals),
        (token, TokenKind::Erc20, "DATA", "Data credit", 6)
    );
    assert_balance(fixture, token, fixture.operations.operator(), SUPPLY).await;
}

/// An address without a contract is told apart from a token.
pub async fn where_no_token_is_nothing_is_read(fixture: &MoneyFixture) {
    let nobody = Address::from(rand::random::<[u8; 20]>());
    let described = fixture.tokens.describe(nobody).await;
    assert_eq!(described, Err(TokenError::NoContract(nobody)));
    let balance = fixture.tokens.balance_of(nobody, nobody).await;
    assert_eq!(balance, Err(TokenError::NoContract(nobody)));
}

/// What is received is said, for coins and for tokens.
pub async fn coins_and_tokens_are_moved(fixture: &MoneyFixture) {
    let to = Address::from(rand::random::<[u8; 20]>());
    let coins = done(&*fixture.operations, pay(NATIVE_TOKEN, to, 7)).await;
    assert_eq!(coins.received, U256::from(7));
    let token = issued(&*fixture.operations).await;
    let tokens = done(&*fixture.operations, pay(token, to, 9)).await;
    assert_eq!(tokens.received, U256::from(9));
    assert_balance(fixture, token, to, 9).await;
}

/// An allowance is read, used up, and not exceeded.
pub async fn what_was_allowed_can_be_taken_and_no_more(fixture: &MoneyFixture) {
    let (payer, taker) = (fixture.other.operator(), fixture.operations.operator());
    let token = issued(&*fixture.other).await;
    let approve = Operation::Approve {
        token,
        spender: taker,
        amount: U256::from(100),
    };
    done(&*fixture.other, approve).await;
    let take = |amount: u64| Operation::TransferFrom {
        token,
        from: payer,
        to: taker,
        amount: U256::from(amount),
    };
    assert_eq!(
        done(&*fixture.operations, take(60)).await.received,
        U256::from(60)
    );
    let left = fixture.tokens.allowance(token, payer, taker).await;
    assert_eq!(left, Ok(U256::from(40)));
    let refused = fixture.operations.begin(OperationId::random(), &take(41)).await;
    assert!(matches!(refused, Err(ChainError::Reverted(_))), "{refused:?}");
    assert_balance(fixture, token, taker, 60).await;
}

/// Nobody but the issuer makes more of a token.
pub async fn only_the_issuer_mints(fixture: &MoneyFixture) {
    let token = issued(&*fixture.operations).await;
    let to = Address::from(rand::random::<[u8; 20]>());
    let mint = Operation::Mint {
        token,
        to,
        amount: U256::from(5),
    };
    let refused = fixture.other.check(&mint).await;
    assert!(matches!(refused, Err(ChainError::Reverted(_))), "{refused:?}");
    assert_eq!(done(&*fixture.operations, mint).await.received, U256::from(5));
    assert_balance(fixture, token, to, 5).await;
}

/// Whoever asks again under the same name gets what was begun first.
pub async fn an_operation_begun_twice_is_done_once(fixture: &MoneyFixture) {
    let token = issued(&*fixture.operations).await;
    let to = Address::from(rand::random::<[u8; 20]>());
    let id = OperationId::random();
    let operation = pay(token, to, 3);
    let beginnings = (0..8).map(|_| fixture.operations.begin(id, &operation));
    let hashes: Vec<_> = join_all(beginnings)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    mined(&*fixture.operations, id).await;
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    let again = fixture.operations.begin(id, &operation).await;
    assert_eq!(again, Ok(hashes[0]));
    done(&*fixture.operations, pay(token, to, 1)).await;
    assert_balance(fixture, token, to, 4).await;
}

/// What was begun before a restart is known and not done again after it.
pub async fn an_operation_survives_a_restart_and_is_done_once(fixture: &MoneyFixture) {
    let token = issued(&*fixture.operations).await;
    let to = Address::from(rand::random::<[u8; 20]>());
    let ids: Vec<_> = (0..5).map(|_| OperationId::random()).collect();
    for id in &ids {
        fixture.operations.begin(*id, &pay(token, to, 2)).await.unwrap();
    }
    let restarted = (fixture.restart)().await;
    for id in &ids {
        restarted.begin(*id, &pay(token, to, 2)).await.unwrap();
        assert!(mined(&*restarted, *id).await.succeeded);
    }
    assert_balance(fixture, token, to, 10).await;
}

/// None is lost, none is done twice.
pub async fn a_hundred_operations_at_once_are_all_done(fixture: &MoneyFixture) {
    let token = issued(&*fixture.operations).await;
    let to = Address::from(rand::random::<[u8; 20]>());
    let payments = (0..100).map(|_| done(&*fixture.operations, pay(token, to, 1)));
    let mut hashes: Vec<_> = join_all(payments)
        .await
        .into_iter()
        .map(|mined| mined.tx_hash)
        .collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 100);
    assert_balance(fixture, token, to, 100).await;
}

/// After an error nothing has been begun.
pub async fn what_would_be_undone_is_not_begun(fixture: &MoneyFixture) {
    let token = issued(&*fixture.operations).await;
    let to = Address::from(rand::random::<[u8; 20]>());
    let id = OperationId::random();
    let too_much = pay(token, to, SUPPLY + 1);
    let checked = fixture.operations.check(&too_much).await;
    assert!(matches!(checked, Err(ChainError::Reverted(_))), "{checked:?}");
    let begun = fixture.operations.begin(id, &too_much).await;
    assert!(matches!(begun, Err(ChainError::Reverted(_))), "{begun:?}");
    assert_eq!(fixture.operations.state(id).await, Ok(None));
    assert_balance(fixture, token, to, 0).await;
}

/// The operator account can be named; a stranger cannot act.
pub async fn an_operation_is_begun_by_no_account_but_those_of_the_node(fixture: &MoneyFixture) {
    let (own, stranger) = (fixture.operations.operator(), fixture.other.operator());
    assert!(fixture.operations.can_act_as(own) && !fixture.operations.can_act_as(stranger));
    let to = Address::from(rand::random::<[u8; 20]>());
    let id = OperationId::random();
    let operation = pay(NATIVE_TOKEN, to, 1);
    let refused = fixture.operations.begin_as(stranger, id, &operation).await;
    assert!(matches!(refused, Err(ChainError::Refused(_))), "{refused:?}");
    assert_eq!(fixture.operations.state(id).await, Ok(None));
    fixture.operations.begin_as(own, id, &operation).await.unwrap();
    assert!(mined(&*fixture.operations, id).await.succeeded);
}

/// What nobody began has no state, and there is nothing to wait for.
pub async fn unknown_operations_have_no_state(fixture: &MoneyFixture) {
    let id = OperationId::random();
    assert_eq!(fixture.operations.state(id).await, Ok(None));
    assert_eq!(fixture.operations.wait(id, PATIENCE).await, Ok(None));
    assert_eq!(fixture.operations.conclude(id).await, Ok(()));
}

/// Concluding never forgets what a reorganisation may still take back.
pub async fn a_concluded_operation_is_forgotten_only_when_it_is_final(fixture: &MoneyFixture) {
    let to = Address::from(rand::random::<[u8; 20]>());
    let id = OperationId::random();
    fixture
        .operations
        .begin(id, &pay(NATIVE_TOKEN, to, 1))
        .await
        .unwrap();
    mined(&*fixture.operations, id).await;
    fixture.operations.conclude(id).await.unwrap();
    match fixture.operations.state(id).await.unwrap() {
        None => {}
        Some(OperationState::Mined(mined)) => assert!(!mined.is_final),
        Some(pending) => panic!("not mined any more: {pending:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::MemoryMoney;

    async fn make() -> Option<MoneyFixture> {
        let money = Arc::new(MemoryMoney::new());
        let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
        money.set_coins(one, U256::from(SUPPLY));
        let restarted = money.operations(one);
        Some(MoneyFixture {
            tokens: money.clone(),
            operations: money.operations(one),
            other: money.operations(two),
            restart: Arc::new(move || {
                let restarted: Arc<dyn Operations> = restarted.clone();
                Box::pin(async move { restarted })
            }),
            guard: Box::new(()),
        })
    }

    crate::money_conformance!(make);
}

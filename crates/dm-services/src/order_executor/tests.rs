//! A paid share through random histories: the chain refuses, undoes, takes back and is
//! away, the seller spends what it got and changes its account, and the node is killed at
//! any step. What the buyer has paid in the end is the price of the share, if it has it,
//! and nothing if it has not.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, U256};
use dm_core::{
    bus::EventBus,
    hash::DataHash,
    operation::{Operation, OperationId},
    order::{OrderState, Purpose, TokenRecord},
    payment::PaymentTerms,
    ports::{ChainError, Operations, OrderCatalog, ShareCatalog, TokenCatalog, Tokens},
    token::NATIVE_TOKEN,
};
use dm_testing::{
    catalog::{MemoryCatalog, samples},
    compliance::{MemoryComplianceLog, TestLedger},
    money::{Habit, MemoryMoney, MemoryOperations},
    mortal::{Fuse, Mortal},
};
use proptest::prelude::*;

use super::{MoneyConfig, MoneyPorts, OrderExecutor};
use crate::PaymentProcessor;

mod closing;
mod given_up;

const SELLER: Address = Address::repeat_byte(1);
const SUCCESSOR: Address = Address::repeat_byte(2);
const BUYER: Address = Address::repeat_byte(3);
const SINK: Address = Address::repeat_byte(4);
const SUPPLY: u64 = 1000;
const PRICE: u64 = 40;
/// Longer than any scenario.
const ENDLESS: i64 = i64::MAX;

#[derive(Debug, Clone)]
enum Step {
    /// The buyer asks for the share; the node dies after so many calls.
    Ask(i64),
    /// Payments without a share are given back.
    GiveBack(i64),
    /// The executor looks after its orders.
    LookAfter(i64),
    Retry(i64),
    End(i64),
    Mine,
    TakeBack,
    Finalise,
    /// The next operation is undone when it is mined.
    Undo,
    Refuse(Option<ChainError>),
    /// The chain takes operations, and refuses them for good.
    GiveUp(bool),
    BeAway(bool),
    FillStore(bool),
    Token(Habit),
    Spend,
    EarnBack,
    ChangeOperator,
}

fn fuse() -> impl Strategy<Value = i64> {
    prop_oneof![2 => Just(ENDLESS), 1 => 0..30_i64]
}

fn refusal() -> impl Strategy<Value = Option<ChainError>> {
    let lacks = ChainError::InsufficientFunds {
        account: SELLER,
        balance: U256::ZERO,
        needed: U256::ONE,
    };
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(ChainError::Refused("gas is too dear".to_owned()))),
        1 => Just(Some(ChainError::Reverted("paused".to_owned()))),
        1 => Just(Some(ChainError::Unavailable("a limit is reached".to_owned()))),
        1 => Just(Some(lacks)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => fuse().prop_map(Step::Ask),
        4 => fuse().prop_map(Step::GiveBack),
        4 => fuse().prop_map(Step::LookAfter),
        2 => fuse().prop_map(Step::Retry),
        1 => fuse().prop_map(Step::End),
        4 => Just(Step::Mine),
        2 => Just(Step::TakeBack),
        3 => Just(Step::Finalise),
        1 => Just(Step::Undo),
        2 => refusal().prop_map(Step::Refuse),
        1 => prop::bool::weighted(0.3).prop_map(Step::GiveUp),
        1 => any::<bool>().prop_map(Step::BeAway),
        2 => any::<bool>().prop_map(Step::FillStore),
        1 => prop_oneof![Just(Habit::Honest), Just(Habit::Lies), Just(Habit::Reverts)].prop_map(Step::Token),
        1 => Just(Step::Spend),
        1 => Just(Step::EarnBack),
        1 => Just(Step::ChangeOperator),
    ]
}

struct World {
    money: Arc<MemoryMoney>,
    operations: Arc<MemoryOperations>,
    catalog: Arc<MemoryCatalog>,
    log: Arc<MemoryComplianceLog>,
    token: Address,
    data_hash: DataHash,
    store_is_full: bool,
    is_shared: bool,
}

impl World {
    async fn new() -> Self {
        let money = Arc::new(MemoryMoney::new());
        let catalog = Arc::new(MemoryCatalog::new());
        let log = MemoryComplianceLog::new(SELLER, &TestLedger::new()).kept_in(catalog.clone());
        let token = money.issue(BUYER, "DATA", SUPPLY);
        let record = TokenRecord {
            info: money.describe(token).await.unwrap(),
            issued: false,
            added_at: 1,
        };
        catalog.add_token(&record).await.unwrap();
        let world = Self {
            operations: money.operations(SELLER),
            money,
            catalog,
            log: Arc::new(log),
            token,
            data_hash: samples::data_hash(1),
            store_is_full: false,
            is_shared: false,
        };
        for spender in [SELLER, SUCCESSOR] {
            let amount = U256::from(SUPPLY);
            world
                .act(
                    BUYER,
                    &Operation::Approve {
                        token,
                        spender,
                        amount,
                    },
                )
                .await;
        }
        world.money.set_mining(false);
        world.money.set_taking_back(true);
        world
    }

    /// Lets an account do something without the node; it may fail.
    async fn act(&self, account: Address, operation: &Operation) {
        let operations = self.money.operations(account);
        let _ = operations.begin(OperationId::random(), operation).await;
    }

    /// The node's processor after a start, which dies after so many calls.
    fn processor(&self, fuse: i64) -> (PaymentProcessor, OrderExecutor) {
        let fuse = Fuse::new(fuse);
        let operations: Arc<dyn Operations> = self.operations.clone();
        let orders: Arc<dyn OrderCatalog> = self.catalog.clone();
        let ports = MoneyPorts {
            chain: self.money.clone(),
            tokens: self.money.clone(),
            operations: Arc::new(Mortal::new(&fuse, operations)),
            orders: Arc::new(Mortal::new(&fuse, orders)),
            supported: self.catalog.clone(),
            log: self.log.clone(),
            bus: EventBus::new(),
        };
        let settings = MoneyConfig {
            native_alias: NATIVE_TOKEN,
            patience: Duration::ZERO,
            refund_after: Duration::ZERO,
            retry_interval: Duration::ZERO,
        };
        let executor = OrderExecutor::new(ports, settings);
        (PaymentProcessor::new(executor.clone()), executor)
    }

    async fn ask(&mut self, fuse: i64) {
        let terms = PaymentTerms {
            token: self.token,
            amount: U256::from(PRICE),
            consent: None,
        };
        if self.is_shared {
            return;
        }
        let (processor, _) = self.processor(fuse);
        let Ok(paid) = processor.collect(self.data_hash, BUYER, &terms).await else {
            return;
        };
        // That a reorganisation undoes a payment whose share was made is the seller's risk.
        let seen = self.processor(ENDLESS).1.look_again(paid.id).await;
        let is_for_good =
            seen.is_ok_and(|(paid, is_final)| is_final && matches!(paid.state, OrderState::Completed { .. }));
        if is_for_good && !self.store_is_full {
            let share = dm_core::share::ShareRecord {
                recipient: BUYER,
                ..samples::share(1, 1)
            };
            self.catalog.commit_share(&share.into()).await.unwrap();
            self.is_shared = true;
        }
    }

    async fn give_back(&self, fuse: i64) {
        let (processor, _) = self.processor(fuse);
        for (_, payment) in processor.overdue_payments(None, 9).await.unwrap_or_default() {
            let _ = processor.refund(payment.id).await;
        }
    }

    async fn refunds(&self) -> Vec<(OperationId, OrderState)> {
        let orders = self.catalog.orders(None, 999).await.unwrap();
        let refunds = orders
            .into_iter()
            .filter(|(_, order)| matches!(order.purpose, Purpose::Refund { .. }));
        refunds.map(|(_, order)| (order.id, order.state)).collect()
    }

    async fn ended(&self) -> u64 {
        let refunds = self.refunds().await;
        let ended = refunds
            .iter()
            .filter(|(_, state)| matches!(state, OrderState::Ended { .. }));
        ended.count() as u64
    }

    async fn transfer(&self, from: Address, to: Address) {
        let transfer = Operation::Transfer {
            token: self.token,
            to,
            amount: U256::from(PRICE),
        };
        self.act(from, &transfer).await;
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Ask(fuse) => self.ask(fuse).await,
            Step::GiveBack(fuse) => self.give_back(fuse).await,
            Step::LookAfter(fuse) => {
                let _ = self.processor(fuse).1.look_after_all().await;
            }
            Step::Retry(fuse) => {
                for (id, _) in self.refunds().await {
                    let _ = self.processor(fuse).0.retry_refund(id).await;
                }
            }
            Step::End(fuse) => {
                for (id, _) in self.refunds().await {
                    let _ = self.processor(fuse).0.end_refund(id, "settled").await;
                }
            }
            Step::Mine => self.money.mine(),
            Step::TakeBack => self.money.reorganise_newest(),
            Step::Finalise => self.money.finalise(),
            Step::Undo => self.money.undo_next(1),
            Step::Refuse(refusal) => self.money.set_refusal(refusal),
            Step::GiveUp(gives_up) => self.money.set_giving_up(gives_up.then_some("too much gas")),
            Step::BeAway(away) => self.money.set_away(away),
            Step::FillStore(full) => self.store_is_full = full,
            Step::Token(habit) => self.money.change(self.token, |token| token.habit = habit),
            Step::Spend => self.transfer(SELLER, SINK).await,
            Step::EarnBack => self.transfer(SINK, SELLER).await,
            Step::ChangeOperator => self.operations.change_to(SUCCESSOR),
        }
    }

    async fn balance(&self, account: Address) -> u64 {
        self.money.set_away(false);
        self.money.balance_of(self.token, account).await.unwrap().to()
    }

    /// Everything works again; goes on until nothing is left to do.
    async fn calm_down(&mut self) {
        self.money.set_away(false);
        self.money.set_refusal(None);
        self.money.set_giving_up(None);
        self.money.undo_next(0);
        self.money.set_taking_back(false);
        self.money.change(self.token, |token| token.habit = Habit::Honest);
        for _ in 0..200 {
            self.money.mine();
            self.money.finalise();
            for _ in 0..self.balance(SINK).await / PRICE {
                self.transfer(SINK, SELLER).await;
                self.money.mine();
            }
            self.take(Step::GiveBack(ENDLESS)).await;
            self.take(Step::LookAfter(ENDLESS)).await;
            let open = self.catalog.open_orders(0, 1).await.unwrap();
            let owed = self
                .catalog
                .undelivered_payments(u64::MAX, None, 1)
                .await
                .unwrap();
            if open.is_empty() && owed.is_empty() {
                return;
            }
            // Payments are overdue from the next millisecond on.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let open = self.catalog.open_orders(0, 9).await.unwrap();
        panic!("there is always something left to do: {open:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn money_moves_once_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
            }
            world.calm_down().await;
            let bought = u64::from(world.is_shared) + world.ended().await;
            prop_assert_eq!(world.balance(BUYER).await, SUPPLY - PRICE * bought);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_payment_that_a_reorganisation_may_take_back_is_not_given_back_yet() {
    let mut world = World::new().await;
    world.store_is_full = true;
    world.ask(ENDLESS).await;
    world.money.mine();
    world.ask(ENDLESS).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    world.give_back(ENDLESS).await;
    assert_eq!(world.refunds().await, []);
    world.money.finalise();
    world.give_back(ENDLESS).await;
    assert_eq!(world.refunds().await.len(), 1);
}

#[tokio::test]
async fn a_payment_that_was_undone_for_good_after_all_counts_for_nothing() {
    for store_is_full in [false, true] {
        let mut world = World::new().await;
        world.store_is_full = true;
        world.ask(ENDLESS).await;
        world.money.mine();
        world.ask(ENDLESS).await;
        world.money.reorganise_newest();
        world.money.undo_next(1);
        world.money.mine();
        world.money.finalise();
        world.store_is_full = store_is_full;
        tokio::time::sleep(Duration::from_millis(2)).await;
        world.give_back(ENDLESS).await;
        assert_eq!(world.refunds().await, [], "nothing was paid");
        world.ask(ENDLESS).await;
        assert!(!world.is_shared, "it has to be paid for anew");
        world.money.mine();
        world.money.finalise();
        world.ask(ENDLESS).await;
        assert_eq!(world.is_shared, !store_is_full);
        assert_eq!(world.balance(BUYER).await, SUPPLY - PRICE);
    }
}

#[tokio::test]
async fn a_payment_that_may_still_be_mined_is_not_replaced_by_another() {
    let mut world = World::new().await;
    world.ask(ENDLESS).await;
    world.money.undo_next(1);
    world.money.mine();
    world.ask(ENDLESS).await;
    world.money.reorganise_newest();
    world.money.mine();
    world.money.finalise();
    world.ask(ENDLESS).await;
    assert!(world.is_shared);
    assert_eq!(world.balance(BUYER).await, SUPPLY - PRICE);
}

#[tokio::test]
async fn a_refund_that_began_before_the_node_stopped_is_neither_called_off_nor_ended() {
    let mut world = World::new().await;
    world.store_is_full = true;
    world.ask(ENDLESS).await;
    world.money.mine();
    world.money.finalise();
    world.ask(ENDLESS).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    // Killed when it has begun, before that is noted.
    for fuse in 0..10 {
        world.give_back(fuse).await;
    }
    let mut is_begun = false;
    for fuse in 0..30 {
        world.take(Step::Retry(fuse)).await;
        if let [(id, OrderState::Accepted)] = world.refunds().await[..] {
            is_begun = world.operations.state(id).await.unwrap().is_some();
        }
        if is_begun {
            break;
        }
    }
    assert!(is_begun);
    let (id, _) = world.refunds().await[0];
    world.store_is_full = false;
    world.ask(ENDLESS).await;
    assert!(!world.is_shared, "it has to be paid for anew");
    let (processor, _) = world.processor(ENDLESS);
    assert!(processor.end_refund(id, "settled").await.is_err());
}

//! Whatever happens, each operation is done exactly once, or it was refused.

mod chain;
mod world;

use std::time::Duration;

use proptest::prelude::*;

use self::world::{CONFIRMATIONS, Luck, World};

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Somebody wants an operation, perhaps one that was wanted before.
    Order(u8),
    /// Somebody sends an anchor.
    Anchor,
    /// Somebody asks how far an operation is.
    Ask(u8),
    /// One of the actions under way ends.
    Perform(usize, Luck),
    /// All actions under way end well, and those that follow from them.
    PerformAll,
    /// Time passes.
    Pass(u64),
    /// A block takes so many transactions.
    Mine(usize),
    /// The mempool loses one.
    Drop(usize),
    /// Another program uses the key.
    Foreign { at_once: bool },
    /// Blocks are taken back.
    Reorganise { depth: usize, keeps: bool },
    /// The price of gas changes.
    BaseFee(u128),
    /// The process dies and starts again.
    Crash { were_done: bool },
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        6 => Just(Luck::Good),
        1 => Just(Luck::Fails),
        1 => Just(Luck::AnswerLost),
        1 => (1..CONFIRMATIONS).prop_map(Luck::Lags),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..12).prop_map(Step::Order),
        1 => Just(Step::Anchor),
        1 => (0u8..12).prop_map(Step::Ask),
        12 => (0usize..8, luck()).prop_map(|(which, luck)| Step::Perform(which, luck)),
        4 => Just(Step::PerformAll),
        4 => prop_oneof![Just(3), Just(600), Just(5_000), Just(40_000)].prop_map(Step::Pass),
        4 => (0usize..4).prop_map(Step::Mine),
        1 => (0usize..8).prop_map(Step::Drop),
        1 => any::<bool>().prop_map(|at_once| Step::Foreign { at_once }),
        1 => (1..=CONFIRMATIONS, any::<bool>()).prop_map(|(depth, keeps)| Step::Reorganise { depth, keeps }),
        1 => prop_oneof![Just(1), Just(10), Just(100), Just(2_000_000)].prop_map(Step::BaseFee),
        1 => any::<bool>().prop_map(|were_done| Step::Crash { were_done }),
    ]
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Order(operation) => world.order(Some(operation)),
        Step::Anchor => world.order(None),
        Step::Ask(operation) => world.ask(operation),
        Step::Perform(which, luck) => world.perform(which, luck),
        Step::PerformAll => {
            for _ in 0..100 {
                world.perform(0, Luck::Good);
            }
        }
        Step::Pass(milliseconds) => world.pass(Duration::from_millis(milliseconds)),
        Step::Mine(limit) => world.chain.mine(limit),
        Step::Drop(which) => world.chain.drop_one(which),
        Step::Foreign { at_once } => world.chain.foreign(at_once),
        Step::Reorganise { depth, keeps } => world.chain.reorganise(depth, keeps),
        Step::BaseFee(fee) => world.chain.base_fee = fee,
        Step::Crash { were_done } => world.crash(were_done),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_operation_is_done_exactly_once(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            take(&mut world, step);
        }
        world.settle();
    }
}

/// A world in which this operation has been taken by the chain and not mined.
fn with_one_waiting() -> World {
    let mut world = World::new();
    take(&mut world, Step::Order(0));
    take(&mut world, Step::PerformAll);
    assert_eq!(world.chain.waiting(), vec![Some(0)]);
    world
}

#[test]
fn what_another_program_displaced_gets_another_nonce_when_that_is_final() {
    let mut world = with_one_waiting();
    world.chain.foreign(true);
    for confirmations in 0..CONFIRMATIONS {
        for _ in 0..20 {
            take(&mut world, Step::Pass(600));
            take(&mut world, Step::PerformAll);
        }
        assert_eq!(
            world.chain.waiting(),
            vec![],
            "after {confirmations} confirmations"
        );
        world.chain.mine(1);
    }
    world.settle();
}

#[test]
fn what_waits_too_long_is_replaced_where_the_price_has_risen() {
    let mut world = with_one_waiting();
    let cheap = world.chain.fee_of(0);
    for (base_fee, is_replaced) in [(10, false), (1_000, true)] {
        world.chain.base_fee = base_fee;
        for _ in 0..100 {
            take(&mut world, Step::Pass(600));
            take(&mut world, Step::PerformAll);
        }
        assert_eq!(world.chain.fee_of(0) > cheap, is_replaced, "at {base_fee}");
    }
    world.chain.mine(1);
    world.settle();
}

#[test]
fn nothing_is_paid_above_the_ceiling() {
    let mut world = with_one_waiting();
    let cheap = world.chain.fee_of(0);
    world.chain.base_fee = 2_000_000;
    for _ in 0..100 {
        take(&mut world, Step::Pass(600));
        take(&mut world, Step::PerformAll);
    }
    assert_eq!(world.chain.fee_of(0), cheap);
}

#[test]
fn a_node_that_lags_moves_nothing() {
    let mut world = with_one_waiting();
    world.chain.mine(1);
    for _ in 0..50 {
        take(&mut world, Step::Pass(600));
        take(&mut world, Step::Perform(0, Luck::Good));
        take(&mut world, Step::Perform(0, Luck::Lags(1)));
    }
    assert_eq!(world.chain.waiting(), vec![]);
    world.settle();
}

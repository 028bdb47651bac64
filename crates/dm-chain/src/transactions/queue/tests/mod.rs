//! Whatever happens, each operation is done exactly once, or it was refused.

mod chain;
pub(super) mod fixtures;
mod refusals;
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
    /// The chain begins to call an operation's transactions invalid, or stops.
    Forbid(u8),
    /// The chain begins to refuse what pays more than this, or stops.
    CapFees(Option<u128>),
    /// Another chain stands in the place of the old one.
    BeginAnew,
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
        1 => (0usize..8).prop_map(Luck::LosesOne),
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
        1 => (0usize..8, any::<bool>())
            .prop_map(|(which, was_done)| Step::Perform(which, Luck::Refuses { was_done })),
        1 => (0u8..12).prop_map(Step::Forbid),
        1 => prop_oneof![Just(None), Just(Some(25)), Just(Some(250))].prop_map(Step::CapFees),
        1 => Just(Step::BeginAnew),
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
        Step::Forbid(operation) => {
            if !world.chain.forbidden.remove(&operation) {
                world.chain.forbidden.insert(operation);
            }
        }
        Step::CapFees(cap) => world.chain.fee_cap = cap,
        Step::BeginAnew => world.begin_anew(),
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
        assert_eq!(world.meter().replaced.value() > 0, is_replaced, "at {base_fee}");
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

/// Lets this many blocks come, with all that follows from each.
fn let_blocks_come(world: &mut World, blocks: usize) {
    for _ in 0..blocks {
        world.chain.mine(100);
        for _ in 0..4 {
            take(world, Step::Pass(600));
            take(world, Step::PerformAll);
        }
    }
}

#[test]
fn fees_do_not_climb_while_another_program_holds_the_nonce() {
    let mut world = with_one_waiting();
    world.chain.drop_one(0);
    world.chain.foreign(false);
    world.chain.base_fee = 1_000;
    for _ in 0..1_000 {
        take(&mut world, Step::Pass(600));
        take(&mut world, Step::PerformAll);
    }
    let offered = world.highest_offer();
    assert!(offered <= 5 * 2_001, "{offered}");
    world.settle();
}

#[test]
fn a_result_is_final_only_by_a_receipt_that_is_seen_when_it_is_final() {
    let mut world = World::new();
    for operation in [0, 1] {
        take(&mut world, Step::Order(operation));
        take(&mut world, Step::PerformAll);
        let_blocks_come(&mut world, 1);
    }
    // The second comes into a block again, the first does not, and the receipt
    // that would tell so is lost.
    world.chain.reorganise(2, true);
    world.chain.mine(1);
    world.chain.drop_one(0);
    for _ in 0..4 {
        take(&mut world, Step::Pass(600));
        world.perform(0, Luck::LosesOne(0));
    }
    let_blocks_come(&mut world, 12);
    world.settle();
}

#[test]
fn what_a_block_had_is_not_done_again_on_a_chain_that_began_anew() {
    let mut world = with_one_waiting();
    let_blocks_come(&mut world, 2);
    world.begin_anew();
    let_blocks_come(&mut world, 3);
    take(&mut world, Step::Order(1));
    let_blocks_come(&mut world, 20);
    assert!(world.entry(0).unwrap().is_of_lost_chain);
    world.settle();
    assert_eq!(world.chain.done().keys().collect::<Vec<_>>(), [&1]);
}

#[test]
fn what_waits_and_what_is_new_goes_on_on_a_chain_that_began_anew() {
    for crashes in [false, true] {
        let mut world = World::new();
        for operation in 0..9 {
            take(&mut world, Step::Order(operation));
            take(&mut world, Step::PerformAll);
            let_blocks_come(&mut world, 1);
        }
        take(&mut world, Step::Order(9));
        take(&mut world, Step::PerformAll);
        world.begin_anew();
        if crashes {
            take(&mut world, Step::Crash { were_done: false });
        }
        let_blocks_come(&mut world, 3);
        take(&mut world, Step::Order(10));
        take(&mut world, Step::Anchor);
        let_blocks_come(&mut world, 20);
        world.settle();
        let done = world.chain.done();
        assert!(done.contains_key(&9) && done.contains_key(&10), "{done:?}");
    }
}

#[test]
fn a_node_that_lags_far_behind_is_no_chain_that_began_anew() {
    let mut world = with_one_waiting();
    let_blocks_come(&mut world, 30);
    take(&mut world, Step::Order(1));
    for _ in 0..50 {
        take(&mut world, Step::Pass(600));
        take(&mut world, Step::Perform(0, Luck::Lags(29)));
    }
    take(&mut world, Step::PerformAll);
    let_blocks_come(&mut world, 20);
    for operation in [0, 1] {
        assert!(!world.entry(operation).unwrap().is_of_lost_chain, "{operation}");
    }
    world.settle();
}

#[test]
fn an_order_that_may_be_noted_is_not_called_failed() {
    let mut world = World::new();
    take(&mut world, Step::Order(0));
    // What the chain is known by is written before.
    for luck in [Luck::Good, Luck::AnswerLost] {
        while !world.is_writing() {
            world.perform(0, Luck::Good);
        }
        world.perform(0, luck);
    }
    assert_eq!(world.unclear(), [0], "who ordered it knows that it may happen");
    take(&mut world, Step::Crash { were_done: false });
    world.settle();
    assert_eq!(world.chain.done().get(&0), Some(&1));
}

#[test]
fn an_anchor_whose_successor_is_not_signed_does_not_stay_in_the_way() {
    let mut world = World::new();
    world.chain.base_fee = 1;
    take(&mut world, Step::Anchor);
    take(&mut world, Step::Order(0));
    take(&mut world, Step::PerformAll);
    take(&mut world, Step::Crash { were_done: false });
    take(&mut world, Step::PerformAll);
    take(&mut world, Step::Anchor);
    world.perform(0, Luck::Good);
    world.perform(0, Luck::Fails);
    assert_eq!(world.chain.waiting(), [None, Some(0)]);
    // It offers less than the price from now on.
    world.settle();
}

#[test]
fn an_order_whose_note_cannot_be_taken_back_yet_is_not_called_failed() {
    let mut world = World::new();
    take(&mut world, Step::Order(0));
    while !world.is_writing() {
        world.perform(0, Luck::Good);
    }
    world.perform(0, Luck::Good);
    while !world.is_writing() {
        world.perform(0, Luck::Good);
    }
    world.perform(0, Luck::AnswerLost);
    take(&mut world, Step::Order(0));
    world.perform(0, Luck::Fails);
    assert_eq!(world.unclear(), [0, 0], "the journal has it still");
    take(&mut world, Step::Crash { were_done: false });
    world.settle();
    assert_eq!(world.chain.done().get(&0), Some(&1));
}

#[test]
fn an_anchor_that_was_mined_after_all_is_known_when_a_reorganisation_takes_it_back() {
    let mut world = World::new();
    world.chain.base_fee = 1;
    take(&mut world, Step::Anchor);
    take(&mut world, Step::PerformAll);
    take(&mut world, Step::Crash { were_done: false });
    world.perform(0, Luck::Fails);
    take(&mut world, Step::Anchor);
    take(&mut world, Step::Pass(3));
    // The next one is to have its nonce, and comes too late.
    world.perform(0, Luck::Good);
    world.chain.mine(1);
    take(&mut world, Step::PerformAll);
    world.chain.reorganise(1, true);
    assert_eq!(world.chain.waiting(), [None, None]);
    // Both offer less than the price from now on.
    world.settle();
}

#[test]
fn a_version_that_is_signed_for_a_transaction_that_is_gone_holds_nothing_up() {
    let mut world = World::new();
    for step in [
        Step::Anchor,
        Step::PerformAll,
        Step::Order(6),
        Step::Perform(0, Luck::Good),
        Step::BaseFee(100),
        Step::PerformAll,
        Step::Order(0),
        Step::Perform(0, Luck::Refuses { was_done: false }),
        Step::CapFees(Some(25)),
        Step::Order(0),
        Step::Perform(0, Luck::Good),
        Step::Foreign { at_once: false },
        Step::Foreign { at_once: true },
        Step::Crash { were_done: true },
        Step::Mine(1),
        Step::Ask(6),
        Step::PerformAll,
        // The anchor is to pay more, and turns out to have lost its nonce.
        Step::Pass(40_000),
        Step::Perform(1, Luck::Good),
        Step::PerformAll,
    ] {
        take(&mut world, step);
    }
    world.settle();
}

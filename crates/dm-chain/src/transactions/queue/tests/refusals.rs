//! What the chain refuses, at every price or at a higher one alone.

use super::{
    Step, let_blocks_come, take, with_one_waiting,
    world::{Luck, World},
};

/// Lets so many minutes pass, in which all goes well.
fn for_minutes(world: &mut World, minutes: u32) {
    for _ in 0..minutes * 100 {
        take(world, Step::Pass(600));
        take(world, Step::PerformAll);
    }
}

#[test]
fn what_the_chain_refuses_for_good_fails_and_those_behind_it_go_on() {
    let mut world = World::new();
    world.chain.forbidden.insert(0);
    for order in [Step::Order(0), Step::Order(1), Step::Anchor, Step::Order(2)] {
        take(&mut world, order);
        take(&mut world, Step::PerformAll);
    }
    let_blocks_come(&mut world, 20);
    assert!(world.entry(0).unwrap().refused.as_ref().unwrap().is_over);
    assert!(world.entry(1).unwrap().done.is_some() && world.entry(2).unwrap().done.is_some());
    assert_eq!(world.meter().refused.value(), 1);
    world.settle();
}

#[test]
fn what_was_given_up_stays_so_after_a_restart_and_those_behind_it_go_on() {
    let mut world = World::new();
    world.chain.forbidden.insert(0);
    take(&mut world, Step::Order(0));
    take(&mut world, Step::Order(1));
    for _ in 0..5 {
        take(&mut world, Step::PerformAll);
        take(&mut world, Step::Pass(600));
        take(&mut world, Step::PerformAll);
        take(&mut world, Step::Crash { were_done: false });
    }
    let_blocks_come(&mut world, 5);
    // The empty transaction is mined and not final: nothing of the operation comes back.
    world.chain.forbidden.clear();
    take(&mut world, Step::Crash { were_done: false });
    let_blocks_come(&mut world, 20);
    assert!(world.entry(0).unwrap().refused.as_ref().unwrap().is_over);
    world.settle();
}

#[test]
fn an_operation_that_some_endpoint_took_before_it_was_refused_has_not_failed_when_it_is_mined() {
    let mut world = World::new();
    take(&mut world, Step::Order(0));
    while world.chain.waiting().is_empty() {
        world.perform(0, Luck::Refuses { was_done: true });
    }
    world.chain.forbidden.insert(0);
    // Its mempool keeps it; the others hear of it no more.
    for _ in 0..8 {
        take(&mut world, Step::Pass(600));
        world.perform(0, Luck::Refuses { was_done: true });
    }
    world.settle();
    assert!(world.entry(0).unwrap().done.is_some());
}

#[test]
fn what_was_given_up_and_mined_all_the_same_makes_room_when_it_is_taken_back() {
    let mut world = with_one_waiting();
    world.chain.forbidden.insert(0);
    take(&mut world, Step::Crash { were_done: false });
    for _ in 0..8 {
        take(&mut world, Step::PerformAll);
        take(&mut world, Step::Pass(600));
    }
    world.chain.mine(1);
    take(&mut world, Step::PerformAll);
    take(&mut world, Step::Pass(5_000));
    take(&mut world, Step::PerformAll);
    world.chain.reorganise(1, false);
    world.settle();
}

#[test]
fn what_the_chain_has_is_not_given_up_because_one_that_pays_more_is_refused() {
    for crashes in [false, true] {
        let mut world = with_one_waiting();
        let cheap = world.chain.fee_of(0);
        world.chain.fee_cap = Some(cheap);
        world.chain.base_fee = 1_000;
        for _ in 0..200 {
            take(&mut world, Step::Pass(600));
            take(&mut world, Step::PerformAll);
            if crashes {
                // Which version the chain has taken is not written down.
                take(&mut world, Step::Crash { were_done: true });
            }
        }
        assert_eq!(world.chain.waiting(), [Some(0)]);
        assert_eq!(world.chain.fee_of(0), cheap);
        assert_eq!(world.entry(0).unwrap().refused, None);
        world.settle();
        assert!(world.entry(0).unwrap().done.is_some());
    }
}

#[test]
fn one_that_pays_more_and_was_refused_is_offered_again() {
    let mut world = with_one_waiting();
    let cheap = world.chain.fee_of(0);
    world.chain.fee_cap = Some(cheap);
    world.chain.base_fee = 1_000;
    for_minutes(&mut world, 3);
    assert_eq!(world.chain.fee_of(0), cheap);
    world.chain.fee_cap = None;
    for_minutes(&mut world, 10);
    assert!(world.chain.fee_of(0) > cheap);
    world.settle();
}

#[test]
fn what_was_refused_for_its_price_is_replaced_by_what_is_enough_when_the_price_falls() {
    let mut world = World::new();
    world.chain.base_fee = 1;
    take(&mut world, Step::Order(0));
    take(&mut world, Step::PerformAll);
    world.chain.fee_cap = Some(25);
    world.chain.base_fee = 100;
    for_minutes(&mut world, 3);
    world.chain.base_fee = 10;
    for_minutes(&mut world, 3);
    assert_eq!(world.chain.fee_of(0), 21);
    world.settle();
    assert!(world.entry(0).unwrap().done.is_some());
}

#[test]
fn what_the_chain_has_lost_and_takes_at_no_price_is_given_up() {
    let mut world = with_one_waiting();
    world.chain.fee_cap = Some(world.chain.fee_of(0));
    world.chain.base_fee = 1_000;
    world.chain.drop_one(0);
    for_minutes(&mut world, 15);
    assert!(world.entry(0).unwrap().refused.is_some());
    world.settle();
}

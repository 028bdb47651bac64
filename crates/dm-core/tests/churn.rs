//! A small run of the simulation in `examples/churn`: the promises at a size
//! that takes seconds.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code, unused_imports, reason = "the example uses the rest")]
#[path = "../examples/churn/sim/mod.rs"]
mod sim;

use sim::{DAY, Scenario};

fn scenario() -> Scenario {
    Scenario {
        duration: 2 * DAY,
        objects: 40,
        ..Scenario::promised(60)
    }
}

#[test]
fn nothing_is_lost_while_a_tenth_leaves_each_hour() {
    let outcome = scenario().run();
    assert_eq!(outcome.lost, 0);
    assert!(outcome.worst_readable() > 0.99, "{}", outcome.worst_readable());
    assert!(outcome.mean_copies() >= 2.5, "{}", outcome.mean_copies());
}

#[test]
fn with_a_single_copy_much_is_lost() {
    let mut single = scenario();
    single.policy.factor = 1;
    let outcome = single.run();
    assert!(outcome.lost > 0);
    assert!(outcome.worst_readable() < 0.9);
}

#[test]
fn the_same_seed_is_the_same_history() {
    let run = || {
        let outcome = Scenario {
            duration: DAY / 2,
            ..scenario()
        };
        let outcome = outcome.run();
        (outcome.challenges, outcome.copies_made, outcome.repair_times)
    };
    assert_eq!(run(), run());
}

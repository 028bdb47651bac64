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
    single.config.factor = 1;
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

#[test]
fn a_quiet_network_sends_nothing_but_challenges() {
    let quiet = |days| Scenario {
        // Less than one departure in a million years.
        leaving: 1e-9,
        duration: days * DAY,
        ..scenario()
    };
    // The owners leave in the first day.
    let (before, after) = (quiet(3).run(), quiet(5).run());
    assert_eq!(after.copies_made, before.copies_made);
    assert_eq!(after.searches, before.searches);
    let objects = quiet(1).objects as f64;
    let each_day = (after.challenges - before.challenges) as f64 / 2.0 / objects;
    // Three holders, or four, ask each other every six hours.
    assert!((24.0..=48.0).contains(&each_day), "{each_day}");
}

#[test]
fn nothing_is_lost_with_enemies_in_the_network() {
    let outcome = Scenario {
        duration: 2 * DAY,
        objects: 100,
        // More than the promise speaks of, so that a small network has some of each kind.
        malicious: 0.05,
        ..Scenario::attacked(100)
    };
    let outcome = outcome.run();
    assert_eq!(outcome.lost, 0);
    assert!(outcome.mean_copies() >= 2.5, "{}", outcome.mean_copies());
}

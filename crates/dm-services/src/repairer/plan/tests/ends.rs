//! Copies whose time ends.

use proptest::prelude::*;

use super::*;

fn expired(actions: &[Action]) -> Vec<ObjectId> {
    let expired = actions.iter().filter_map(|action| match action {
        Action::Expire { object } => Some(*object),
        _ => None,
    });
    expired.collect()
}

#[test]
fn a_copy_is_let_go_at_its_time_and_nothing_is_done_for_it_afterwards() {
    let mut plan = plan_with(false, &[]);
    plan.ends_at(&object(1), Some(HOUR));
    assert_eq!(expired(&plan.due(HOUR - 1)), []);
    assert!(plan.next_due(HOUR - 1).unwrap() <= HOUR);
    let actions = plan.due(HOUR);
    assert_eq!(expired(&actions), [object(1)]);
    let about_it = |action: &&Action| !matches!(action, Action::Expire { .. } | Action::Record { .. });
    assert_eq!(actions.iter().filter(about_it).count(), 0, "{actions:?}");
    assert!(!plan.keeps(&object(1)));
    assert_eq!(plan.next_due(HOUR), None);
}

#[test]
fn a_time_that_is_put_off_or_taken_back_does_not_count() {
    let mut plan = plan_with(false, &[1, 2]);
    plan.ends_at(&object(1), Some(HOUR));
    plan.ends_at(&object(1), Some(2 * HOUR));
    assert_eq!(expired(&plan.due(HOUR)), []);
    plan.ends_at(&object(1), None);
    assert_eq!(expired(&plan.due(3 * HOUR)), []);
    plan.ends_at(&object(1), Some(HOUR));
    plan.drop_object(&object(1));
    assert_eq!(expired(&plan.due(3 * HOUR)), []);
}

#[derive(Debug, Clone)]
enum Event {
    Keep(u8),
    Ends(u8, Option<u64>),
    Drop(u8),
    Due,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let seed = 0..5u8;
    prop_oneof![
        3 => seed.clone().prop_map(Event::Keep),
        4 => (seed.clone(), proptest::option::weighted(0.8, 0..20 * HOUR)).prop_map(|(seed, at)| Event::Ends(seed, at)),
        1 => seed.prop_map(Event::Drop),
        3 => Just(Event::Due),
        3 => (0..HOUR).prop_map(Event::Wait),
    ]
}

proptest! {
    /// Against the plainest reference: a list of what is kept and when it ends.
    #[test]
    fn after_any_history_exactly_what_is_over_is_let_go(events in proptest::collection::vec(event(), 1..120)) {
        let mut plan = RepairPlan::new(key(1000), RepairConfig::default(), 0);
        let mut kept = std::collections::BTreeMap::new();
        let mut now = 0;
        for event in events {
            match event {
                Event::Keep(seed) => {
                    plan.keep(object(seed), false, 1000, Vec::new(), now);
                    kept.entry(object(seed)).or_insert(None);
                }
                Event::Ends(seed, end) => {
                    plan.ends_at(&object(seed), end);
                    kept.entry(object(seed)).and_modify(|kept| *kept = end);
                }
                Event::Drop(seed) => {
                    plan.drop_object(&object(seed));
                    kept.remove(&object(seed));
                }
                Event::Wait(pause) => now += pause,
                Event::Due => {
                    let mut over = expired(&plan.due(now));
                    over.sort_unstable();
                    let expected: Vec<ObjectId> = kept
                        .iter()
                        .filter(|(_, end)| end.is_some_and(|end| end <= now))
                        .map(|(object, _)| *object)
                        .collect();
                    prop_assert_eq!(&over, &expected);
                    kept.retain(|object, _| !expected.contains(object));
                }
            }
            for seed in 0..5 {
                prop_assert_eq!(plan.keeps(&object(seed)), kept.contains_key(&object(seed)));
            }
            let first_end = kept.values().flatten().min();
            if let Some(end) = first_end {
                prop_assert!(plan.next_due(now).unwrap() <= *end.max(&now));
            }
        }
    }
}

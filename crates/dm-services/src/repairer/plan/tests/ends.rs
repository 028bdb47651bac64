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

async fn ends_at(plan: &mut RepairPlan, end: Option<u64>) {
    plan.keep(&object(1), false, 1000, end, 0).await.unwrap();
}

#[tokio::test]
async fn a_copy_is_let_go_at_its_time_and_nothing_is_done_for_it_afterwards() {
    let mut plan = plan_with(false, &[]).await;
    ends_at(&mut plan, Some(HOUR)).await;
    assert_eq!(expired(&due(&mut plan, HOUR - 1).await), []);
    assert!(plan.next_due(HOUR - 1).await.unwrap().unwrap() <= HOUR);
    let actions = due(&mut plan, HOUR).await;
    assert_eq!(actions, [Action::Expire { object: object(1) }]);
    assert_eq!(plan.copies(&object(1), HOUR).await.unwrap(), None);
    assert_eq!(plan.next_due(HOUR).await.unwrap(), None);
}

#[tokio::test]
async fn a_time_that_is_put_off_or_taken_back_does_not_count() {
    let mut plan = plan_with(false, &[1, 2]).await;
    ends_at(&mut plan, Some(HOUR)).await;
    ends_at(&mut plan, Some(2 * HOUR)).await;
    assert_eq!(expired(&due(&mut plan, HOUR).await), []);
    ends_at(&mut plan, None).await;
    assert_eq!(expired(&due(&mut plan, 3 * HOUR).await), []);
    ends_at(&mut plan, Some(HOUR)).await;
    plan.drop_object(&object(1)).await.unwrap();
    assert_eq!(expired(&due(&mut plan, 3 * HOUR).await), []);
}

#[derive(Debug, Clone)]
enum Event {
    Keep(u8, Option<u64>),
    Drop(u8),
    Due,
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let seed = 0..5u8;
    let end = proptest::option::weighted(0.8, 0..20 * HOUR);
    prop_oneof![
        5 => (seed.clone(), end).prop_map(|(seed, at)| Event::Keep(seed, at)),
        1 => seed.prop_map(Event::Drop),
        3 => Just(Event::Due),
        3 => (0..HOUR).prop_map(Event::Wait),
    ]
}

async fn exactly_what_is_over_is_let_go(events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut plan = new_plan(1000, RepairConfig::default()).await;
    let mut kept = std::collections::BTreeMap::new();
    let mut now = 0;
    for event in events {
        match event {
            Event::Keep(seed, end) => {
                plan.keep(&object(seed), false, 1000, end, now).await.unwrap();
                kept.insert(object(seed), end);
            }
            Event::Drop(seed) => {
                plan.drop_object(&object(seed)).await.unwrap();
                kept.remove(&object(seed));
            }
            Event::Wait(pause) => now += pause,
            Event::Due => {
                let mut over = expired(&due(&mut plan, now).await);
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
            let is_kept = plan.copies(&object(seed), now).await.unwrap().is_some();
            prop_assert_eq!(is_kept, kept.contains_key(&object(seed)));
        }
        let first_end = kept.values().flatten().min();
        if let Some(end) = first_end {
            prop_assert!(plan.next_due(now).await.unwrap().unwrap() <= *end.max(&now));
        }
    }
    Ok(())
}

proptest! {
    /// Against the plainest reference: a list of what is kept and when it ends.
    #[test]
    fn after_any_history_exactly_what_is_over_is_let_go(events in proptest::collection::vec(event(), 1..120)) {
        run(exactly_what_is_over_is_let_go(events))?;
    }
}

#[tokio::test]
async fn without_peers_only_what_is_over_is_done() {
    let mut plan = new_plan(1000, RepairConfig::default()).await;
    plan.keep(&object(1), true, 1000, None, 0).await.unwrap();
    plan.keep(&object(2), false, 1000, Some(HOUR), 0).await.unwrap();
    assert_eq!(plan.next_due_alone().await.unwrap(), Some(HOUR));
    let ended = plan.due_alone(2 * HOUR).await.unwrap();
    assert_eq!(ended, [Action::Expire { object: object(2) }]);
    assert_eq!(plan.next_due_alone().await.unwrap(), None);
    // The other object still lacks its copies.
    assert!(time_to_place(&mut plan, 2 * HOUR).await.is_some());
}

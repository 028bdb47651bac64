//! What [`Instances`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    instance::{Instance, InstanceId},
    ports::Instances,
};

use crate::waiting::eventually;

/// Makes a test of each promise of [`Instances`].
#[macro_export]
macro_rules! instances_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, instances:
            an_instance_is_listed_as_it_describes_itself,
            an_instance_that_is_seen_again_keeps_its_beginning,
            instances_are_listed_in_the_order_of_their_beginnings,
            an_instance_that_leaves_is_gone,
        }
    };
}

fn instance(n: u8) -> Instance {
    Instance {
        id: InstanceId([n; 16]),
        name: format!("näme \"{n}\""),
        version: "1.2.3".to_owned(),
        peer_id: (n % 2 == 1).then(|| format!("peer {n}")),
        addresses: (0..n % 3).map(|n| format!("/ip4/10.0.0.{n}/tcp/1")).collect(),
    }
}

pub async fn an_instance_is_listed_as_it_describes_itself(instances: &impl Instances) {
    assert_eq!(instances.instances().await.unwrap(), []);
    for n in [1, 2] {
        instances.note_instance(&instance(n)).await.unwrap();
    }
    let mut listed = instances.instances().await.unwrap();
    listed.sort_by_key(|seen| seen.instance.id);
    for (n, seen) in (1..).zip(&listed) {
        assert_eq!(seen.instance, instance(n));
        assert_eq!(seen.seen_at, seen.started_at);
    }
    assert_eq!(listed.len(), 2);
}

pub async fn an_instance_that_is_seen_again_keeps_its_beginning(instances: &impl Instances) {
    instances.note_instance(&instance(1)).await.unwrap();
    let first = instances.instances().await.unwrap().remove(0);
    let silent = eventually("time has passed", async || {
        let listed = instances.instances().await.unwrap();
        (listed[0].silent_ms > 0).then(|| listed[0].clone())
    })
    .await;
    assert_eq!(
        (silent.started_at, silent.seen_at),
        (first.started_at, first.seen_at)
    );
    let changed = Instance {
        addresses: vec!["/ip4/10.9.9.9/tcp/1".to_owned()],
        ..instance(1)
    };
    instances.note_instance(&changed).await.unwrap();
    let again = instances.instances().await.unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].instance, changed);
    assert_eq!(again[0].started_at, first.started_at);
    assert!(again[0].seen_at > first.seen_at);
}

pub async fn instances_are_listed_in_the_order_of_their_beginnings(instances: &impl Instances) {
    let order = [3, 1, 4, 2];
    for n in order {
        instances.note_instance(&instance(n)).await.unwrap();
        eventually("time has passed", async || {
            let listed = instances.instances().await.unwrap();
            listed
                .iter()
                .any(|seen| seen.instance.id == instance(n).id && seen.silent_ms > 0)
                .then_some(())
        })
        .await;
    }
    instances.note_instance(&instance(3)).await.unwrap();
    let listed = instances.instances().await.unwrap();
    let ids: Vec<_> = listed.iter().map(|seen| seen.instance.id).collect();
    assert_eq!(ids, order.map(|n| instance(n).id));
}

pub async fn an_instance_that_leaves_is_gone(instances: &impl Instances) {
    for n in [1, 2] {
        instances.note_instance(&instance(n)).await.unwrap();
    }
    assert!(instances.remove_instance(instance(1).id).await.unwrap());
    assert!(!instances.remove_instance(instance(1).id).await.unwrap());
    let listed = instances.instances().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].instance, instance(2));
}

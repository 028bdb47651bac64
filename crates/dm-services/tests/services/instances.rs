//! What a node says of its instances.

use std::sync::Arc;

use dm_core::{
    Address,
    address_record::SignedAddressRecord,
    instance::{Instance, InstanceId},
    ports::Instances,
    upload::UploadPlace,
};
use dm_services::{DataManager, DataPorts, ManyInstances, SharedTurns};
use dm_testing::{catalog::MemoryLeases, key_value::MemoryKeyValueStore};

use crate::support::{World, eventually, settings};

fn instance(n: u8) -> Instance {
    Instance {
        id: InstanceId([n; 16]),
        name: format!("instance-{n}"),
        version: "0.1.0".to_owned(),
        peer_id: Some(format!("peer-{n}")),
        addresses: Vec::new(),
    }
}

#[tokio::test]
async fn the_address_record_names_the_instances_that_are_there() {
    let world = World::new();
    let (mut node, other) = (world.node(1).await, world.node(2).await);
    let instances = Arc::new(MemoryLeases::new());
    let ports = DataPorts {
        instances: Some(ManyInstances {
            all: instances.clone(),
            place: UploadPlace([1; 4]),
            turns: SharedTurns::new(
                InstanceId([1; 16]),
                instances.clone(),
                Arc::new(MemoryKeyValueStore::new()),
                "turns",
            ),
        }),
        ..node.ports.clone()
    };
    node.data = DataManager::new(&ports, settings()).unwrap();
    instances.note_instance(&instance(1)).await.unwrap();
    node.data.announce().await.unwrap();
    let own_peer = node.ports.network.local_peer_id();
    let found = async || -> SignedAddressRecord {
        let address: Address = node.address();
        other.ports.network.find_address(address).await.unwrap().unwrap()
    };
    assert_eq!(
        found().await.peers().collect::<Vec<_>>(),
        [own_peer.as_str(), "peer-1"],
        "what is announced first names the others already"
    );

    node.spread();
    instances.note_instance(&instance(2)).await.unwrap();
    eventually("a further instance is named", async || {
        found().await.names("peer-2").then_some(())
    })
    .await;
    instances.remove_instance(instance(1).id).await.unwrap();
    eventually("an instance that left is not", async || {
        (!found().await.names("peer-1")).then_some(())
    })
    .await;

    // Who cannot ask believes what it knew.
    let before = node.data.own_record();
    instances.set_away(true);
    node.data.announce().await.unwrap();
    assert_eq!(node.data.own_record(), before);
    assert_eq!(before.peers().collect::<Vec<_>>(), [own_peer.as_str(), "peer-2"]);
}

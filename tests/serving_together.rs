//! Two instances of one node serve at the same time, over one database and one bucket; one of
//! them leads.

use dm_testing::catalog::leases::assert_one_at_a_time;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    instances::leases,
    s3::{LARGE, must_put},
    support::{
        SOMEBODY, bytes,
        commons::{Commons, events, leads},
        copies::have_copies,
        eventually,
        http::answer,
        money::COIN,
    },
};

#[tokio::test]
async fn what_is_shared_with_either_of_two_instances_is_there_with_both_and_told_copied_and_anchored_once() {
    let Some(commons) = Commons::make().await else {
        return;
    };
    let instances = commons.two().await;
    let other = commons.other_node(&instances[0]).await;
    instances[1].has_peers(2).await;
    let mut shared = Vec::new();
    for (number, instance) in instances.iter().enumerate() {
        let text = format!("of instance {number}");
        let hash = instance.must_share(&text, other.address()).await;
        shared.push((hash, text.into_bytes()));
        let large = bytes(LARGE, number as u64);
        shared.push((must_put(instance, &large).await, large));
    }
    for instance in &instances {
        for (hash, data) in &shared {
            assert!(instance.reads(hash).await == *data);
            assert_eq!(instance.verifies(hash).await["verified"], true);
        }
        let (_, list) = instance.get("/shares").await;
        assert_eq!(list["shares"].as_array().map(Vec::len), Some(4), "{list}");
    }
    let hashes: Vec<String> = shared.iter().map(|(hash, _)| hash.clone()).collect();
    have_copies([&other], &hashes, 1).await;
    eventually("the recipient is told of both", || async {
        let (_, inbox) = other.get("/inbox").await;
        (inbox["items"].as_array()?.len() == 2).then_some(())
    })
    .await;
    // What one instance withdraws and erases is withdrawn and erased.
    let request = instances[1].request(Method::DELETE, &format!("/data/{}/grants", hashes[0]));
    let (status, revoked) = answer(request.json(&json!({"recipient": other.address()}))).await;
    assert_eq!(status, StatusCode::OK, "{revoked}");
    let (_, readers) = instances[0].get(&format!("/data/{}/grants", hashes[0])).await;
    assert_eq!(readers["recipients"], json!([]), "{readers}");
    let request = instances[1].request(Method::DELETE, &format!("/data/{}", hashes[1]));
    let (status, erased) = answer(request).await;
    assert_eq!(status, StatusCode::OK, "{erased}");
    assert_eq!(instances[0].object(&hashes[1]).await.0, StatusCode::NOT_FOUND);
    let counts = events(&instances[0], "data_share").await;
    assert!(
        counts.len() == 4 && counts.values().all(|count| *count == 1),
        "{counts:?}"
    );
    assert_one_at_a_time(&leases(&commons.postgres).await);
}

#[tokio::test]
async fn a_transfer_that_a_follower_takes_is_made_once_by_the_leader() {
    let Some(commons) = Commons::make().await else {
        return;
    };
    let [first, second] = commons.two().await;
    assert!(leads(&first, &second).await);
    let amount = 7;
    let body = second.transfer_to(SOMEBODY, COIN, amount);
    let before = first.balance(SOMEBODY, COIN).await;
    let (status, made) = second.try_order("/transfer", "once", &body).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{made}");
    // The same client asks each of them again.
    for node in [&first, &second] {
        let url = format!("{}/transfer", node.started.internal_api);
        let again = reqwest::Client::new()
            .post(url)
            .header("X-API-Key", &second.started.api_key)
            .header("Idempotency-Key", "once")
            .json(&body);
        let (status, again) = answer(again).await;
        assert_eq!(
            (status, &again["tx_hash"]),
            (StatusCode::OK, &made["tx_hash"]),
            "{again}"
        );
    }
    assert_eq!(first.balance(SOMEBODY, COIN).await, before + u128::from(amount));
    // The one that did not send it goes on with the money alone.
    drop(first.kill().await);
    let body = second.transfer_to(SOMEBODY, COIN, 1);
    let (status, made) = second.try_order("/transfer", "twice", &body).await.unwrap();
    assert!(status.is_success(), "{status} {made}");
    eventually("the second transfer is made", || async {
        (second.balance(SOMEBODY, COIN).await == before + u128::from(amount) + 1).then_some(())
    })
    .await;
}

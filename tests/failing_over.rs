//! One of two instances of a node is killed, suspended or restarted while both are used: nothing
//! that was acknowledged is lost, recorded twice or paid twice.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dm_testing::catalog::leases::assert_one_at_a_time;
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::RwLock;

use crate::{
    instances::{leases, led},
    s3::{LARGE, must_put},
    support::{
        Node, PATIENCE, SOMEBODY, bytes,
        commons::{Commons, comes_to_lead, events, leads},
        data_hash, eventually, eventually_within,
        http::answer,
        link::{Link, Quality},
        mixed_load::Load,
        money::COIN,
        process::kill_9,
    },
};

/// Clients of the load balancer.
const CLIENTS: u64 = 4;
/// Shares that are acknowledged before something happens, and after it.
const DONE: usize = 12;
/// Of a client after a request that was not acknowledged.
const PAUSE: Duration = Duration::from_millis(50);

#[tokio::test]
async fn the_other_instance_goes_on_when_the_leader_is_killed_under_load_and_nothing_is_lost() {
    let Some(commons) = Commons::make().await else {
        return;
    };
    let [first, second] = commons.two().await;
    let before = second.balance(SOMEBODY, COIN).await;
    let (on_leader, on_follower) = (Load::default(), Load::default());
    tokio::join!(
        on_leader.run(&first, "leader"),
        on_follower.run(&second, "follower"),
        async {
            tokio::join!(on_leader.goes_on(), on_follower.goes_on());
            kill_9(first.id()).await;
            on_leader.end();
            on_follower.goes_on().await;
            comes_to_lead(&second).await;
            // The next anchor.
            let hash = on_follower.share(&second, "after the kill").await.unwrap();
            second.verifies(&hash).await;
            on_follower.end();
        }
    );
    on_follower.absorb(on_leader);
    on_follower.is_there(&second, before).await;
    assert_one_at_a_time(&leases(&commons.postgres).await);
    drop(first);
}

#[tokio::test]
async fn a_leader_that_was_suspended_past_its_lease_serves_on_as_a_follower() {
    let Some(commons) = Commons::make().await else {
        return;
    };
    let [first, second] = commons.two().await;
    let before = second.balance(SOMEBODY, COIN).await;
    let load = Load::default();
    tokio::join!(load.run(&second, "load"), async {
        load.goes_on().await;
        first.signal("-STOP").await;
        comes_to_lead(&second).await;
        load.goes_on().await;
        first.signal("-CONT").await;
        load.goes_on().await;
        load.end();
    });
    assert!(leads(&second, &first).await);
    eventually("it is ready", || async {
        (first.get("/readyz").await.0 == StatusCode::OK).then_some(())
    })
    .await;
    let hash = first.must_share("after the suspension", SOMEBODY).await;
    second.verifies(&hash).await;
    first.verifies(&hash).await;
    load.is_there(&first, before).await;
    assert_one_at_a_time(&leases(&commons.postgres).await);
}

#[tokio::test]
async fn an_instance_that_is_suspended_for_long_in_the_middle_of_a_share_does_not_record_it_again() {
    let Some(commons) = Commons::make().await else {
        return;
    };
    let [first, second] = commons.two().await;
    let other = commons.other_node(&first).await;
    second.has_peers(2).await;
    // A share waits for a peer that does not answer, and is recorded after that.
    other.signal("-STOP").await;
    let text = "shared by two";
    let hash = data_hash(text.as_bytes());
    let recorded = async |hash: &str| events(&first, "data_share").await.get(hash).copied();
    let (answer, ()) = tokio::join!(second.share(text, SOMEBODY), async {
        eventually("the share exists", || async {
            (first.object(&hash).await.0 == StatusCode::OK).then_some(())
        })
        .await;
        second.signal("-STOP").await;
        assert_eq!(recorded(&hash).await, None, "it is not in the middle of it");
        eventually_within(3 * PATIENCE, "the leader has recorded the share", || async {
            recorded(&hash).await
        })
        .await;
        second.signal("-CONT").await;
        other.signal("-CONT").await;
    });
    assert!(answer.0.is_success(), "{} {}", answer.0, answer.1);
    second.verifies(&hash).await;
    assert_eq!(recorded(&hash).await, Some(1));
    // It goes on with others.
    let later = second.must_share("after the suspension", SOMEBODY).await;
    first.verifies(&later).await;
    assert_eq!(recorded(&later).await, Some(1));
}

#[tokio::test]
async fn an_instance_without_database_is_not_ready_and_the_other_serves() {
    let Some(commons) = Commons::make().await else {
        return;
    };
    let [first, second] = commons.two().await;
    let hash = first.must_share("before", SOMEBODY).await;
    second.verifies(&hash).await;
    let large = must_put(&second, &bytes(LARGE, 1)).await;
    let (setup, ..) = second.stop().await;
    let line = Link::to_port(commons.postgres.port(), Quality::PERFECT).await;
    let url = format!("postgres://postgres@{}/postgres", line.address());
    let second = setup.env("DM_CATALOG_URL", &url).start().await;
    assert!(second.reads(&hash).await == b"before");

    line.cut();
    eventually("it is not ready", || async {
        (second.get("/readyz").await.0 == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    // What the other one erases meanwhile is not served, nor what is there.
    let request = first.request(Method::DELETE, &format!("/data/{hash}"));
    let (status, erased) = answer(request).await;
    assert_eq!(status, StatusCode::OK, "{erased}");
    let routes = ["/objects", "/data", "/verify_data", "/shares"]
        .map(|route| [&hash, &large].map(|hash| format!("{route}/{hash}")));
    let lists = ["/shares", "/compliance_history", "/inbox"].map(str::to_owned);
    let routes = routes.into_iter().flatten().chain(lists);
    join_all(routes.map(async |route| {
        let (status, found) = second.get(&route).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{route}: {found}");
    }))
    .await;
    let (status, refused) = second.share("too early", SOMEBODY).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{refused}");
    assert_eq!(first.get("/readyz").await.0, StatusCode::OK);
    let meanwhile = first.must_share("meanwhile", SOMEBODY).await;
    first.verifies(&meanwhile).await;

    line.heal();
    eventually("it is ready again", || async {
        (second.get("/readyz").await.0 == StatusCode::OK).then_some(())
    })
    .await;
    assert!(second.reads(&meanwhile).await == b"meanwhile");
    assert_eq!(second.object(&hash).await.0, StatusCode::NOT_FOUND);
    assert!(second.reads(&large).await == bytes(LARGE, 1));
    assert_one_at_a_time(&leases(&commons.postgres).await);
}

/// Where a load balancer sends requests: base addresses of instances that were ready.
type Targets = RwLock<Vec<String>>;

/// Asks the instances again and again which of them are ready, as a load balancer does.
async fn balance(all: &Mutex<Vec<String>>, targets: &Targets, is_over: &AtomicBool) {
    let client = reqwest::Client::new();
    while !is_over.load(Ordering::SeqCst) {
        let candidates = all.lock().unwrap().clone();
        let mut ready = Vec::new();
        for url in candidates {
            let answer = client.get(format!("{url}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                ready.push(url);
            }
        }
        *targets.write().await = ready;
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test]
async fn a_rolling_restart_behind_a_load_balancer_fails_no_request() {
    let Some(commons) = Commons::make().await else {
        return;
    };
    // Longer than the load balancer takes to notice.
    let setup = |home| commons.instance(home).env("DM_DRAIN_SECS", "3");
    let first = setup(0).start().await;
    led(&first).await;
    let second = setup(1).peer(&first).start().await;
    let place_of = |node: &Node| node.started.external_api.clone();
    let all = Mutex::new(vec![place_of(&first), place_of(&second)]);
    let (targets, is_over) = (Targets::default(), AtomicBool::new(false));
    let key = first.started.api_key.clone();
    let shared = Mutex::new(Vec::new());
    let clients = (0..CLIENTS).map(|client| {
        let (targets, is_over, key, shared) = (&targets, &is_over, &key, &shared);
        async move {
            let http = reqwest::Client::new();
            for count in 0_usize.. {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                // Held while the request is under way only as long as the choice takes.
                let target = {
                    let targets = targets.read().await;
                    targets.get(count % targets.len().max(1)).cloned()
                };
                let Some(target) = target else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                let text = format!("client {client}, number {count}");
                let body = json!({"data": text, "recipient": SOMEBODY});
                let request = http.post(format!("{target}/share_data")).header("X-API-Key", key);
                let response = request.json(&body).send().await.expect("an answer");
                let status = response.status();
                let body: Value = response.json().await.unwrap();
                assert!(status.is_success(), "{status} {body}");
                let hash = body["data_hash"].as_str().unwrap().to_owned();
                shared.lock().unwrap().push((hash, text));
            }
        }
    });
    let restarts = async {
        let mut nodes = [first, second];
        for place in 0..2 {
            let [old, other] = nodes;
            let before = shared.lock().unwrap().len();
            eventually("both take requests", || async {
                let ready = targets.read().await.len();
                (ready == 2 && shared.lock().unwrap().len() >= before + DONE).then_some(())
            })
            .await;
            let (setup, status, errors) = old.stop().await;
            assert!(status.success(), "{errors}");
            let new = setup.start().await;
            all.lock().unwrap()[place] = place_of(&new);
            nodes = [other, new];
        }
        is_over.store(true, Ordering::SeqCst);
        nodes
    };
    let (_, (), [node, _other]) =
        tokio::join!(join_all(clients), balance(&all, &targets, &is_over), restarts);
    for (hash, text) in shared.into_inner().unwrap() {
        assert_eq!(node.reads(&hash).await, text.as_bytes());
    }
    assert_one_at_a_time(&leases(&commons.postgres).await);
}

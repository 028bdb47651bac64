//! A node whose catalog is in a PostgreSQL database.

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dm_testing::s3::Moto;
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    s3::{LARGE, in_bucket, must_put},
    support::{
        Node, NodeSetup, SOMEBODY, bytes, eventually,
        http::answer,
        postgres::{Postgres, free_port},
        process::kill_9,
    },
};

/// Clients that share at the same time.
const CLIENTS: u64 = 8;
/// Shares that are acknowledged before something is killed.
const SHARES: usize = 20;
/// Of a client after a share that was not acknowledged.
const PAUSE: Duration = Duration::from_millis(50);

fn setup(home: &TempDir, postgres: &Postgres) -> NodeSetup {
    let password = postgres.password_file();
    NodeSetup::new(home.path())
        .env("DM_CATALOG_URL", &postgres.url())
        .env("DM_CATALOG__PASSWORD_FILE", password.to_str().unwrap())
}

/// What `/health` says of the catalog, once it has this status.
async fn catalog_is(node: &Node, status: &str) -> Value {
    eventually(&format!("the catalog is {status}"), || async {
        let (_, health) = answer(node.internal(Method::GET, "/health")).await;
        let found = health["parts"]["catalog"].clone();
        (found["status"] == status).then_some(found)
    })
    .await
}

#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    /// Texts and their data hashes.
    acknowledged: Mutex<Vec<(String, String)>>,
}

impl Load {
    /// Clients share until the load is over; what is refused or gets no answer is left.
    async fn run(&self, node: &Node, round: &str) {
        let clients = (0..CLIENTS).map(|client| async move {
            for count in 0.. {
                if self.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let text = format!("{round}, client {client}, share {count}");
                let body = json!({"data": text, "recipient": SOMEBODY});
                let request = node.request(Method::POST, "/share_data").json(&body);
                match request.send().await {
                    Ok(response) if response.status().is_success() => {
                        let Ok(body) = response.json::<Value>().await else {
                            continue;
                        };
                        let hash = body["data_hash"].as_str().unwrap().to_owned();
                        self.acknowledged.lock().unwrap().push((text, hash));
                    }
                    _ => tokio::time::sleep(PAUSE).await,
                }
            }
        });
        join_all(clients).await;
    }

    /// Waits until further shares are acknowledged.
    async fn goes_on(&self) {
        let before = self.acknowledged.lock().unwrap().len();
        eventually("further shares are acknowledged", || async {
            (self.acknowledged.lock().unwrap().len() >= before + SHARES).then_some(())
        })
        .await;
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    async fn is_there(&self, node: &Node) {
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        for (text, hash) in acknowledged {
            assert_eq!(node.reads(&hash).await, text.as_bytes(), "{hash}");
            let verified = node.verifies(&hash).await;
            assert_eq!(verified["verified"], true, "{verified}");
        }
    }
}

#[tokio::test]
async fn a_node_on_postgresql_shares_reads_verifies_revokes_and_erases() {
    let Some(postgres) = Postgres::running().await else {
        return;
    };
    let home = tempdir().unwrap();
    let node = setup(&home, &postgres).start().await;
    assert!(!home.path().join("catalog.sqlite").exists());
    let (first, second) = (
        node.must_share("first", SOMEBODY).await,
        node.must_share("second", SOMEBODY).await,
    );
    let request = node.request(Method::DELETE, &format!("/data/{first}/grants"));
    let (status, revoked) = answer(request.json(&json!({"recipient": SOMEBODY}))).await;
    assert_eq!(status, StatusCode::OK, "{revoked}");
    let (status, erased) = answer(node.request(Method::DELETE, &format!("/data/{second}"))).await;
    assert_eq!(status, StatusCode::OK, "{erased}");

    let node = node.restart().await;
    assert_eq!(node.reads(&first).await, b"first");
    assert_eq!(node.verifies(&first).await["verified"], true);
    let (_, readers) = node.get(&format!("/data/{first}/grants")).await;
    assert_eq!(readers["recipients"], json!([]), "{readers}");
    assert_eq!(node.object(&second).await.0, StatusCode::NOT_FOUND);
    for (kind, hash) in [("revoke", &first), ("data_delete", &second)] {
        let (_, history) = node.get(&format!("/compliance_history?filters={kind}")).await;
        assert_eq!(history["history"][0]["data_hash"], **hash, "{history}");
    }
    // Without its database the node would begin with an empty catalog.
    let (setup, _, _) = node.stop().await;
    let refused = NodeSetup::new(&setup.data_dir).try_start().await;
    assert!(refused.as_ref().is_err_and(|why| why.contains("set catalog_url")));
}

#[tokio::test]
async fn objects_in_database_and_bucket_outlive_the_folder_of_objects() {
    let (Some(postgres), Some(moto)) = (Postgres::running().await, Moto::running()) else {
        return;
    };
    let (home, bucket) = (tempdir().unwrap(), moto.make_bucket());
    let in_bucket = in_bucket(setup(&home, &postgres), moto.url(), &bucket);
    let node = in_bucket.start().await;
    let data = bytes(LARGE, 1);
    let (small, large) = (
        node.must_share("small", SOMEBODY).await,
        must_put(&node, &data).await,
    );
    let objects = home.path().join("objects");
    assert!(!objects.join("fjall").exists(), "the index is in the database");

    // Once without any tidying up, and once after an orderly end.
    let killed = node.kill().await;
    fs::remove_dir_all(&objects).unwrap();
    let node = killed.start().await;
    let later = node.must_share("later", SOMEBODY).await;
    let (stopped, _, _) = node.stop().await;
    fs::remove_dir_all(&objects).unwrap();
    let node = stopped.start().await;
    assert_eq!(node.reads(&small).await, b"small");
    assert_eq!(node.reads(&later).await, b"later");
    assert!(node.reads(&large).await == data);
    for hash in [&small, &later, &large] {
        let verified = node.verifies(hash).await;
        assert_eq!(verified["verified"], true, "{verified}");
    }
    for hash in [&small, &large] {
        let (status, erased) = answer(node.request(Method::DELETE, &format!("/data/{hash}"))).await;
        assert_eq!(status, StatusCode::OK, "{erased}");
        assert_eq!(node.object(hash).await.0, StatusCode::NOT_FOUND);
    }
    // The database names objects that are in a bucket.
    drop(node.stop().await);
    let refused = setup(&home, &postgres).try_start().await;
    assert!(
        refused
            .as_ref()
            .is_err_and(|why| why.contains("storage.objects_url"))
    );
}

#[tokio::test]
async fn every_share_in_postgresql_survives_kill_9_of_the_node() {
    let Some(postgres) = Postgres::running().await else {
        return;
    };
    let (home, load) = (tempdir().unwrap(), Load::default());
    let mut setup = setup(&home, &postgres);
    for round in 0..3 {
        let node = setup.start().await;
        load.is_over.store(false, Ordering::SeqCst);
        let name = format!("round {round}");
        tokio::join!(load.run(&node, &name), async {
            load.goes_on().await;
            kill_9(node.id()).await;
            load.end();
        });
        setup = node.kill().await;
    }
    // The data directory is the same, so that nobody has to wait for it.
    load.is_there(&setup.start().await).await;
}

#[tokio::test]
async fn a_node_goes_on_by_itself_after_kill_9_of_postgresql() {
    let Some(mut postgres) = Postgres::running().await else {
        return;
    };
    let (home, load) = (tempdir().unwrap(), Load::default());
    let node = setup(&home, &postgres).start().await;
    tokio::join!(load.run(&node, "load"), async {
        load.goes_on().await;
        postgres.kill().await;
        let part = catalog_is(&node, "unhealthy").await;
        let place = postgres.url().replace("postgres@", "");
        assert!(part["reason"].as_str().unwrap().contains(&place), "{part}");
        let (status, _) = node.get("/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        postgres.start().await;
        catalog_is(&node, "healthy").await;
        load.goes_on().await;
        load.end();
    });
    load.is_there(&node).await;
}

#[tokio::test]
async fn a_node_that_cannot_open_its_database_says_why_and_ends() {
    let Some(postgres) = Postgres::running().await else {
        return;
    };
    let home = tempdir().unwrap();
    let wrong = home.path().join("password");
    std::fs::write(&wrong, "wrong-password\n").unwrap();
    let away = format!("postgres://postgres@127.0.0.1:{}/postgres", free_port());
    for (url, why) in [
        (postgres.url(), "password authentication failed"),
        (away, "Connection refused"),
    ] {
        let data_dir = home.path().join("node");
        let setup = NodeSetup::new(&data_dir)
            .env("DM_CATALOG_URL", &url)
            .env("DM_CATALOG__PASSWORD_FILE", wrong.to_str().unwrap());
        let Err(refused) = setup.try_start().await else {
            panic!("it starts");
        };
        let place = url.replace("postgres@", "");
        let says_it =
            |line: &str| line.contains(&format!("cannot open the catalog at {place}")) && line.contains(why);
        assert!(refused.lines().any(says_it), "{refused}");
        assert!(refused.starts_with("ended with exit status: 1 "), "{refused}");
        assert!(!refused.contains("wrong-password"), "{refused}");
        assert!(!data_dir.exists());
    }
}

#[tokio::test]
async fn a_second_node_on_one_database_is_refused() {
    let Some(postgres) = Postgres::running().await else {
        return;
    };
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let node = setup(&homes[0], &postgres).start().await;
    let Err(refused) = setup(&homes[1], &postgres).try_start().await else {
        panic!("it starts");
    };
    assert!(refused.contains("wrong password for keys.json"), "{refused}");
    node.must_share("as before", SOMEBODY).await;
}

#[tokio::test]
async fn a_backup_of_a_database_is_left_to_its_server() {
    let Some(postgres) = Postgres::running().await else {
        return;
    };
    let home = tempdir().unwrap();
    let node = setup(&home, &postgres).start().await;
    let (status, refused) = answer(node.internal(Method::GET, "/backup")).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    assert!(
        refused["error"].as_str().unwrap().contains("pg_basebackup"),
        "{refused}"
    );
}

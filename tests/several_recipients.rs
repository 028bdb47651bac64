//! Requests with several recipients, of whom one cannot pay.

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    money::Market,
    support::{FUNDED_KEYS, Node, NodeSetup, bytes, data_hash, http::answer, node::dm_node},
};

/// A market with a buyer who has allowed payments, and another one who has 7 of the token and has
/// allowed 3 of them.
struct Buyers {
    market: Market,
    poor: Node,
    _home: TempDir,
}

impl Buyers {
    async fn meet() -> Self {
        let (market, home) = (Market::open().await, tempdir().unwrap());
        let Market {
            seller,
            buyer,
            token,
            devnet,
            ..
        } = &market;
        let poor = NodeSetup::new(home.path()).on_chain(&devnet.url, FUNDED_KEYS[2]);
        let poor = poor.peer(seller).start().await;
        poor.has_peers(1).await;
        poor.add_token(token).await;
        let gift = buyer.transfer_to(poor.address(), token, 7);
        assert_eq!(buyer.order("/transfer", &gift).await.0, StatusCode::OK);
        buyer.allow(token, seller.address(), 100).await;
        poor.allow(token, seller.address(), 3).await;
        Self {
            market,
            poor,
            _home: home,
        }
    }

    /// Both, in the order in which they are asked.
    fn recipients(&self) -> [&str; 2] {
        [self.poor.address(), self.market.buyer.address()]
    }

    async fn share_as_json(&self, data: &str) -> (StatusCode, Value) {
        let Market { seller, token, .. } = &self.market;
        let body = json!({
            "data": data, "recipients": self.recipients(), "payment_token": token, "payment_amount": 10,
        });
        answer(seller.request(Method::POST, "/share_data").json(&body)).await
    }

    async fn share_as_bytes(&self, data: &str) -> (StatusCode, Value) {
        let Market { seller, token, .. } = &self.market;
        let recipients = self.recipients().join(",");
        let route = format!("/objects?recipients={recipients}&payment_token={token}&payment_amount=10");
        answer(seller.request(Method::PUT, &route).body(data.to_owned())).await
    }

    async fn share_as_upload(&self, data: &str) -> (StatusCode, Value) {
        let Market { seller, token, .. } = &self.market;
        let said = [
            ("recipients", self.recipients().join(", ")),
            ("payment_token", token.clone()),
            ("payment_amount", "10".to_owned()),
        ];
        let said = said.map(|(key, value)| format!("{key} {}", STANDARD.encode(value)));
        let request = seller
            .request(Method::POST, "/uploads")
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", data.len())
            .header("Upload-Metadata", said.join(","))
            .header("Content-Type", "application/offset+octet-stream")
            .body(data.to_owned());
        let begun = request.send().await.unwrap();
        assert_eq!(begun.status(), StatusCode::CREATED, "one of both was made");
        let route = format!("/{}", begun.headers()["location"].to_str().unwrap());
        seller.get(&route).await
    }

    /// That one has paid and reads, and the other is told what is missing and has nothing.
    async fn assert_one_has_paid(&self, (status, answer): (StatusCode, Value), data: &str) {
        let Market {
            seller, buyer, token, ..
        } = &self.market;
        let poor = &self.poor;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let [refused, paid] = &answer["shares"].as_array().unwrap()[..] else {
            panic!("{answer}");
        };
        for (field, value) in [
            ("success", json!(false)),
            ("status", json!("failed")),
            ("code", json!(402)),
            ("recipient", json!(poor.address())),
            ("account", json!(poor.address())),
            ("token", json!(token)),
            ("amount", json!("10")),
            ("balance", json!("7")),
            ("allowance", json!("3")),
        ] {
            assert_eq!(refused[field], value, "{field}: {refused}");
        }
        assert!(refused.get("data_hash").is_none(), "{refused}");
        assert_eq!(paid["payment"]["paid_by"], buyer.address(), "{paid}");
        let hash = data_hash(data.as_bytes());
        assert_eq!(buyer.reads(&hash).await, data.as_bytes());
        assert_eq!(poor.object(&hash).await.0, StatusCode::FORBIDDEN);
        let route = format!("/shares?recipient={}", poor.address());
        assert_eq!(seller.get(&route).await.1["shares"], json!([]));
        let route = format!("/receipts/{hash}?recipient={}", poor.address());
        assert_eq!(seller.get(&route).await.0, StatusCode::NOT_FOUND);
        assert_eq!(seller.balance(poor.address(), token).await, 7);
    }
}

#[tokio::test]
async fn one_of_several_recipients_pays_and_reads_and_one_that_cannot_pay_gets_nothing() {
    let buyers = Buyers::meet().await;
    let made = buyers.share_as_json("as a text").await;
    buyers.assert_one_has_paid(made, "as a text").await;
    let made = buyers.share_as_bytes("as bytes").await;
    buyers.assert_one_has_paid(made, "as bytes").await;
    let made = buyers.share_as_upload("as an upload").await;
    buyers.assert_one_has_paid(made, "as an upload").await;
    let Market {
        seller, buyer, token, ..
    } = &buyers.market;
    assert_eq!(seller.balance(seller.address(), token).await, 30);

    // Who can pay later gets what is missing, and nobody pays twice.
    let gift = buyer.transfer_to(buyers.poor.address(), token, 3);
    assert_eq!(buyer.order("/transfer", &gift).await.0, StatusCode::OK);
    buyers.poor.allow(token, seller.address(), 10).await;
    let (status, again) = buyers.share_as_json("as a text").await;
    assert_eq!(status, StatusCode::CREATED, "{again}");
    assert_eq!(again["shares"][0]["payment"]["amount"], "10", "{again}");
    let hash = data_hash(b"as a text");
    assert_eq!(buyers.poor.reads(&hash).await, b"as a text");
    assert_eq!(seller.balance(seller.address(), token).await, 40);
}

/// Shares a large file by the command line; whether it succeeded, and what it printed.
async fn share_file(buyers: &Buyers, folder: &Path) -> (bool, Value, String) {
    let Market { seller, token, .. } = &buyers.market;
    let [poor, rich] = buyers.recipients();
    let share = ["share", "large.bin", "--to", poor, "--to", rich, "--json"];
    let output = dm_node()
        .args(share)
        .args(["--payment-token", token, "--payment-amount", "10"])
        .args(["--api", &seller.started.external_api])
        .env("DM_API_KEY", &seller.started.api_key)
        .env("XDG_STATE_HOME", folder)
        .current_dir(folder)
        .output()
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.success(), printed, errors)
}

#[tokio::test]
async fn the_same_command_again_shares_a_large_file_with_who_could_not_pay_and_sends_nothing_again() {
    let (buyers, folder) = (Buyers::meet().await, tempdir().unwrap());
    let data = bytes(9 << 20, 8);
    fs::write(folder.path().join("large.bin"), &data).unwrap();
    let (is_whole, answer, errors) = share_file(&buyers, folder.path()).await;
    assert!(!is_whole && errors.contains("1 of 2 shares failed"), "{errors}");
    assert_eq!(answer["shares"][0]["code"], 402, "{answer}");
    assert_eq!(answer["shares"][1]["data_hash"], data_hash(&data), "{answer}");

    let Market {
        seller, buyer, token, ..
    } = &buyers.market;
    let gift = buyer.transfer_to(buyers.poor.address(), token, 3);
    assert_eq!(buyer.order("/transfer", &gift).await.0, StatusCode::OK);
    buyers.poor.allow(token, seller.address(), 10).await;
    let (is_whole, answer, errors) = share_file(&buyers, folder.path()).await;
    assert!(is_whole, "{errors}");
    let goes_on = format!("goes on with an earlier upload at byte {}", data.len());
    assert!(errors.contains(&goes_on), "{errors}");
    assert_eq!(answer["shares"][0]["data_hash"], data_hash(&data), "{answer}");
    assert!(buyers.poor.reads(&data_hash(&data)).await == data);
    assert_eq!(seller.balance(seller.address(), token).await, 20);
    let state = folder.path().join("dm-node/uploads");
    assert_eq!(fs::read_dir(state).unwrap().count(), 0, "nothing is remembered");
}

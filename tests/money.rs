//! Tokens, transfers and paid shares.

use dm_core::{Address, B256, U256, keccak256, ports::Signer};
use dm_testing::signer::TestSigner;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, eventually, http::answer, money::COIN, node::dm_node,
};

/// A seller and a buyer on one chain, and a token of which the buyer has 1000.
pub(crate) struct Market {
    pub(crate) seller: Node,
    pub(crate) buyer: Node,
    pub(crate) token: String,
    pub(crate) devnet: Devnet,
    _homes: [TempDir; 3],
}

impl Market {
    pub(crate) async fn open() -> Self {
        let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
        let devnet = Devnet::start(homes[0].path()).await;
        let setup = |home: &TempDir, key| NodeSetup::new(home.path()).on_chain(&devnet.url, key);
        let seller = setup(&homes[1], FUNDED_KEYS[0]).start().await;
        let buyer = setup(&homes[2], FUNDED_KEYS[1]).peer(&seller).start().await;
        buyer.has_peers(1).await;
        let token = buyer.issue(1000).await;
        seller.add_token(&token).await;
        Self {
            seller,
            buyer,
            token,
            devnet,
            _homes: homes,
        }
    }

    fn priced(&self, data: &str, amount: u64) -> Value {
        json!({
            "data": data, "recipient": self.buyer.address(),
            "payment_token": self.token, "payment_amount": amount,
        })
    }
}

async fn share(node: &Node, body: &Value) -> (StatusCode, Value) {
    answer(node.request(Method::POST, "/share_data").json(body)).await
}

#[tokio::test]
async fn a_buyer_pays_once_for_a_share_and_reads_it() {
    let market = Market::open().await;
    let Market {
        seller, buyer, token, ..
    } = &market;
    let body = market.priced("worth its price", 40);
    let (status, refused) = share(seller, &body).await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED, "{refused}");
    assert_eq!(
        (&refused["balance"], &refused["allowance"]),
        (&json!("1000"), &json!("0"))
    );
    buyer.allow(token, seller.address(), 100).await;
    let (status, shared) = share(seller, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{shared}");
    assert_eq!(shared["payment"]["paid_by"], buyer.address());
    for _ in 0..3 {
        let (_, again) = share(seller, &body).await;
        assert_eq!(again["payment"], shared["payment"], "{again}");
    }
    assert_eq!(
        buyer.reads(shared["data_hash"].as_str().unwrap()).await,
        b"worth its price"
    );
    assert_eq!(buyer.balance(seller.address(), token).await, 40);
    let (_, history) = seller.get("/compliance_history?filters=transfer").await;
    assert_eq!(history["count"], 1, "{history}");
    assert_eq!(history["history"][0]["data_hash"], shared["data_hash"]);
}

/// The EIP-712 hash of a permit for a token that a node has issued.
fn permit_hash(token: Address, owner: Address, spender: Address, value: u64, deadline: u64) -> B256 {
    let hash = |words: &[[u8; 32]]| keccak256(words.concat());
    let word = |address: Address| address.into_word().0;
    let number = |number: u64| U256::from(number).to_be_bytes::<32>();
    let domain = hash(&[
        keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)").0,
        keccak256(b"Data credit").0,
        keccak256(b"1").0,
        number(31_337),
        word(token),
    ]);
    let permit = hash(&[
        keccak256(b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)").0,
        word(owner),
        word(spender),
        number(value),
        number(0),
        number(deadline),
    ]);
    keccak256([b"\x19\x01", domain.as_slice(), permit.as_slice()].concat())
}

#[tokio::test]
async fn a_signed_permit_pays_and_counts_once() {
    let market = Market::open().await;
    let Market {
        seller, buyer, token, ..
    } = &market;
    let owner = TestSigner::new(5);
    let funded = buyer.transfer_to(&owner.address().to_string(), token, 100);
    assert_eq!(buyer.order("/transfer", &funded).await.0, StatusCode::OK);
    let contract = token.parse().unwrap();
    let spender = seller.address().parse().unwrap();
    let signed = |value, deadline| {
        let hash = permit_hash(contract, owner.address(), spender, value, deadline);
        let signature = owner.sign_hash(&hash).unwrap().as_bytes();
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"deadline": deadline, "signature": format!("0x{hex}")})
    };
    let far = 4_000_000_000;
    let with = |permit: Value| {
        json!({
            "from": owner.address().to_string(), "to": SOMEBODY, "amount": 30, "token": token, "permit": permit,
        })
    };
    for (permit, words) in [
        (signed(30, 1), "expired"),
        (signed(31, far), "refused by the token"),
    ] {
        let (status, refused) = seller.order("/transfer", &with(permit)).await;
        assert_eq!(
            (status, &refused["field"]),
            (StatusCode::BAD_REQUEST, &json!("permit")),
            "{refused}"
        );
        assert!(refused["error"].as_str().unwrap().contains(words), "{refused}");
    }
    let (status, moved) = seller.order("/transfer", &with(signed(30, far))).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    assert_eq!(moved["from"], owner.address().to_string());
    let (status, again) = seller.order("/transfer", &with(signed(30, far))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{again}");
    assert_eq!(seller.balance(SOMEBODY, token).await, 30);
}

#[tokio::test]
async fn money_that_nobody_allowed_does_not_move() {
    let market = Market::open().await;
    let Market {
        seller, buyer, token, ..
    } = &market;
    let mut body = seller.transfer_to(SOMEBODY, token, 10);
    body["from"] = json!(buyer.address());
    let (status, refused) = seller.order("/transfer", &body).await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED, "{refused}");
    body["token"] = json!(COIN);
    let (status, refused) = seller.order("/transfer", &body).await;
    assert_eq!(
        (status, &refused["field"]),
        (StatusCode::BAD_REQUEST, &json!("token")),
        "{refused}"
    );
    assert_eq!(seller.balance(SOMEBODY, token).await, 0);
    let own = seller.transfer_to(SOMEBODY, COIN, 7);
    let before = seller.balance(SOMEBODY, COIN).await;
    assert_eq!(seller.order("/transfer", &own).await.0, StatusCode::OK);
    assert_eq!(seller.balance(SOMEBODY, COIN).await, before + 7);
}

#[tokio::test]
async fn what_is_on_the_chain_and_no_token_is_refused() {
    let market = Market::open().await;
    let seller = &market.seller;
    // An account, and the contract that anchors logs.
    for address in [SOMEBODY, "0x66c140a563A95eDa73627aEE54a213189a4Bb1dD"] {
        let (status, refused) = seller.order("/tokens", &json!({"address": address})).await;
        assert_eq!(
            (status, &refused["field"]),
            (StatusCode::BAD_REQUEST, &json!("address")),
            "{refused}"
        );
    }
    let mint = json!({"to": SOMEBODY, "amount": 5});
    let (status, refused) = seller
        .order(&format!("/tokens/{}/mint", market.token), &mint)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    let (status, minted) = market
        .buyer
        .order(&format!("/tokens/{}/mint", market.token), &mint)
        .await;
    assert_eq!(status, StatusCode::OK, "{minted}");
    assert_eq!(seller.balance(SOMEBODY, &market.token).await, 5);
}

#[tokio::test]
async fn while_the_chain_is_away_nothing_is_charged_and_what_waits_is_done_afterwards() {
    let market = Market::open().await;
    market
        .buyer
        .allow(&market.token, market.seller.address(), 100)
        .await;
    let body = market.priced("later", 40);
    let Market {
        seller,
        buyer,
        token,
        devnet,
        _homes,
    } = market;
    let unplugged = devnet.unplug().await;
    let (status, refused) = share(&seller, &body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{refused}");
    let devnet = unplugged.plug_in().await;
    eventually("the share is paid for", || async {
        let (status, _) = share(&seller, &body).await;
        (status == StatusCode::CREATED).then_some(())
    })
    .await;
    assert_eq!(buyer.balance(seller.address(), &token).await, 40);
    drop(devnet);
}

#[tokio::test]
async fn tokens_and_transfers_are_there_after_a_restart() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let token = node.issue(500).await;
    let body = node.transfer_to(SOMEBODY, &token, 3);
    assert_eq!(node.order("/transfer", &body).await.0, StatusCode::OK);
    let node = node.restart().await;
    let (_, tokens) = answer(node.internal(Method::GET, "/tokens")).await;
    assert_eq!(tokens["tokens"][1]["address"], token);
    let (_, page) = answer(node.internal(Method::GET, "/transfers")).await;
    assert_eq!(page["count"], 2, "{page}");
    assert_eq!(page["transfers"][0]["status"], "completed");
    assert_eq!(node.order("/transfer", &body).await.0, StatusCode::OK);
    assert_eq!(node.balance(SOMEBODY, &token).await, 6);
}

#[tokio::test]
async fn the_command_line_moves_money_only_when_told_to() {
    let home = tempdir().unwrap();
    let node = Node::start(&home).await;
    let run = async |args: &[&str]| {
        let output = dm_node()
            .args(args)
            .env("DM_INTERNAL_API_URL", &node.started.internal_api)
            .env("DM_API_KEY", &node.started.api_key)
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let issue = [
        "tokens",
        "issue",
        "--name",
        "Data",
        "--symbol",
        "DATA",
        "--decimals",
        "6",
        "--supply",
        "10",
    ];
    let (done, _, errors) = run(&issue).await;
    assert!(!done && errors.contains("--yes"), "{errors}");
    let (done, printed, errors) = run(&[&issue[..], &["--yes"]].concat()).await;
    assert!(done && printed.contains("completed"), "{printed} {errors}");
    let (done, printed, errors) = run(&["transfer", "1.5", "DATA", "--to", SOMEBODY, "--yes"]).await;
    assert!(done && printed.contains("completed"), "{printed} {errors}");
    let (done, _, errors) = run(&["transfer", "0.0000001 DATA", "--to", SOMEBODY, "--yes"]).await;
    assert!(!done && errors.contains("decimal places"), "{errors}");
    let (done, _, errors) = run(&["transfer", "1", "NONE", "--to", SOMEBODY, "--yes"]).await;
    assert!(!done && errors.contains("no such token"), "{errors}");
    let (done, printed, errors) = run(&["balance", SOMEBODY]).await;
    assert!(
        done && printed.contains("1.5") && printed.contains("1500000"),
        "{printed} {errors}"
    );
    let (done, printed, errors) = run(&["balance"]).await;
    assert!(done && printed.contains("8.5"), "{printed} {errors}");
    for amount in ["2 DATA", "0 DATA"] {
        let approve = ["tokens", "approve", amount, "--spender", SOMEBODY, "--yes"];
        let (done, printed, errors) = run(&approve).await;
        assert!(done && printed.contains("completed"), "{printed} {errors}");
    }
    let (done, printed, errors) = run(&["transfers"]).await;
    assert!(
        done && printed.contains("transfer") && printed.contains("issue_token"),
        "{printed} {errors}"
    );
    let unknown = "ab".repeat(32);
    for command in [
        &["transfers", "retry", &unknown][..],
        &["transfers", "end", &unknown, "--reason", "paid in cash", "--yes"],
    ] {
        let (done, _, errors) = run(command).await;
        assert!(!done && errors.contains("there is no refund"), "{errors}");
    }
    let (done, _, errors) = run(&["transfers", "end", &unknown, "--reason", "paid in cash"]).await;
    assert!(!done && errors.contains("--yes"), "{errors}");
}

#[tokio::test]
async fn a_permit_for_the_new_operator_account_pays_after_a_change() {
    let market = Market::open().await;
    let Market {
        seller, buyer, token, ..
    } = &market;
    let owner = TestSigner::new(5);
    let funded = buyer.transfer_to(&owner.address().to_string(), token, 100);
    assert_eq!(buyer.order("/transfer", &funded).await.0, StatusCode::OK);
    let key = json!({"private_key": FUNDED_KEYS[2]});
    let (status, changed) = seller.order("/blockchain", &key).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    let operator = changed["operator"].as_str().unwrap();
    assert_ne!(operator, seller.address());
    let deadline = 4_000_000_000;
    let spender = operator.parse().unwrap();
    let hash = permit_hash(token.parse().unwrap(), owner.address(), spender, 30, deadline);
    let signature = owner.sign_hash(&hash).unwrap().as_bytes();
    let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({
        "from": owner.address().to_string(), "to": SOMEBODY, "amount": 30, "token": token,
        "permit": {"deadline": deadline, "signature": format!("0x{hex}")},
    });
    let (status, moved) = seller.order("/transfer", &body).await;
    assert_eq!(status, StatusCode::OK, "{moved}");
    assert_eq!(moved["gas_paid_by"], operator);
    assert_eq!(seller.balance(SOMEBODY, token).await, 30);
}

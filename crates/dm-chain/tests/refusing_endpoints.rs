//! Endpoints that speak of themselves, and contracts that refuse.

use std::sync::Arc;

use alloy::primitives::{Address, U256};
use dm_chain::{
    ChainAccess, EvmClient,
    embedded::{EmbeddedChain, Genesis},
};
use dm_core::{
    health::{Finding, Trouble},
    ports::{Chain, ChainError, Operations, TokenError, Tokens},
    token::NATIVE_TOKEN,
};
use dm_testing::{signer::TestSigner, waiting::eventually};
use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{
    account, client_of,
    fake_node::{FakeNode, Reply},
    journal,
    money::{done, pay},
    quick,
};

const TOKEN: Address = Address::repeat_byte(7);
/// Selector of `decimals()`.
const DECIMALS: &str = "0x313ce567";

/// What a node or provider answers, and what it means.
#[derive(Debug, Clone, Deserialize)]
struct Case {
    status: u16,
    body: Value,
    means: String,
}

impl Case {
    fn reply(&self) -> Reply {
        let body = match &self.body {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        Reply::Http(self.status, body.into_bytes())
    }

    fn is_of_the_endpoint(&self) -> bool {
        !matches!(&*self.means, "execution" | "request")
    }
}

fn cases() -> Vec<Case> {
    let lines = include_str!("cases/rpc-errors.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A client over each library.
fn clients(urls: &[String]) -> Vec<EvmClient> {
    let signer = Arc::new(TestSigner::new(0));
    vec![
        client_of(ChainAccess::urls(urls), signer.clone(), journal(), quick()),
        #[cfg(feature = "ethers")]
        client_of(ChainAccess::ethers_urls(urls), signer, journal(), quick()),
    ]
}

fn client(urls: &[String]) -> EvmClient {
    clients(urls).remove(0)
}

fn word(value: u64) -> Value {
    json!(format!("{:#066x}", value))
}

/// A node on which everybody has two coins, and a token with 18 decimal places is.
fn serving(method: &str, params: &Value) -> Reply {
    Reply::Result(match method {
        "eth_chainId" => json!("0x7a69"),
        "eth_getBalance" => json!("0x2"),
        "eth_getCode" => json!("0x01"),
        "eth_call" => match params[0]["input"].as_str() {
            Some(DECIMALS) => word(18),
            _ => word(1),
        },
        "eth_estimateGas" => json!("0x5208"),
        "eth_getBlockByNumber" => {
            json!({"number": "0x1", "timestamp": "0x1", "hash": format!("{:#066x}", 1), "baseFeePerGas": "0x3e8"})
        }
        "eth_getTransactionReceipt" => Value::Null,
        "eth_maxPriorityFeePerGas" => json!("0x1"),
        _ => return Reply::Error(-32601, "method not found"),
    })
}

/// The node, but for one method that it answers in another way.
async fn but(
    method: &'static str,
    reply: impl Fn(&Value) -> Option<Reply> + Send + Sync + 'static,
) -> FakeNode {
    FakeNode::start(move |asked, params| {
        let other = (asked == method).then(|| reply(params)).flatten();
        other.unwrap_or_else(|| serving(asked, params))
    })
    .await
}

fn limited() -> Reply {
    let body = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "daily request count exceeded"}});
    Reply::Http(429, body.to_string().into_bytes())
}

#[tokio::test]
async fn the_next_endpoint_is_asked_where_one_speaks_of_itself() {
    let good = FakeNode::start(serving).await;
    let tries = cases()
        .into_iter()
        .filter(Case::is_of_the_endpoint)
        .map(async |case| {
            let answer = case.clone();
            let bad = but("eth_getBalance", move |_| Some(answer.reply())).await;
            for client in clients(&[bad.url(), good.url()]) {
                let balance = client.native_balance(account(1)).await;
                assert_eq!(balance, Ok(U256::from(2)), "{case:?}");
            }
        });
    join_all(tries).await;
}

#[tokio::test]
async fn what_speaks_of_an_endpoint_is_no_fact_about_a_contract() {
    let tries = cases()
        .into_iter()
        .filter(Case::is_of_the_endpoint)
        .map(async |case| {
            let answer = case.clone();
            let bad = but("eth_call", move |_| Some(answer.reply())).await;
            for client in clients(&[bad.url()]) {
                let described = client.describe(TOKEN).await;
                let unavailable = matches!(described, Err(TokenError::Chain(ChainError::Unavailable(_))));
                assert!(unavailable, "{case:?}: {described:?}");
            }
        });
    join_all(tries).await;
}

#[tokio::test]
async fn what_the_evm_says_is_not_asked_of_another_endpoint() {
    let tries = cases()
        .into_iter()
        .filter(|case| case.means == "execution")
        .map(async |case| {
            let answer = case.clone();
            let refusing = but("eth_call", move |_| Some(answer.reply())).await;
            let other = FakeNode::start(serving).await;
            for client in clients(&[refusing.url(), other.url()]) {
                let balance = client.balance_of(TOKEN, account(1)).await;
                assert!(
                    matches!(balance, Err(TokenError::NotErc20 { .. })),
                    "{case:?}: {balance:?}"
                );
            }
            assert_eq!(other.asked_for("eth_call"), 0, "{case:?}");
        });
    join_all(tries).await;
}

#[tokio::test]
async fn a_rate_limit_for_the_decimals_is_no_token_without_decimals() {
    let node = but("eth_call", |params| {
        (params[0]["input"] == DECIMALS).then(limited)
    })
    .await;
    for client in clients(&[node.url()]) {
        let described = client.describe(TOKEN).await;
        let Err(TokenError::Chain(ChainError::Unavailable(reason))) = described else {
            panic!("{described:?}");
        };
        assert!(reason.contains("daily request count exceeded"), "{reason}");
    }
    let other = FakeNode::start(serving).await;
    for client in clients(&[node.url(), other.url()]) {
        assert_eq!(client.describe(TOKEN).await.unwrap().decimals, 18);
    }
}

#[tokio::test]
async fn an_estimate_that_is_limited_is_no_transaction_that_fails() {
    let node = but("eth_estimateGas", |_| Some(limited())).await;
    for client in clients(&[node.url()]) {
        let checked = client.check(&pay(NATIVE_TOKEN, account(1), 1)).await;
        assert!(matches!(checked, Err(ChainError::Unavailable(_))), "{checked:?}");
    }
}

#[tokio::test]
async fn all_endpoints_say_why_they_do_not_serve() {
    let limited = but("eth_getBalance", |_| Some(limited())).await;
    let denying = but("eth_getBalance", |_| {
        Some(Reply::Http(401, b"invalid project id".to_vec()))
    })
    .await;
    let failure = client(&[limited.url(), denying.url()])
        .native_balance(account(1))
        .await;
    let Err(ChainError::Unavailable(reason)) = failure else {
        panic!("{failure:?}");
    };
    for part in [
        limited.url().trim_start_matches("http://"),
        denying.url().trim_start_matches("http://"),
        "daily request count exceeded",
        "access denied (HTTP 401): invalid project id",
    ] {
        assert!(reason.contains(part), "{part} is missing in: {reason}");
    }
}

/// What the chain asks for each gas with these methods missing, by what a payment
/// without money would have to cost.
async fn price_without(missing: &'static [&'static str], as_page: bool) -> U256 {
    let node = FakeNode::start(move |method, params| match method {
        _ if missing.contains(&method) && as_page => Reply::Http(404, b"not found".to_vec()),
        _ if missing.contains(&method) => Reply::Error(-32601, "the method does not exist/is not available"),
        "eth_getBalance" => Reply::Result(json!("0x0")),
        "eth_gasPrice" => Reply::Result(json!("0x3eb")),
        "eth_feeHistory" => Reply::Result(json!({"reward": [["0x0"], ["0x2"], ["0x5"], ["0x9"]]})),
        _ => serving(method, params),
    })
    .await;
    let failure = client(&[node.url()])
        .check(&pay(NATIVE_TOKEN, account(1), 0))
        .await;
    let Err(ChainError::InsufficientFunds { needed, .. }) = failure else {
        panic!("{missing:?}: {failure:?}");
    };
    // 21,000 and a quarter, and twice the base fee of 1,000.
    needed / U256::from(26_250) - U256::from(2_000)
}

/// Methods that an endpoint lacks, and the tip that is found without them.
const MISSING_METHODS: &[(&[&str], u64)] = &[
    (&[], 1),
    (&["eth_gasPrice"], 1),
    (&["eth_maxPriorityFeePerGas"], 3),
    (&["eth_maxPriorityFeePerGas", "eth_feeHistory"], 3),
    (&["eth_maxPriorityFeePerGas", "eth_gasPrice"], 5),
];

#[tokio::test]
async fn a_missing_fee_method_is_replaced_by_another_one() {
    for as_page in [false, true] {
        for (missing, tip) in MISSING_METHODS {
            let found = price_without(missing, as_page).await;
            assert_eq!(found, U256::from(*tip), "{missing:?}");
        }
    }
}

#[tokio::test]
async fn no_text_shows_a_secret_that_an_endpoint_repeats() {
    let node = FakeNode::start(|method, _| match method {
        "eth_chainId" => Reply::Result(json!("0x7a69")),
        _ => Reply::Http(
            401,
            b"key 0123456789abcdef of bob with pa55word is invalid".to_vec(),
        ),
    })
    .await;
    let url = node.url().replace("http://", "http://bob:pa55word@") + "/v3/0123456789abcdef";
    for client in clients(&[url]) {
        let refused = client.native_balance(account(1)).await.unwrap_err().to_string();
        let texts = [
            refused,
            format!("{:?}", client.endpoints()),
            format!("{:?}", health_of(&client).await),
        ];
        for text in texts {
            for secret in ["0123456789abcdef", "bob", "pa55word"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}

/// What the health check finds.
async fn health_of(client: &EvmClient) -> Finding {
    dm_core::ports::HealthCheck::check(client).await
}

fn degraded(finding: Finding) -> Trouble {
    match finding {
        Finding::Degraded(trouble) => trouble,
        other => panic!("{other:?}"),
    }
}

fn failed(finding: Finding) -> Trouble {
    match finding {
        Finding::Failed(trouble) => trouble,
        other => panic!("{other:?}"),
    }
}

/// A chain whose newest block is new.
fn living(method: &str, params: &Value) -> Reply {
    match method {
        "eth_getBlockByNumber" => {
            let now = dm_core::clock::now_ms() / 1000;
            Reply::Result(json!({"number": format!("{now:#x}"), "timestamp": format!("{now:#x}")}))
        }
        _ => serving(method, params),
    }
}

#[tokio::test]
async fn a_chain_that_serves_everything_is_healthy() {
    let node = FakeNode::start(living).await;
    let client = client(&[node.url()]);
    assert_eq!(dm_core::ports::HealthCheck::part(&client), "chain");
    assert_eq!(health_of(&client).await, Finding::Working);
}

#[tokio::test]
async fn health_says_which_endpoint_refuses_what_and_what_to_do() {
    let refusing = FakeNode::start(|method, params| match method {
        "eth_call" => limited(),
        _ => living(method, params),
    })
    .await;
    let good = FakeNode::start(living).await;
    let client = client(&[refusing.url(), good.url()]);
    let trouble = degraded(health_of(&client).await);
    let name = refusing.url().replace("http://", "");
    for part in [&*name, "eth_call", "HTTP 429", "daily request count exceeded"] {
        assert!(trouble.reason.contains(part), "{trouble:?}");
    }
    assert!(
        !trouble.reason.contains(&good.url().replace("http://", "")),
        "{trouble:?}"
    );
    assert!(trouble.action.contains("larger plan"), "{trouble:?}");
    assert!(trouble.since.is_some());
}

#[tokio::test]
async fn a_chain_that_answers_the_head_alone_is_not_healthy() {
    let node = FakeNode::start(|method, params| match method {
        "eth_chainId" | "eth_getBlockByNumber" => living(method, params),
        _ => Reply::Http(403, b"Forbidden".to_vec()),
    })
    .await;
    let client = client(&[node.url()]);
    let trouble = failed(health_of(&client).await);
    assert!(trouble.reason.contains("access denied (HTTP 403)"), "{trouble:?}");
    assert!(trouble.action.contains("key"), "{trouble:?}");
    // What is served again is noticed with the next request.
    node.now(living);
    client.balance_of(TOKEN, account(1)).await.unwrap();
    let still = failed(health_of(&client).await);
    assert!(!still.reason.contains("eth_call"), "{still:?}");
}

#[tokio::test]
async fn an_endpoint_of_another_chain_is_told() {
    let wrong = FakeNode::start(|method, params| match method {
        "eth_chainId" => Reply::Result(json!("0x5")),
        _ => living(method, params),
    })
    .await;
    let right = FakeNode::start(living).await;
    let client = client(&[right.url(), wrong.url()]);
    client.native_balance(account(1)).await.unwrap();
    let trouble = degraded(health_of(&client).await);
    assert!(trouble.reason.contains("chain 5, not of 31337"), "{trouble:?}");
    assert!(trouble.action.contains("blockchain_url"), "{trouble:?}");
}

#[tokio::test]
async fn a_chain_that_is_away_is_told_with_the_reason() {
    let node = FakeNode::start(living).await;
    let url = node.url();
    drop(node);
    let client = client(&[url]);
    let trouble = failed(health_of(&client).await);
    assert!(trouble.action.contains("can be reached"), "{trouble:?}");
}

#[tokio::test]
async fn a_head_that_stands_still_is_told() {
    // Its only block is of 1970.
    let node = FakeNode::start(serving).await;
    let client = client(&[node.url()]);
    let trouble = degraded(health_of(&client).await);
    assert!(trouble.reason.contains("stands still at block 1"), "{trouble:?}");
    assert_eq!(trouble.since, Some(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_goes_to_the_next_endpoint_where_one_does_not_take_it() {
    let genesis = Genesis::funding([account(0)]);
    let chain = EmbeddedChain::open(journal(), genesis).await.unwrap();
    let (forward, good) = (crate::support::forward(&chain), crate::support::forward(&chain));
    let refusing = FakeNode::start(move |method, params| match method {
        "eth_sendRawTransaction" => Reply::Error(
            -32007,
            "25/second request limit reached - reduce calls per second",
        ),
        _ => forward(method, params),
    })
    .await;
    let alone = client(&[refusing.url()]);
    let good = FakeNode::start(good).await;
    let client = client(&[refusing.url(), good.url()]);
    let paid = done(&client, &pay(NATIVE_TOKEN, account(7), 5)).await.unwrap();
    assert_eq!(paid.received, U256::from(5));
    assert!(refusing.asked_for("eth_sendRawTransaction") > 0);
    let trouble = degraded(health_of(&client).await);
    assert!(trouble.reason.contains("eth_sendRawTransaction"), "{trouble:?}");
    // Without another endpoint the payment waits, and is not refused for good.
    let id = dm_core::operation::OperationId::random();
    alone.begin(id, &pay(NATIVE_TOKEN, account(7), 5)).await.unwrap();
    eventually("the endpoint is asked three times", async || {
        (refusing.asked_for("eth_sendRawTransaction") >= 3).then_some(())
    })
    .await;
    let trouble = failed(health_of(&alone).await);
    assert!(
        trouble
            .reason
            .contains("no endpoint of the chain serves eth_sendRawTransaction"),
        "{trouble:?}"
    );
}

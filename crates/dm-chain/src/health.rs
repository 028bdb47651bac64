//! The port `HealthCheck`: the chain is judged by what its endpoints answer to the
//! calls that the node lives on.

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes};
use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    health::{Finding, Trouble},
    ports::{Chain, HealthCheck},
};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    client::EvmClient,
    contract::anchor_contract,
    rpc::{Cause, Endpoint, MethodFailure, Objection},
};

/// How long all probes of a check may take together: who asks does not wait longer.
const PROBE_PATIENCE: Duration = Duration::from_millis(2_500);
/// A method that was not asked for so long is tried.
const PROBE_INTERVAL: Duration = Duration::from_secs(300);
/// An older look at the head is repeated.
const HEAD_AGE_MS: u64 = 8_000;

/// What an endpoint is asked before it is believed.
const IDENTITY: &str = "eth_chainId";

/// A method that the node cannot do without.
struct Needed {
    method: &'static str,
    /// What it is for.
    purpose: &'static str,
    /// Parameters with which it changes nothing.
    probe: fn() -> Value,
    /// Whether it is tried without a reason.
    always: bool,
}

/// The methods that are judged.
const NEEDED: [Needed; 5] = [
    Needed {
        method: "eth_getBlockByNumber",
        purpose: "blocks",
        probe: || json!(["latest", false]),
        always: true,
    },
    Needed {
        method: "eth_call",
        purpose: "reading contracts",
        probe: || json!([{"to": anchor_contract(), "input": Bytes::new()}, "latest"]),
        always: true,
    },
    Needed {
        method: "eth_estimateGas",
        purpose: "estimating gas",
        probe: || json!([{"from": Address::ZERO, "to": Address::ZERO}]),
        always: true,
    },
    Needed {
        method: "eth_getTransactionReceipt",
        purpose: "receipts",
        probe: || json!([B256::ZERO]),
        always: true,
    },
    Needed {
        method: "eth_sendRawTransaction",
        purpose: "sending transactions",
        // No transaction: an endpoint that serves the method says so.
        probe: || json!(["0x"]),
        always: false,
    },
];

#[async_trait]
impl HealthCheck for EvmClient {
    fn part(&self) -> &'static str {
        "chain"
    }

    async fn check(&self) -> Finding {
        self.look().await;
        judged(&self.node.endpoints()).unwrap_or_else(|| self.movement())
    }
}

impl EvmClient {
    /// Looks at the head, and at what nobody knows.
    async fn look(&self) {
        let head = async {
            let seen = self.head_watch.get();
            if seen.is_none_or(|seen| seen.last + HEAD_AGE_MS < now_ms()) {
                // What it refuses stands in the endpoint's record.
                let _ = self.head().await;
            }
        };
        let endpoints = self.node.endpoints();
        let probes = join_all(endpoints.iter().map(|endpoint| self.probe(endpoint)));
        let _ = tokio::time::timeout(PROBE_PATIENCE, async { tokio::join!(head, probes) }).await;
    }

    async fn probe(&self, endpoint: &Endpoint) {
        if endpoint.is_unknown(IDENTITY, PROBE_INTERVAL) && !self.node.confirm(endpoint).await {
            return;
        }
        let due = NEEDED.iter().filter(|needed| {
            let is_wanted = needed.always || endpoint.failure(needed.method).is_some();
            is_wanted && endpoint.is_unknown(needed.method, PROBE_INTERVAL)
        });
        join_all(due.map(|needed| self.node.probe(endpoint, needed.method, (needed.probe)()))).await;
    }

    fn movement(&self) -> Finding {
        let standing = self
            .stall_after
            .and_then(|patience| self.head_watch.standing(patience, now_ms()));
        match standing {
            None => Finding::Working,
            Some((number, since)) => Finding::Degraded(
                Trouble::new(
                    format!("the chain stands still at block {number}"),
                    "see whether the endpoint's node is in sync and the chain makes blocks; where it makes them on demand alone, set chain.stall_after_secs to 0",
                )
                .since(since),
            ),
        }
    }
}

/// What an endpoint does not serve.
struct Lack<'a> {
    endpoint: &'a str,
    /// `None` where it serves nothing.
    needed: Option<&'static Needed>,
    failure: MethodFailure,
}

impl Lack<'_> {
    fn is_of(&self, method: &str) -> bool {
        self.needed.is_none_or(|needed| needed.method == method)
    }

    fn in_words(&self) -> String {
        let (endpoint, reason) = (self.endpoint, &self.failure.reason);
        match self.needed {
            Some(needed) => format!(
                "{endpoint} does not serve {} ({}): {reason}",
                needed.method, needed.purpose
            ),
            None => format!("{endpoint}: {reason}"),
        }
    }

    fn action(&self) -> &'static str {
        match self.failure.cause {
            Cause::Silence => "see whether the endpoint runs and can be reached from this machine",
            Cause::OtherChain => "correct blockchain_url: all endpoints must belong to the same chain",
            Cause::Objection(Objection::Denied) => {
                "check the key in the endpoint's URL and the account at its provider"
            }
            Cause::Objection(Objection::Limited) => {
                "get a larger plan from the provider, or add an endpoint of another one to blockchain_url"
            }
            Cause::Objection(Objection::NotOffered) => {
                "check the endpoint's URL, and use an endpoint that offers the method"
            }
            Cause::Objection(_) => "ask the endpoint's provider, or look at the log of its node",
        }
    }
}

/// What the endpoints say of themselves; `None` where each serves everything.
fn judged(endpoints: &[Endpoint]) -> Option<Finding> {
    let lacks: Vec<Lack<'_>> = endpoints.iter().flat_map(lacks_of).collect();
    let first = lacks.first()?;
    let served_by_none = NEEDED
        .iter()
        .map(|needed| needed.method)
        .find(|method| lacks.iter().filter(|lack| lack.is_of(method)).count() == endpoints.len());
    let since = lacks.iter().map(|lack| lack.failure.since).min();
    let details = lacks.iter().map(Lack::in_words).collect::<Vec<_>>().join("; ");
    let trouble = |reason| Trouble {
        reason,
        action: first.action().to_owned(),
        since,
    };
    Some(match served_by_none {
        Some(_) if lacks.iter().all(|lack| lack.needed.is_none()) => Finding::Failed(trouble(format!(
            "no endpoint of the chain can be used: {details}"
        ))),
        Some(method) => Finding::Failed(trouble(format!(
            "no endpoint of the chain serves {method}: {details}"
        ))),
        None => Finding::Degraded(trouble(details)),
    })
}

fn lacks_of(endpoint: &Endpoint) -> Vec<Lack<'_>> {
    let lack = |needed: Option<&'static Needed>, failure| Lack {
        endpoint: endpoint.name(),
        needed,
        failure,
    };
    if let Some(failure) = endpoint.failure(IDENTITY) {
        return vec![lack(None, failure)];
    }
    NEEDED
        .iter()
        .filter_map(|needed| Some(lack(Some(needed), endpoint.failure(needed.method)?)))
        .collect()
}

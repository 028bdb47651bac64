//! Whether the endpoints of the chain answer, and speak of one chain.

use dm_core::config::NodeConfig;
use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::{
    Finding,
    clock::Reading,
    reach::{self, PATIENCE},
};

const CHECK: &str = "chain";
/// Seconds without a block after which a chain may stand still.
const OLD_HEAD: i64 = 600;

/// What was found, and what time it is there.
#[derive(Default)]
pub(super) struct Examined {
    pub(super) findings: Vec<Finding>,
    pub(super) clock: Vec<Reading>,
}

/// What an endpoint answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    chain_id: u64,
    height: u64,
    /// Seconds since its newest block.
    head_age: i64,
}

pub(super) async fn examine(config: &NodeConfig) -> Examined {
    if config.uses_devnet() {
        let found = "the embedded chain: for trying and developing, nobody else sees its anchors";
        return Examined {
            findings: vec![Finding::good(CHECK, found)],
            clock: Vec::new(),
        };
    }
    let mut examined = Examined::default();
    let mut answers = Vec::new();
    for url in config.blockchain_urls() {
        let Ok(url) = Url::parse(url) else {
            continue;
        };
        let place = reach::place(&url);
        if url.scheme().starts_with("http") {
            let answer = ask(&url, &place, &mut examined.clock).await;
            answers.push((place, answer));
        } else {
            examined.findings.push(socket(&url, &place).await);
        }
    }
    examined.findings.extend(judge(&answers));
    examined
}

/// An endpoint over a web socket is only connected to.
async fn socket(url: &Url, place: &str) -> Finding {
    let port = url.port_or_known_default().unwrap_or(80);
    match reach::connect(url.host_str().unwrap_or_default(), port).await {
        Ok(()) => Finding::good(CHECK, format!("{place} accepts connections; it was not asked")),
        Err(why) => away(place, &why),
    }
}

async fn ask(url: &Url, place: &str, clock: &mut Vec<Reading>) -> Result<Answer, String> {
    let client = Client::builder().timeout(PATIENCE).build().map_err(reach::why)?;
    let call = |method: &str, params: Value| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        client.post(url.clone()).json(&body).send()
    };
    let answer = call("eth_chainId", json!([])).await.map_err(reach::why)?;
    clock.extend(reach::clock_of(place.to_owned(), &answer));
    let chain_id: Value = answer.json().await.map_err(reach::why)?;
    let head = call("eth_getBlockByNumber", json!(["latest", false])).await;
    let head: Value = head.map_err(reach::why)?.json().await.map_err(reach::why)?;
    let read = |value: &Value| number(value).ok_or("its answer is not that of a chain".to_owned());
    Ok(Answer {
        chain_id: read(&chain_id["result"])?,
        height: read(&head["result"]["number"])?,
        head_age: jiff::Timestamp::now().as_second() - read(&head["result"]["timestamp"])? as i64,
    })
}

/// A number as JSON-RPC writes it: `"0x1f"`.
fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

fn judge(answers: &[(String, Result<Answer, String>)]) -> Vec<Finding> {
    let first = answers.iter().find_map(|(_, answer)| answer.as_ref().ok());
    let one = |(place, answer): &(String, Result<Answer, String>)| match answer {
        Err(why) => away(place, why),
        Ok(answer) if first.is_some_and(|first| first.chain_id != answer.chain_id) => {
            let found = format!(
                "{place} serves chain {}, and another endpoint does not",
                answer.chain_id
            );
            Finding::fault(CHECK, found, "name endpoints of one chain in blockchain_url")
        }
        Ok(answer) if answer.head_age > OLD_HEAD => {
            let found = format!(
                "{place} serves chain {}, whose block {} is {} s old",
                answer.chain_id, answer.height, answer.head_age
            );
            let action = "look whether the endpoint follows its chain, or the chain stands still";
            Finding::warning(CHECK, found, action)
        }
        Ok(answer) => Finding::good(
            CHECK,
            format!(
                "{place} serves chain {} at block {}",
                answer.chain_id, answer.height
            ),
        ),
    };
    answers.iter().map(one).collect()
}

fn away(place: &str, why: &str) -> Finding {
    let action = "check the endpoint in blockchain_url, the firewall, and the proxy variables";
    Finding::fault(CHECK, format!("{place} does not answer: {why}"), action)
}

#[cfg(test)]
mod tests {
    use super::{super::Severity, *};

    fn severities(answers: &[Result<Answer, String>]) -> Vec<Severity> {
        let named: Vec<_> = answers
            .iter()
            .map(|answer| ("https://chain.example".to_owned(), answer.clone()))
            .collect();
        judge(&named).iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn endpoints_that_are_away_late_or_of_another_chain_are_found() {
        let good = Answer {
            chain_id: 1,
            height: 7,
            head_age: 12,
        };
        let other = Answer { chain_id: 5, ..good };
        let late = Answer {
            head_age: 3600,
            ..good
        };
        assert_eq!(severities(&[Ok(good)]), [Severity::Good]);
        assert_eq!(
            severities(&[Err("x".to_owned()), Ok(good)]),
            [Severity::Fault, Severity::Good]
        );
        assert_eq!(
            severities(&[Ok(good), Ok(other)]),
            [Severity::Good, Severity::Fault]
        );
        assert_eq!(severities(&[Ok(late)]), [Severity::Warning]);
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_there_is_named_without_its_key() {
        let config = NodeConfig {
            blockchain_url: "http://user:SECRET@127.0.0.1:1/v3/SECRET".to_owned(),
            ..NodeConfig::default()
        };
        let findings = examine(&config).await.findings;
        assert_eq!(findings[0].severity, Severity::Fault);
        assert!(
            findings[0].found.contains("http://127.0.0.1:1 does not answer"),
            "{findings:?}"
        );
        assert!(!format!("{findings:?}").contains("SECRET"), "{findings:?}");
    }
}

//! What an error speaks of: a contract, the request, or the endpoint. There is no
//! standard: nodes and providers use the same codes for different things, so that
//! words count first, then the HTTP status, then the code.

use alloy::rpc::json_rpc::ErrorPayload;

/// What an error of JSON-RPC speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorOrigin {
    /// The EVM executed the call and ended it: every endpoint would say the same.
    Execution,
    /// The chain understood the request and has a reason against it.
    Request,
    /// The endpoint does not serve the request; another one may.
    Endpoint(Objection),
}

/// Why an endpoint does not serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objection {
    /// It wants another key, or a bill to be paid.
    Denied,
    /// Too many requests, or all that the plan includes is used.
    Limited,
    /// It has no such method, or not for this client.
    NotOffered,
    /// Something failed behind it.
    Internal,
    /// It lacks the block or the state: it lags, or has thrown it away.
    Behind,
    /// Nothing that is known.
    Unclear,
}

impl Objection {
    /// The objection in words, before the words of the endpoint.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Denied => "access denied",
            Self::Limited => "limit exceeded",
            Self::NotOffered => "method not offered",
            Self::Internal => "internal error",
            Self::Behind => "block or state not available",
            Self::Unclear => "error",
        }
    }

    /// Whether the same request may well succeed a moment later.
    pub(super) fn passes(self) -> bool {
        matches!(self, Self::Limited | Self::Internal | Self::Behind)
    }
}

/// What an error means that came for a method, with the HTTP status where it was
/// not 200.
pub(super) fn origin_of_error(method: &str, status: Option<u16>, payload: &ErrorPayload) -> ErrorOrigin {
    let text = text_of(payload);
    if executes(method) && is_execution(payload.code, &text) {
        return ErrorOrigin::Execution;
    }
    // Before the words: the method's own name may be among them (`eth_gasPrice`).
    if matches!(payload.code, METHOD_NOT_FOUND | -32604) {
        return ErrorOrigin::Endpoint(Objection::NotOffered);
    }
    // These say nothing but that there was too much, whatever is quoted beside them.
    if matches!(payload.code, 429 | 1008) || status == Some(429) {
        return ErrorOrigin::Endpoint(Objection::Limited);
    }
    if (executes(method) || sends(method)) && contains_any(&text, REQUEST) {
        return ErrorOrigin::Request;
    }
    if method == "eth_getLogs" && contains_any(&text, TOO_MUCH) {
        return ErrorOrigin::Endpoint(Objection::Unclear);
    }
    let objection = by_words(&text)
        .or_else(|| status.and_then(by_status))
        .or_else(|| by_code(method, payload.code));
    match objection {
        Some(objection) => ErrorOrigin::Endpoint(objection),
        None if sends(method) => ErrorOrigin::Request,
        None => ErrorOrigin::Endpoint(Objection::Unclear),
    }
}

/// What an answer means that is no JSON-RPC, such as the error page of a proxy;
/// `None` where it says nothing.
pub(super) fn objection_of_page(status: Option<u16>, page: &str) -> Option<Objection> {
    let known = status.and_then(by_status);
    known.or_else(|| by_words(&words_of_page(page)?.to_lowercase()))
}

/// What a page says; a result that was not understood says nothing, whatever its words.
fn words_of_page(page: &str) -> Option<String> {
    match serde_json::from_str(page) {
        Ok(serde_json::Value::Object(fields)) => {
            let said = ["error", "message"].map(|name| fields.get(name).and_then(|said| said.as_str()));
            said.into_iter().flatten().next().map(str::to_owned)
        }
        Ok(_) => None,
        Err(_) => Some(page.to_owned()),
    }
}

/// Whether the EVM runs to answer this.
fn executes(method: &str) -> bool {
    matches!(method, "eth_call" | "eth_estimateGas")
}

fn sends(method: &str) -> bool {
    method == "eth_sendRawTransaction"
}

/// All that an error says, in lower case.
fn text_of(payload: &ErrorPayload) -> String {
    let mut text = payload.message.to_lowercase();
    // Some nodes say the reason in the data alone: "VM execution error." with "Reverted 0x".
    if let Some(Ok(serde_json::Value::String(data))) = payload.try_data_as::<serde_json::Value>() {
        text.push(' ');
        text.push_str(&data.to_lowercase());
    }
    text
}

fn contains_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|words| text.contains(words))
}

fn is_execution(code: i64, text: &str) -> bool {
    // 3 is geth's code for a revert. Nethermind and OpenEthereum say -32015 for all
    // that goes wrong in the EVM, proxies for a time-out.
    code == 3 || contains_any(text, EXECUTION) || (code == -32015 && by_words(text).is_none())
}

fn by_words(text: &str) -> Option<Objection> {
    if is_about_the_method(text) {
        return Some(Objection::NotOffered);
    }
    WORDS
        .iter()
        .find(|(words, _)| text.contains(words))
        .map(|(_, objection)| *objection)
}

/// Such as "the method eth_x does not exist/is not available".
fn is_about_the_method(text: &str) -> bool {
    let denied = ["not ", "unsupported", "unknown", "disabled", "n't"];
    text.contains("method") && contains_any(text, &denied) && !contains_any(text, &["limit", "exceeded"])
}

fn by_status(status: u16) -> Option<Objection> {
    match status {
        401 | 402 | 403 | 407 => Some(Objection::Denied),
        404 | 405 | 410 | 501 => Some(Objection::NotOffered),
        429 => Some(Objection::Limited),
        408 | 500.. => Some(Objection::Internal),
        _ => None,
    }
}

fn by_code(method: &str, code: i64) -> Option<Objection> {
    match code {
        401 | 403 | -40100 => Some(Objection::Denied),
        -32005 => Some(Objection::Limited),
        -32055 => Some(Objection::Internal),
        // Besu has these for transactions that it does not take, others for themselves.
        _ if sends(method) => None,
        -32029 | -32090 | -32097 | -32605 => Some(Objection::Limited),
        -32053..=-32050 => Some(Objection::Denied),
        -32004 => Some(Objection::NotOffered),
        -32001 => Some(Objection::Behind),
        -32603 | -32002 | -32046 | -32017..=-32008 => Some(Objection::Internal),
        _ => None,
    }
}

/// JSON-RPC 2.0: the method does not exist.
const METHOD_NOT_FOUND: i64 = -32601;

/// Words of the EVM: geth, erigon, besu, nethermind, reth, anvil, hardhat, ganache.
const EXECUTION: &[&str] = &[
    "revert",
    "vm exception",
    "vm execution error",
    "evm error",
    "opcode",
    "bad instruction",
    "badinstruction",
    "invalid jump",
    "bad jump",
    "badjump",
    "out of gas",
    "outofgas",
    "gas required exceeds",
    "gas uint64 overflow",
    "stack underflow",
    "stackunderflow",
    "stack overflow",
    "stackoverflow",
    "stack limit reached",
    "write protection",
    "static context",
    "staticcallviolation",
    "return data out of bounds",
    "max code size exceeded",
    "max call depth exceeded",
    "contract address collision",
    "contract creation code storage",
    "invalid code: must not begin with 0xef",
    "always failing transaction",
    "execution halted",
    "memory limit of calls exceeded",
];

/// Words about a transaction or call that the chain does not take.
const REQUEST: &[&str] = &[
    "nonce",
    "already known",
    "alreadyknown",
    "already imported",
    "known transaction",
    "replacement",
    "underpriced",
    "insufficient funds",
    "insufficientfunds",
    "insufficient balance",
    "insufficient sender balance",
    "enough funds",
    "lack of funds",
    "upfront cost",
    "intrinsic gas",
    "gas price",
    "gasprice",
    "gas limit",
    "block base fee",
    "fee per gas",
    "fee too low",
    "feetoolow",
    "fee cap",
    "exceeds the configured cap",
    "pool is full",
    "pool full",
    "poolfull",
    "inflight transaction",
    "in-flight transaction",
    "accountlimitexceeded",
    "transaction type",
    "initcode",
    "sender account",
    "invalid sender",
    "replay-protected",
    "oversized data",
];

/// Words about too many logs at once.
const TOO_MUCH: &[&str] = &["range", "results", "response size", "limited to", "query"];

/// Words of endpoints; the first that occur count.
const WORDS: &[(&str, Objection)] = &[
    ("rate limit", Objection::Limited),
    ("rate-limit", Objection::Limited),
    ("ratelimit", Objection::Limited),
    ("rate exceeded", Objection::Limited),
    ("too many", Objection::Limited),
    ("request limit", Objection::Limited),
    ("requests limited", Objection::Limited),
    ("usage limit", Objection::Limited),
    ("limit reached", Objection::Limited),
    ("request count", Objection::Limited),
    ("exceeded", Objection::Limited),
    ("capacity", Objection::Limited),
    ("compute unit", Objection::Limited),
    ("quota", Objection::Limited),
    ("credits", Objection::Limited),
    ("throttl", Objection::Limited),
    ("concurrent requests", Objection::Limited),
    ("free tier", Objection::Limited),
    ("freetier", Objection::Limited),
    ("unauthori", Objection::Denied),
    ("not authori", Objection::Denied),
    ("authenticat", Objection::Denied),
    ("api key", Objection::Denied),
    ("api-key", Objection::Denied),
    ("apikey", Objection::Denied),
    ("project id", Objection::Denied),
    ("access token", Objection::Denied),
    ("token is invalid", Objection::Denied),
    ("access key", Objection::Denied),
    ("access denied", Objection::Denied),
    ("not allowed", Objection::Denied),
    ("forbidden", Objection::Denied),
    ("permission denied", Objection::Denied),
    ("whitelist", Objection::Denied),
    ("allowlist", Objection::Denied),
    ("inactive", Objection::Denied),
    ("suspended", Objection::Denied),
    ("billing", Objection::Denied),
    ("payment required", Objection::Denied),
    ("your plan", Objection::Denied),
    ("current plan", Objection::Denied),
    ("not enabled", Objection::Denied),
    ("missing trie node", Objection::Behind),
    ("header not found", Objection::Behind),
    ("block not found", Objection::Behind),
    ("unknown block", Objection::Behind),
    ("block is not available", Objection::Behind),
    ("after last accepted block", Objection::Behind),
    ("historical state", Objection::Behind),
    ("state is not available", Objection::Behind),
    ("state not available", Objection::Behind),
    ("state unavailable", Objection::Behind),
    ("no state available", Objection::Behind),
    ("pruned", Objection::Behind),
    ("syncing", Objection::Behind),
    ("sync is still in progress", Objection::Behind),
    ("internal", Objection::Internal),
    ("server error", Objection::Internal),
    ("timeout", Objection::Internal),
    ("timed out", Objection::Internal),
    ("execution aborted", Objection::Internal),
    ("gateway", Objection::Internal),
    ("unavailable", Objection::Internal),
    ("no nodes available", Objection::Internal),
    ("no available", Objection::Internal),
    ("upstream", Objection::Internal),
    ("backend", Objection::Internal),
    ("cannot fulfill request", Objection::Internal),
    ("handler crashed", Objection::Internal),
    ("overload", Objection::Internal),
    ("too much load", Objection::Internal),
    ("try again", Objection::Internal),
    ("not found", Objection::NotOffered),
    ("not supported", Objection::NotOffered),
];

#[cfg(test)]
mod tests {
    use alloy::rpc::json_rpc::{Response, ResponsePayload};
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    /// What a node or provider answers, and what it means.
    #[derive(Deserialize)]
    struct Case {
        who: String,
        method: String,
        status: u16,
        body: Value,
        means: String,
    }

    impl Case {
        fn meaning(&self) -> ErrorOrigin {
            let status = Some(self.status).filter(|status| *status != 200);
            let body = match &self.body {
                Value::String(text) => text.clone(),
                json => json.to_string(),
            };
            match serde_json::from_str::<Response>(&body).map(|answer| answer.payload) {
                Ok(ResponsePayload::Failure(payload)) => origin_of_error(&self.method, status, &payload),
                _ => ErrorOrigin::Endpoint(objection_of_page(status, &body).unwrap_or(Objection::Unclear)),
            }
        }
    }

    fn named(meaning: ErrorOrigin) -> &'static str {
        match meaning {
            ErrorOrigin::Execution => "execution",
            ErrorOrigin::Request => "request",
            ErrorOrigin::Endpoint(objection) => match objection {
                Objection::Denied => "denied",
                Objection::Limited => "limited",
                Objection::NotOffered => "not offered",
                Objection::Internal => "internal",
                Objection::Behind => "behind",
                Objection::Unclear => "unclear",
            },
        }
    }

    #[test]
    fn what_nodes_and_providers_answer_is_understood() {
        let cases = include_str!("../../tests/cases/rpc-errors.jsonl");
        let misunderstood: Vec<String> = cases
            .lines()
            .map(|line| serde_json::from_str::<Case>(line).unwrap())
            .filter(|case| named(case.meaning()) != case.means)
            .map(|case| {
                format!(
                    "{}: {} {} is {}, not {}",
                    case.who,
                    case.method,
                    case.body,
                    case.means,
                    named(case.meaning())
                )
            })
            .collect();
        assert!(misunderstood.is_empty(), "{}", misunderstood.join("\n"));
    }

    #[test]
    fn a_limit_is_no_reason_against_a_transaction_whatever_words_go_with_it() {
        for (code, message) in [
            (429, "capacity exceeded"),
            (429, "too many requests for gas price and nonce"),
            (1008, "replacement of the connection"),
            (-32005, "daily request count exceeded, request rate limited"),
            (-32016, "your IP has exceeded its rate limit"),
            (-32012, "credits limited to 6000/sec"),
            (-32007, "100/second request limit reached"),
            (-32000, "rate exceeded"),
            (-32000, "maximum number of concurrent requests"),
        ] {
            let payload = ErrorPayload {
                code,
                message: message.into(),
                data: None,
            };
            assert_eq!(
                origin_of_error("eth_sendRawTransaction", None, &payload),
                ErrorOrigin::Endpoint(Objection::Limited),
                "{code} {message}"
            );
        }
    }

    #[test]
    fn without_a_status_a_page_is_judged_by_its_words() {
        assert_eq!(objection_of_page(None, "not found"), Some(Objection::NotOffered));
        assert_eq!(
            objection_of_page(None, "<html><h1>429 Too Many Requests</h1></html>"),
            Some(Objection::Limited)
        );
        assert_eq!(objection_of_page(None, "0xzz"), None);
        assert_eq!(objection_of_page(None, "\"rate limit\""), None);
        assert_eq!(
            objection_of_page(None, "{\"error\":\"unauthorized\"}"),
            Some(Objection::Denied)
        );
    }
}

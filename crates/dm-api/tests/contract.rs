//! The OpenAPI documents say what the servers do: whatever they allow is accepted,
//! whatever they forbid is refused, and every answer is as they describe it.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use dm_core::config::ApiConfig;
use reqwest::{
    Method,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Map, Value, json};

use crate::common::{
    RECIPIENT, TestConfig, TestNode,
    operation::Operation,
    schema::{Generator, Schemas},
    start_with,
};

/// Requests of each operation that its document allows.
const ALLOWED_REQUESTS: usize = 24;

/// What is sent: the texts of parameters, and a body.
#[derive(Clone, Debug, Default)]
struct Sent {
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Sent {
    fn put(&mut self, parameter: &Value, text: String) {
        let list = match parameter["in"].as_str().unwrap() {
            "path" => &mut self.path,
            "query" => &mut self.query,
            _ => &mut self.headers,
        };
        let name = parameter["name"].as_str().unwrap();
        list.retain(|(other, _)| other != name);
        list.push((name.to_owned(), text));
    }
}

/// What came back.
#[derive(Debug)]
struct Got {
    status: u16,
    media_type: String,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// The text of a value in a path, a query string or a header.
fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Whether the schema of a parameter allows a text.
fn allows_text(schemas: &Schemas, schema: &Value, text: &str) -> bool {
    let as_other = || {
        serde_json::from_str(text)
            .ok()
            .filter(|value: &Value| !value.is_string())
    };
    schemas.allows(schema, &json!(text)) || as_other().is_some_and(|value| schemas.allows(schema, &value))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// One server, its document, and what it has to show.
struct Contract<'a> {
    base: &'a str,
    node: &'a TestNode,
    schemas: &'a Schemas,
    /// Values of parameters that name something.
    known: Vec<(&'a str, String)>,
    generator: Generator<'a>,
    faults: Vec<String>,
}

impl<'a> Contract<'a> {
    async fn send(&self, operation: &Operation<'_>, sent: &Sent) -> Got {
        let mut path = operation.path.to_owned();
        for (name, text) in &sent.path {
            path = path.replace(&format!("{{{name}}}"), &encoded(text));
        }
        let query: Vec<String> = sent
            .query
            .iter()
            .map(|(name, text)| format!("{name}={}", encoded(text)))
            .collect();
        let url = format!("{}{path}?{}", self.base, query.join("&"));
        let mut request = self.node.bare(operation.method.clone(), &url);
        request = request.header("X-API-Key", &self.node.keys.admin);
        for (name, text) in &sent.headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        }
        if let Some(body) = &sent.body {
            request = request.body(body.clone());
        }
        if let Some(upload_type) = operation.upload_type() {
            request = request.header("Content-Type", upload_type);
        }
        let response = request.send().await.unwrap();
        assert!(response.headers().contains_key("x-request-id"));
        let media_type = response.headers().get("content-type");
        let media_type = media_type.map_or("", |value| value.to_str().unwrap());
        Got {
            status: response.status().as_u16(),
            media_type: media_type.to_owned(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    /// Notes what is wrong with the answer to a request.
    fn note(&mut self, operation: &Operation<'_>, sent: &Sent, got: &Got, verdict: Result<(), String>) {
        let described = self.is_described(operation, got);
        if let Err(fault) = described.and(verdict) {
            let body = String::from_utf8_lossy(&got.body);
            self.faults.push(format!(
                "{} {}: {fault}\n    {sent:?}\n    {} {body}",
                operation.method, operation.path, got.status
            ));
        }
    }

    /// Whether an answer is one of those that the document describes.
    fn is_described(&self, operation: &Operation<'_>, got: &Got) -> Result<(), String> {
        let described = &operation.description["responses"][got.status.to_string()];
        if !described.is_object() || got.status == 500 {
            return Err("the status is not documented, or the node's fault".to_owned());
        }
        let content = described["content"].as_object();
        let Some(content) = content.filter(|_| operation.method != Method::HEAD) else {
            let is_empty = got.body.is_empty();
            return is_empty
                .then_some(())
                .ok_or("the body is not documented".to_owned());
        };
        let Some(of_type) = content.get(&got.media_type) else {
            return Err(format!("the media type {} is not documented", got.media_type));
        };
        let is_json = got.media_type == "application/json";
        let fault = is_json.then(|| self.schemas.fault(&of_type["schema"], &got.json()));
        fault.flatten().map_or(Ok(()), Err)
    }

    /// A request that the document allows, with all that is required and, where it is
    /// `complete`, some of the rest.
    fn allowed(&mut self, operation: &Operation<'_>, complete: bool) -> Sent {
        let mut sent = Sent::default();
        let mut given = BTreeSet::new();
        for parameter in operation.parameters() {
            let name = parameter["name"].as_str().unwrap();
            let is_wanted = parameter["required"] == true || given.contains(name);
            let is_added = complete && self.generator.coin();
            if !is_wanted && !is_added {
                continue;
            }
            if let Some(text) = self.parameter(parameter) {
                sent.put(parameter, text);
                given.extend(names(&parameter["x-with"]));
            }
        }
        // Those that come together only with one before them.
        for parameter in operation.parameters() {
            let name = parameter["name"].as_str().unwrap();
            let lists = [&sent.path, &sent.query, &sent.headers];
            let is_there = lists
                .iter()
                .any(|list| list.iter().any(|(other, _)| other == name));
            if given.contains(name) && !is_there {
                let text = self.plain_parameter(parameter);
                sent.put(parameter, text);
            }
        }
        if let Some(schema) = operation.body() {
            sent.body = Some(self.generator.allowed(schema, complete).to_string());
        } else if operation.is_upload() {
            sent.body = Some(format!("upload {}", self.generator.below(1000)));
        }
        sent
    }

    fn plain_parameter(&mut self, parameter: &Value) -> String {
        loop {
            if let Some(text) = self.parameter(parameter) {
                return text;
            }
        }
    }

    fn parameter(&mut self, parameter: &Value) -> Option<String> {
        let known: Vec<&String> = self
            .known
            .iter()
            .filter(|(name, _)| parameter["name"] == **name)
            .map(|(_, text)| text)
            .collect();
        if !known.is_empty() && self.generator.coin() {
            return Some(known[self.generator.below(known.len())].clone());
        }
        let value = self.generator.allowed(&parameter["schema"], true);
        as_text(&value).filter(|text| can_be_sent(parameter, text))
    }

    /// Requests that the document allows get an answer that it describes, and no
    /// refusal but for what it says is checked further.
    async fn accepts_what_is_allowed(&mut self, operation: &Operation<'_>) {
        for _ in 0..ALLOWED_REQUESTS {
            let sent = self.allowed(operation, true);
            let got = self.send(operation, &sent).await;
            let verdict = self.is_accepted(operation, &got);
            self.note(operation, &sent, &got, verdict);
        }
    }

    fn is_accepted(&self, operation: &Operation<'_>, got: &Got) -> Result<(), String> {
        let answer = got.json();
        let field = answer["field"].as_str().unwrap_or_default();
        let is_refused = got.status == 422 && operation.method != Method::HEAD;
        if is_refused && !operation.is_checked_further(field) {
            return Err("it is refused although the document allows it".to_owned());
        }
        Ok(())
    }

    /// Requests of which one part is forbidden are refused, and the part is named.
    async fn refuses_what_is_forbidden(&mut self, operation: &Operation<'_>) {
        let base = self.allowed(operation, false);
        for parameter in operation.parameters() {
            let name = parameter["name"].as_str().unwrap();
            for value in self.generator.forbidden(&parameter["schema"]) {
                let text = as_text(&value).filter(|text| can_be_sent(parameter, text));
                let forbidden = text.filter(|text| !allows_text(self.schemas, &parameter["schema"], text));
                if let Some(text) = forbidden {
                    let mut sent = base.clone();
                    sent.put(parameter, text);
                    self.add_companions(operation, parameter, &mut sent);
                    let field = parameter["x-field"].as_str().unwrap_or(name);
                    match parameter["x-refused-with"].as_u64() {
                        None => self.refuses(operation, &sent, field).await,
                        Some(status) => self.refuses_with(status, operation, &sent).await,
                    }
                }
            }
            if parameter["required"] == true && parameter["in"] == "query" {
                let mut sent = base.clone();
                sent.query.retain(|(other, _)| other != name);
                self.refuses(operation, &sent, name).await;
            }
        }
        if let Some(schema) = operation.body() {
            self.refuses_forbidden_bodies(operation, &base, schema).await;
        }
    }

    async fn refuses_forbidden_bodies(&mut self, operation: &Operation<'_>, base: &Sent, schema: &Value) {
        let schema = self.schemas.resolve(schema);
        let body = base.body.as_deref().unwrap_or_default();
        let fields: Map<String, Value> = serde_json::from_str(body).unwrap();
        let mut sent = base.clone();
        for text in ["", "{", "[]", "1", "\"text\"", "null", "{\"a\": 1,}", "\u{feff}"] {
            sent.body = Some(text.to_owned());
            self.refuses(operation, &sent, "").await;
        }
        for (name, of_field) in schema["properties"].as_object().unwrap() {
            for value in self.generator.forbidden(of_field) {
                let mut fields = fields.clone();
                fields.insert(name.clone(), value);
                for other in names(&schema["dependentRequired"][name]) {
                    let of_other = &schema["properties"][other];
                    fields.insert(other.to_owned(), self.generator.allowed(of_other, false));
                }
                sent.body = Some(Value::Object(fields).to_string());
                self.refuses(operation, &sent, name).await;
            }
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            let mut fields = fields.clone();
            fields.remove(name);
            sent.body = Some(Value::Object(fields).to_string());
            self.refuses(operation, &sent, name).await;
        }
    }

    /// Another status, which says enough.
    async fn refuses_with(&mut self, status: u64, operation: &Operation<'_>, sent: &Sent) {
        let got = self.send(operation, sent).await;
        let verdict = match u64::from(got.status) == status {
            true => Ok(()),
            false => Err(format!("it is not refused with {status}")),
        };
        self.note(operation, sent, &got, verdict);
    }

    /// 422 with this field, or another name of it that the document gives.
    async fn refuses(&mut self, operation: &Operation<'_>, sent: &Sent, field: &str) {
        let got = self.send(operation, sent).await;
        let answer = got.json();
        let named = answer["field"].as_str().unwrap_or_default();
        let is_named = named == field || operation.description["x-field"] == named;
        let verdict = if got.status != 422 {
            Err("it is accepted although the document forbids it".to_owned())
        } else if is_named
            || field.is_empty()
            || operation.method == Method::HEAD
            || operation.is_checked_further(named)
        {
            Ok(())
        } else {
            Err(format!("the answer names not {field}"))
        };
        self.note(operation, sent, &got, verdict);
    }

    /// Adds the parameters that come together with this one.
    fn add_companions(&mut self, operation: &Operation<'_>, parameter: &Value, sent: &mut Sent) {
        for other in operation.parameters() {
            let is_companion = names(&parameter["x-with"]).any(|name| other["name"] == name);
            if is_companion {
                let text = self.plain_parameter(other);
                sent.put(other, text);
            }
        }
    }
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether a client could send the text in this place at all.
fn can_be_sent(parameter: &Value, text: &str) -> bool {
    match parameter["in"].as_str().unwrap() {
        "path" => !text.is_empty() && !text.contains('/'),
        "header" => text.trim() == text && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '),
        _ => true,
    }
}

async fn node() -> TestNode {
    let patient = |config: ApiConfig| ApiConfig {
        idle_timeout_secs: 60,
        ..config
    };
    let setup = TestConfig::default();
    start_with(TestConfig {
        internal: patient(setup.internal.clone()),
        external: patient(setup.external.clone()),
        ..setup
    })
    .await
}

async fn holds(document: &str, is_external: bool) {
    let node = node().await;
    // Else whoever asks for events to come would wait for them.
    node.events.end_waiting();
    let schemas = Schemas::of(document);
    let base = if is_external {
        &node.external
    } else {
        &node.internal
    };
    let mut contract = Contract {
        base,
        node: &node,
        schemas: &schemas,
        known: Vec::new(),
        generator: Generator::new(&schemas),
        faults: Vec::new(),
    };
    for (number, operation) in Operation::all(&schemas).iter().enumerate() {
        // The operation before may have erased what there was.
        let body = json!({"data": format!("for operation {number}"), "recipient": RECIPIENT});
        let shared = node.share(&body).await;
        contract.known = vec![
            ("data_hash", shared.body["data_hash"].as_str().unwrap().to_owned()),
            ("index", shared.body["receipt"].to_string()),
            ("version", "1".to_owned()),
            ("recipient", RECIPIENT.to_owned()),
            ("healthy", "true".to_owned()),
            ("Range", "bytes=1-2".to_owned()),
            (
                "Upload-Metadata",
                format!("recipients {}", STANDARD.encode(RECIPIENT)),
            ),
            ("Upload-Length", "8".to_owned()),
            ("Upload-Offset", "0".to_owned()),
        ];
        contract.refuses_what_is_forbidden(operation).await;
        contract.accepts_what_is_allowed(operation).await;
    }
    let faults = contract.faults.join("\n");
    assert!(faults.is_empty(), "{faults}");
}

#[actix_web::test]
async fn clients_get_what_their_document_says() {
    holds(include_str!("../openapi/external.json"), true).await;
}

#[actix_web::test]
async fn operators_get_what_their_document_says() {
    holds(include_str!("../openapi/internal.json"), false).await;
}

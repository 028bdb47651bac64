//! The committed OpenAPI documents describe the routes, all of them and no others.

use std::collections::{BTreeMap, BTreeSet};

use dm_api::{Access, RouteInfo, external_routes, internal_routes};
use dm_core::{api_key::Scope, event::EventKind, user::KeyKind};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::start;

fn documented(text: &str) -> BTreeMap<(String, String), Value> {
    let document: Value = serde_json::from_str(text).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.insert((method.to_uppercase(), path.clone()), operation.clone());
        }
    }
    operations
}

fn check(text: &str, routes: &[RouteInfo]) {
    let documented = documented(text);
    let described: BTreeSet<_> = documented.keys().cloned().collect();
    let served: BTreeSet<_> = routes
        .iter()
        .map(|route| (route.method.to_string(), route.path.to_owned()))
        .collect();
    assert_eq!(described, served);
    for route in routes {
        let operation = &documented[&(route.method.to_string(), route.path.to_owned())];
        let scope = match route.access {
            Access::Open => None,
            Access::Needs(scope) => Some(scope.as_str()),
        };
        for (place, way) in ["ApiKey", "Bearer"].into_iter().enumerate() {
            assert_eq!(operation["security"][place][way][0].as_str(), scope, "{route:?}");
        }
    }
}

#[test]
fn the_documents_and_the_routes_agree() {
    check(include_str!("../openapi/internal.json"), &internal_routes());
    check(include_str!("../openapi/external.json"), &external_routes());
}

#[actix_web::test]
async fn each_api_serves_its_document_without_a_key() {
    let node = start().await;
    for (api, text) in [
        (&node.internal, include_str!("../openapi/internal.json")),
        (&node.external, include_str!("../openapi/external.json")),
    ] {
        let request = node.bare(Method::GET, &format!("{api}/openapi.json"));
        let served = request.send().await.unwrap();
        assert_eq!(served.headers()["content-type"], "application/json");
        assert_eq!(served.text().await.unwrap(), text);
    }
}

/// A new scope, kind of event or kind of key is told to clients.
#[test]
fn the_documents_name_every_scope_kind_of_event_and_kind_of_key() {
    let internal: Value = serde_json::from_str(include_str!("../openapi/internal.json")).unwrap();
    let external: Value = serde_json::from_str(include_str!("../openapi/external.json")).unwrap();
    let names = |document: &Value, path: &str| document["components"]["schemas"].pointer(path).cloned();
    assert_eq!(names(&internal, "/Scope/enum"), Some(json!(Scope::ALL)));
    assert_eq!(names(&external, "/EventType/enum"), Some(json!(EventKind::ALL)));
    let kinds = names(&internal, "/User/properties/kind/enum");
    assert_eq!(kinds, Some(json!(KeyKind::ALL)));
}

#[test]
fn every_reference_in_the_documents_leads_somewhere() {
    for text in [
        include_str!("../openapi/internal.json"),
        include_str!("../openapi/external.json"),
    ] {
        let document: Value = serde_json::from_str(text).unwrap();
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                        let target = reference.trim_start_matches('#');
                        assert!(document.pointer(target).is_some(), "{reference}");
                    }
                    open.extend(fields.values());
                }
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
    }
}

/// The names that the documents give to operations and bodies are those of functions and
/// types in generated clients.
#[test]
fn generated_clients_have_names_for_every_operation_and_body() {
    for text in [
        include_str!("../openapi/internal.json"),
        include_str!("../openapi/external.json"),
    ] {
        let document: Value = serde_json::from_str(text).unwrap();
        let groups = document["tags"].as_array().unwrap().iter();
        let groups: BTreeSet<_> = groups.map(|group| group["name"].as_str().unwrap()).collect();
        let (mut ids, mut used) = (BTreeSet::new(), BTreeSet::new());
        let operations = documented(text);
        for (route, operation) in &operations {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is the name of several operations");
            assert!(
                id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{id}"
            );
            assert!(operation["summary"].is_string(), "{route:?}");
            let [group] = &operation["tags"].as_array().unwrap()[..] else {
                panic!("{route:?} is not in one group");
            };
            used.insert(group.as_str().unwrap());
            for body in json_bodies(operation) {
                assert!(
                    body["$ref"].is_string(),
                    "{route:?} has a body without a name: {body}"
                );
            }
        }
        assert_eq!(used, groups);
    }
}

#[test]
fn every_refusal_has_a_body_that_is_described() {
    for text in [
        include_str!("../openapi/internal.json"),
        include_str!("../openapi/external.json"),
    ] {
        for ((method, path), operation) in documented(text) {
            let answers = operation["responses"].as_object().unwrap();
            let refusals = answers.iter().filter(|(status, _)| status.as_str() >= "400");
            for (status, answer) in refusals {
                let body = answer.pointer("/content/application~1json/schema");
                // Whoever reads a body of an answer to HEAD fails.
                assert_eq!(body.is_some(), method != "HEAD", "{method} {path} {status}");
            }
        }
    }
}

/// The schemas of the JSON bodies that an operation takes and answers with.
fn json_bodies(operation: &Value) -> Vec<&Value> {
    let answers = operation["responses"].as_object().unwrap().values();
    let all = answers.chain(operation.get("requestBody"));
    all.filter_map(|body| body.pointer("/content/application~1json/schema"))
        .collect()
}

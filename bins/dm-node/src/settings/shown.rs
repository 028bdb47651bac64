//! The settings that are given, as they may be shown.

use figment::value::{Dict, Value};

use super::names::is_secret;

/// What stands for a secret.
const HIDDEN: &str = "(removed)";

/// The settings as JSON, without secrets.
pub(super) fn shown(given: &Dict) -> serde_json::Value {
    section(given, &mut Vec::new())
}

fn section(settings: &Dict, path: &mut Vec<String>) -> serde_json::Value {
    let mut shown = serde_json::Map::new();
    for (name, value) in settings {
        path.push(name.clone());
        let value = match value {
            _ if is_secret(path) => HIDDEN.into(),
            Value::Dict(_, settings) => section(settings, path),
            value => serde_json::to_value(value).unwrap_or_else(|_| HIDDEN.into()),
        };
        path.pop();
        shown.insert(name.clone(), value);
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_everything_else_is() {
        let storage = Dict::from([(
            "s3".to_owned(),
            Value::from(Dict::from([
                ("region".to_owned(), Value::from("eu")),
                ("secret_access_key".to_owned(), Value::from("hidden")),
            ])),
        )]);
        let given = Dict::from([
            ("node_id".to_owned(), Value::from("a")),
            ("private_key".to_owned(), Value::from("hidden")),
            ("storage".to_owned(), Value::from(storage)),
        ]);
        let shown = shown(&given);
        assert_eq!(shown["node_id"], "a");
        assert_eq!(shown["storage"]["s3"]["region"], "eu");
        assert_eq!(shown["private_key"], HIDDEN);
        assert!(!shown.to_string().contains("hidden"), "{shown}");
    }
}

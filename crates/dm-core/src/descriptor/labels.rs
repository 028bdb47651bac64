//! Labels: pairs of texts that programs sort data by.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};

use super::{InvalidDescription, fields::is_deceptive};

/// Labels of one object.
const MAX_LABELS: usize = 32;
/// Characters of a key.
const MAX_KEY: usize = 64;
/// Characters of a value.
const MAX_VALUE: usize = 256;

/// At most 32 labels. Keys are 1 to 64 of `A-Z a-z 0-9 _ . -`; values have at most 256
/// characters, none of them a control character or one that changes the direction of
/// writing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "LabelPairs")]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl TryFrom<LabelPairs> for Labels {
    type Error = InvalidDescription;

    fn try_from(pairs: LabelPairs) -> Result<Self, InvalidDescription> {
        let invalid = |reason: String| InvalidDescription::new("labels", reason);
        if pairs.0.len() > MAX_LABELS {
            return Err(invalid(format!("must be at most {MAX_LABELS}")));
        }
        let mut labels = BTreeMap::new();
        for (key, value) in pairs.0 {
            ensure_key(&key).map_err(invalid)?;
            ensure_value(&key, &value).map_err(invalid)?;
            if labels.contains_key(&key) {
                return Err(invalid(format!("must have each key once, and have {key} twice")));
            }
            labels.insert(key, value);
        }
        Ok(Self(labels))
    }
}

fn ensure_key(key: &str) -> Result<(), String> {
    let is_key = (1..=MAX_KEY).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    match is_key {
        true => Ok(()),
        false => Err("must have keys of 1 to 64 of the characters A-Z a-z 0-9 _ . -".to_owned()),
    }
}

fn ensure_value(key: &str, value: &str) -> Result<(), String> {
    if value.chars().count() > MAX_VALUE {
        return Err(format!(
            "must have values of at most {MAX_VALUE} characters, and {key} has a longer one"
        ));
    }
    match value.contains(is_deceptive) {
        true => Err(format!(
            "must have values without control characters, line breaks or marks that change the direction of writing, and {key} has one"
        )),
        false => Ok(()),
    }
}

/// Labels as they stand in a document, each key as often as it stands there, and not
/// checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelPairs(Vec<(String, String)>);

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for LabelPairs {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self(pairs.map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl<'de> Deserialize<'de> for LabelPairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = LabelPairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object whose values are strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LabelPairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(LabelPairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    fn read(json: &str) -> Result<Labels, String> {
        let pairs: LabelPairs = serde_json::from_str(json).unwrap();
        Labels::try_from(pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn labels_come_in_the_order_of_their_keys() {
        let labels = read(r#"{"b": "", "a.B-c_1": "München"}"#).unwrap();
        let pairs: Vec<_> = labels.iter().collect();
        assert_eq!(pairs, [("a.B-c_1", "München"), ("b", "")]);
    }

    #[test]
    fn labels_that_are_none_are_refused_with_a_reason() {
        let long = "v".repeat(257);
        let long_key = "k".repeat(65);
        let many: Vec<String> = (0..33).map(|n| format!("\"k{n}\": \"v\"")).collect();
        for (json, reason) in [
            (r#"{"a": "1", "a": "2"}"#.to_owned(), "a twice"),
            (r#"{"": "1"}"#.to_owned(), "keys"),
            (r#"{"a b": "1"}"#.to_owned(), "keys"),
            (r#"{"ä": "1"}"#.to_owned(), "keys"),
            (format!(r#"{{"{long_key}": "1"}}"#), "keys"),
            (format!(r#"{{"a": "{long}"}}"#), "256"),
            (r#"{"a": "x\ny"}"#.to_owned(), "control"),
            (r#"{"a": "\u202e"}"#.to_owned(), "direction"),
            (format!("{{{}}}", many.join(",")), "at most 32"),
        ] {
            let error = read(&json).unwrap_err();
            assert!(
                error.starts_with("labels must") && error.contains(reason),
                "{error}"
            );
        }
    }
}

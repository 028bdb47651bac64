//! Nested settings by their dotted names.

use figment::value::{Dict, Tag, Value};

/// Sets a setting.
pub(super) fn insert(dict: &mut Dict, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            dict.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let entry = dict
                .entry(section.to_owned())
                .or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
            if !matches!(entry, Value::Dict(..)) {
                *entry = Value::Dict(Tag::Default, Dict::new());
            }
            if let Value::Dict(_, section) = entry {
                insert(section, rest, value);
            }
        }
    }
}

/// What a setting is set to.
pub(super) fn get<'a>(dict: &'a Dict, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        None => dict.get(name),
        Some((section, rest)) => match dict.get(section)? {
            Value::Dict(_, inner) => get(inner, rest),
            _ => None,
        },
    }
}

/// Removes the setting at `path`, or the nearest one around it.
pub(super) fn remove(dict: &mut Dict, path: &[&str]) -> bool {
    match path {
        [] => false,
        [name] => dict.remove(*name).is_some(),
        [section, rest @ ..] => {
            let removed_inside = match dict.get_mut(*section) {
                Some(Value::Dict(_, inner)) => remove(inner, rest),
                _ => false,
            };
            removed_inside || dict.remove(*section).is_some()
        }
    }
}

/// The dotted names of all settings.
pub(super) fn names(dict: &Dict) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in dict {
        match value {
            Value::Dict(_, section) => {
                names.extend(
                    self::names(section)
                        .into_iter()
                        .map(|inner| format!("{name}.{inner}")),
                );
            }
            _ => names.push(name.clone()),
        }
    }
    names
}

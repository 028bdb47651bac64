//! What the provider says of a person.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dm_core::{
    api_key::{Principal, Rights},
    person::Person,
    ports::IdentityError,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::token::refused;

/// Longest subject in bytes, as OpenID Connect has it.
const MAX_SUBJECT: usize = 255;
/// Most characters of a name.
const MAX_NAME: usize = 100;

/// The claims of a token.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Claims(pub(crate) Map<String, Value>);

impl Claims {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Adds what the provider has said elsewhere of the same person.
    pub(crate) fn add(&mut self, more: Self) -> Result<(), IdentityError> {
        if more.text("sub") != self.text("sub") {
            return Err(refused("the provider has described another person"));
        }
        for (name, value) in more.0 {
            self.0.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// A claim by its name, or by its place in other claims.
    pub(crate) fn at(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let (first, rest) = path.split_once('.')?;
        rest.split('.')
            .try_fold(self.0.get(first)?, |value, name| value.get(name))
    }

    /// Who it is, and what their roles open.
    pub(crate) fn principal(
        &self,
        roles_claim: &str,
        rights_by_role: &BTreeMap<String, Rights>,
        expires_at: Option<u64>,
    ) -> Result<Principal, IdentityError> {
        let person = self.person()?;
        let mut scopes = BTreeSet::new();
        for role in roles(self.at(roles_claim)) {
            if let Some(rights) = rights_by_role.get(role) {
                scopes.extend(rights.scopes.iter().copied());
            }
        }
        if scopes.is_empty() {
            return Err(IdentityError::NoRole(person.name));
        }
        Ok(Principal::of_person(
            person,
            Arc::new(Rights::of(scopes)),
            expires_at,
        ))
    }

    fn person(&self) -> Result<Person, IdentityError> {
        let subject = self.text("sub").unwrap_or_default();
        let is_visible = subject.bytes().all(|byte| byte.is_ascii_graphic());
        if subject.is_empty() || subject.len() > MAX_SUBJECT || !is_visible {
            return Err(refused("the token names no person"));
        }
        let names = ["preferred_username", "name", "email"];
        let name = names.iter().find_map(|name| self.text(name)).map(shown);
        Ok(Person {
            subject: subject.to_owned(),
            name: name
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| subject.to_owned()),
        })
    }
}

/// A name on one line.
fn shown(name: &str) -> String {
    let visible = name.chars().filter(|c| !c.is_control());
    visible.take(MAX_NAME).collect::<String>().trim().to_owned()
}

/// A list of roles, or one text with blanks between them.
fn roles(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::Array(roles)) => roles.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(roles)) => roles.split_ascii_whitespace().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_core::api_key::Scope;
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    fn scopes(claim: &str, value: Value) -> Result<Vec<Scope>, IdentityError> {
        let by_role = BTreeMap::from([
            ("clerk".to_owned(), Rights::of([Scope::Share])),
            ("reader".to_owned(), Rights::of([Scope::Read])),
        ]);
        let principal = claims(value).principal(claim, &by_role, None)?;
        Ok(principal.rights.scopes.iter().copied().collect())
    }

    #[test]
    fn roles_are_found_wherever_providers_put_them() {
        let both = Ok(vec![Scope::Share, Scope::Read]);
        for (claim, value) in [
            (
                "roles",
                json!({"sub": "1", "roles": ["clerk", "reader", "other", 5]}),
            ),
            ("roles", json!({"sub": "1", "roles": "reader clerk"})),
            (
                "realm_access.roles",
                json!({"sub": "1", "realm_access": {"roles": ["reader", "clerk"]}}),
            ),
            (
                "https://a.b/roles",
                json!({"sub": "1", "https://a.b/roles": ["reader", "clerk"]}),
            ),
        ] {
            assert_eq!(scopes(claim, value.clone()), both, "{claim} {value}");
        }
    }

    #[test]
    fn who_has_no_role_that_opens_something_gets_nowhere() {
        for value in [
            json!({"sub": "1", "name": "Ann"}),
            json!({"sub": "1", "name": "Ann", "roles": ["other", "Clerk", "admin"]}),
            json!({"sub": "1", "name": "Ann", "roles": {"clerk": true}}),
            json!({"sub": "1", "name": "Ann", "roles": null}),
        ] {
            assert_eq!(
                scopes("roles", value),
                Err(IdentityError::NoRole("Ann".to_owned()))
            );
        }
    }

    #[test]
    fn a_person_is_their_subject_whatever_they_are_called() {
        let person = |value| claims(value).person();
        let ann = person(json!({"sub": "1", "name": "An\nn", "email": "a@b"})).unwrap();
        assert_eq!((ann.subject.as_str(), ann.name.as_str()), ("1", "Ann"));
        assert_eq!(person(json!({"sub": "1", "name": " "})).unwrap().name, "1");
        for subject in [
            json!(""),
            json!(5),
            json!("a b"),
            json!("\u{e4}"),
            json!("x".repeat(256)),
        ] {
            assert!(person(json!({ "sub": subject })).is_err(), "{subject}");
        }
    }

    #[test]
    fn what_is_said_of_another_person_is_not_added() {
        let mut ann = claims(json!({"sub": "1", "name": "Ann"}));
        ann.add(claims(json!({"sub": "1", "name": "Eve", "roles": ["clerk"]})))
            .unwrap();
        assert_eq!(
            (ann.text("name"), ann.at("roles")),
            (Some("Ann"), Some(&json!(["clerk"])))
        );
        assert!(ann.add(claims(json!({"sub": "2"}))).is_err());
        assert!(ann.add(claims(json!({}))).is_err());
    }
}

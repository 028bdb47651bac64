//! What can be set about sign-in with an account of the company (OpenID Connect).

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use serde::Deserialize;

use super::ConfigFault;
use crate::{
    api_key::{Rights, Scope},
    secret::SecretString,
};

/// Who signs people in, and what their roles open here. Without `issuer` nobody does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignInConfig {
    /// The identity provider: the URL under which it publishes its discovery document, as the
    /// document names it.
    pub issuer: Option<String>,
    /// What people call it, on the button of the console.
    pub provider_name: String,
    /// Id under which the console is registered there. Without it, nobody signs in to the
    /// console with an account.
    pub client_id: Option<String>,
    /// Secret of this client; none for a public client.
    pub client_secret: Option<SecretString>,
    /// File that holds `client_secret`.
    pub client_secret_file: Option<PathBuf>,
    /// URL under which browsers reach the console; its own address if not set.
    pub console_url: Option<String>,
    /// Audience of the access tokens that both APIs accept; none if not set.
    pub audience: Option<String>,
    /// What the console asks the provider for, beside `openid`.
    pub request_scopes: Vec<String>,
    /// Claim that has the roles of a person: its name, or its place in other claims, joined by dots.
    pub roles_claim: String,
    /// Which scopes of API keys a role opens, each as `ROLE=SCOPE`.
    pub roles: Vec<String>,
}

impl Default for SignInConfig {
    fn default() -> Self {
        Self {
            issuer: None,
            provider_name: String::new(),
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            console_url: None,
            audience: None,
            request_scopes: vec!["profile".to_owned()],
            roles_claim: "roles".to_owned(),
            roles: Vec::new(),
        }
    }
}

/// The text does not say which role opens which scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` must be ROLE=SCOPE, the scope one of {names}", names = Scope::names())]
pub struct InvalidRole(String);

impl SignInConfig {
    /// What each role opens.
    ///
    /// # Errors
    /// [`InvalidRole`], which shows the entry.
    pub fn rights_by_role(&self) -> Result<BTreeMap<String, Rights>, InvalidRole> {
        let mut rights = BTreeMap::<String, Rights>::new();
        for entry in &self.roles {
            let (role, scope) = parse(entry).ok_or_else(|| InvalidRole(entry.clone()))?;
            rights.entry(role).or_default().scopes.insert(scope);
        }
        Ok(rights)
    }

    /// Every fault of these settings; `console_host` is where the console listens.
    pub(super) fn faults(&self, console_host: IpAddr) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, field: &str, reason: &str| {
            if !holds {
                faults.push(ConfigFault {
                    field: format!("sign_in.{field}"),
                    reason: reason.to_owned(),
                });
            }
        };
        if let Err(error) = self.rights_by_role() {
            require(false, "roles", &error.to_string());
        }
        let Some(issuer) = &self.issuer else {
            let is_set = self.client_id.is_some() || self.audience.is_some();
            require(
                !is_set,
                "issuer",
                "must be given together with client_id or audience",
            );
            return faults;
        };
        require(
            is_secure_url(issuer),
            "issuer",
            "must be an https URL, or an http URL on this machine, without query and fragment",
        );
        require(
            self.client_id.is_some() || self.audience.is_some(),
            "client_id",
            "must be given for the console, or audience for the APIs",
        );
        require(
            self.client_id.is_some() || self.client_secret.is_none(),
            "client_id",
            "must be given together with client_secret",
        );
        require(
            self.audience.is_none() || self.audience != self.client_id,
            "audience",
            "must not be client_id: what tells the console who somebody is would open the APIs",
        );
        require(
            !self.roles.is_empty(),
            "roles",
            "must say what people may do: no role opens anything",
        );
        require(!self.roles_claim.is_empty(), "roles_claim", "must not be empty");
        require(
            self.console_url.as_deref().is_none_or(is_secure_url),
            "console_url",
            "must be an https URL, or an http URL on this machine, without query and fragment",
        );
        require(
            self.client_id.is_none() || self.console_url.is_some() || !console_host.is_unspecified(),
            "console_url",
            "must be given where dashboard_api.host is every interface: browsers must find back",
        );
        faults
    }
}

fn parse(entry: &str) -> Option<(String, Scope)> {
    let (role, scope) = entry.rsplit_once('=')?;
    let role = role.trim();
    (!role.is_empty()).then_some(())?;
    Some((role.to_owned(), scope.trim().parse().ok()?))
}

/// Whether nobody between can read along: over TLS, or on this machine.
fn is_secure_url(url: &str) -> bool {
    if url.contains(['?', '#', '@']) || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return false;
    }
    if let Some(rest) = url.strip_prefix("https://") {
        return !rest.is_empty() && !rest.starts_with('/');
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || literal.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn config() -> SignInConfig {
        SignInConfig {
            issuer: Some("https://login.example.org/realms/a".to_owned()),
            client_id: Some("console".to_owned()),
            audience: Some("node".to_owned()),
            roles: vec![
                "clerk=share".to_owned(),
                "clerk = read".to_owned(),
                "a=b=admin".to_owned(),
            ],
            ..SignInConfig::default()
        }
    }

    fn faulty(change: impl FnOnce(&mut SignInConfig)) -> Vec<String> {
        let mut config = config();
        change(&mut config);
        config.faults(HERE).into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn a_role_opens_its_scopes() {
        let rights = config().rights_by_role().unwrap();
        assert_eq!(rights["clerk"], Rights::of([Scope::Share, Scope::Read]));
        assert_eq!(rights["a=b"], Rights::of([Scope::Admin]));
        for entry in ["", "admin", "=admin", "clerk=", "clerk=all"] {
            assert_eq!(
                faulty(|config| config.roles.push(entry.to_owned())),
                ["sign_in.roles"],
                "{entry}"
            );
        }
    }

    #[test]
    fn every_fault_is_named() {
        assert!(config().faults(HERE).is_empty());
        assert!(SignInConfig::default().faults(HERE).is_empty());
        for issuer in [
            "",
            "login.example.org",
            "http://login.example.org",
            "https://a?b",
            "https://a b",
            "https://",
        ] {
            assert_eq!(
                faulty(|config| config.issuer = Some(issuer.to_owned())),
                ["sign_in.issuer"],
                "{issuer}"
            );
        }
        for issuer in ["http://127.0.0.1:3000/a", "http://[::1]:80", "http://localhost"] {
            assert!(
                faulty(|config| config.issuer = Some(issuer.to_owned())).is_empty(),
                "{issuer}"
            );
        }
        assert_eq!(faulty(|config| config.issuer = None), ["sign_in.issuer"]);
        assert_eq!(
            faulty(|config| config.audience = config.client_id.clone()),
            ["sign_in.audience"]
        );
        assert_eq!(faulty(|config| config.roles.clear()), ["sign_in.roles"]);
        assert_eq!(
            faulty(|config| config.console_url = Some("http://console.example.org".to_owned())),
            ["sign_in.console_url"]
        );
        let everywhere = IpAddr::from([0, 0, 0, 0]);
        let fields: Vec<_> = config()
            .faults(everywhere)
            .into_iter()
            .map(|fault| fault.field)
            .collect();
        assert_eq!(fields, ["sign_in.console_url"]);
    }
}

//! The discovery document: where the provider does what.

use dm_core::ports::IdentityError;
use reqwest::{Client, Url};
use serde::Deserialize;

use crate::http::document;

/// Where the provider does what.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: Option<String>,
    pub(crate) token_endpoint: Option<String>,
    pub(crate) userinfo_endpoint: Option<String>,
    pub(crate) end_session_endpoint: Option<String>,
    pub(crate) jwks_uri: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    /// Whether it says with each code that it has given it.
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Asks the issuer, and checks that it speaks of itself.
    pub(crate) async fn fetch(client: &Client, issuer: &str) -> Result<Self, IdentityError> {
        let place = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let metadata: Self = document(client.get(place)).await?;
        metadata.check(issuer)?;
        Ok(metadata)
    }

    /// Whether the secret of the client is to stand in the body of a request, and not in a header.
    pub(crate) fn wants_secret_in_body(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref();
        methods.is_some_and(|methods| {
            let has = |name: &str| methods.iter().any(|method| method == name);
            has("client_secret_post") && !has("client_secret_basic")
        })
    }

    fn check(&self, issuer: &str) -> Result<(), IdentityError> {
        if self.issuer != issuer {
            return Err(wrong(&format!(
                "calls itself {:?}, and not {issuer:?}",
                self.issuer
            )));
        }
        let methods = self.code_challenge_methods_supported.as_deref();
        if methods.is_some_and(|methods| !methods.iter().any(|method| method == "S256")) {
            return Err(wrong("does not know PKCE with S256"));
        }
        let is_plain = issuer.starts_with("http://");
        let endpoints = [
            &self.authorization_endpoint,
            &self.token_endpoint,
            &self.userinfo_endpoint,
            &self.end_session_endpoint,
        ];
        let endpoints = endpoints.into_iter().flatten().chain([&self.jwks_uri]);
        for endpoint in endpoints {
            let url = Url::parse(endpoint).ok();
            let is_secure =
                url.is_some_and(|url| url.scheme() == "https" || is_plain && url.scheme() == "http");
            if !is_secure {
                return Err(wrong(&format!("names {endpoint:?}, which is no https URL")));
            }
        }
        Ok(())
    }
}

fn wrong(how: &str) -> IdentityError {
    IdentityError::Unreachable(format!("its discovery document {how}"))
}

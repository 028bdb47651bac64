//! The identity provider of the configuration.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dm_core::{
    api_key::{Principal, Rights},
    config::{InvalidRole, SignInConfig},
    ports::{IdentityError, IdentityProvider, SignInAnswer, SignInAttempt, SignedIn},
    secret::SecretString,
};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    claims::Claims,
    discovery::Metadata,
    http::{ask, client, document},
    keys::Keys,
    remembered::{Pace, Remembered},
    token::{Use, head, refused, verify},
};

/// How old the provider's keys may be: a key that it has retired counts no longer.
const KEYS_FRESH: Duration = Duration::from_secs(10 * 60);
/// How old the discovery document may be.
const METADATA_FRESH: Duration = Duration::from_secs(60 * 60);
/// Between two questions of one kind, also where tokens name keys that nobody knows.
const PAUSE: Duration = Duration::from_secs(10);
/// Longest ID token that is sent to the provider at sign-out: it stands in an address.
const MAX_HINT: usize = 4 * 1024;

/// Why the provider of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OidcError {
    /// A role is not as it should be.
    #[error(transparent)]
    Role(#[from] InvalidRole),
    /// TLS cannot be set up.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

/// An OpenID Connect provider. It is asked when it is needed, and otherwise to tell how it is: that it
/// is away keeps no node from starting, and ends no session.
pub struct OidcProvider {
    config: SignInConfig,
    pub(crate) issuer: String,
    rights_by_role: BTreeMap<String, Rights>,
    client: Client,
    pub(crate) metadata: Remembered<Metadata>,
    pub(crate) keys: Remembered<Keys>,
    /// Between two questions of one kind.
    pub(crate) pause: Duration,
}

impl OidcProvider {
    /// The provider of this configuration, if it names one.
    ///
    /// # Errors
    /// [`OidcError`].
    pub fn new(config: &SignInConfig) -> Result<Option<Self>, OidcError> {
        let Some(issuer) = config.issuer.clone() else {
            return Ok(None);
        };
        // Fails where the program has chosen one already.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        Ok(Some(Self {
            config: config.clone(),
            issuer,
            rights_by_role: config.rights_by_role()?,
            client: client()?,
            metadata: Remembered::new(Pace {
                fresh: METADATA_FRESH,
                pause: PAUSE,
            }),
            keys: Remembered::new(Pace {
                fresh: KEYS_FRESH,
                pause: PAUSE,
            }),
            pause: PAUSE,
        }))
    }

    /// Leaves so little time between two questions of one kind.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        let pace = |fresh| Pace { fresh, pause };
        self.metadata = Remembered::new(pace(METADATA_FRESH));
        self.keys = Remembered::new(pace(KEYS_FRESH));
        self.pause = pause;
        self
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, IdentityError> {
        self.metadata.get(|_| true, self.fetch_metadata()).await
    }

    pub(crate) async fn fetch_metadata(&self) -> Result<Metadata, IdentityError> {
        Metadata::fetch(&self.client, &self.issuer).await
    }

    pub(crate) async fn fetch_keys(&self) -> Result<Keys, IdentityError> {
        Keys::fetch(&self.client, &self.metadata().await?.jwks_uri).await
    }

    /// What a token says, once everything about it was checked.
    async fn claims(&self, token: &str, meant: Use, audience: &str) -> Result<Claims, IdentityError> {
        let head = head(token, meant)?;
        let id = head.kid.as_deref();
        let keys = self
            .keys
            .get(|keys| keys.find(id, head.alg).is_some(), self.fetch_keys())
            .await?;
        let key = keys.find(id, head.alg);
        let key = key.ok_or_else(|| refused("the token's key is none of the provider's"))?;
        verify(token, &head, key, &self.issuer, audience)
    }

    fn client_id(&self) -> &str {
        self.config.client_id.as_deref().unwrap_or_default()
    }

    /// A request of this client, which proves who it is where it has a secret.
    fn authenticated(
        &self,
        metadata: &Metadata,
        endpoint: &str,
        mut form: Vec<(&'static str, String)>,
    ) -> RequestBuilder {
        let request = self.client.post(endpoint);
        let Some(secret) = &self.config.client_secret else {
            form.push(("client_id", self.client_id().to_owned()));
            return request.form(&form);
        };
        if metadata.wants_secret_in_body() {
            form.push(("client_id", self.client_id().to_owned()));
            form.push(("client_secret", secret.expose().to_owned()));
            return request.form(&form);
        }
        // RFC 6749 encodes both before they become a name and a password.
        let encoded = |text: &str| {
            Url::parse_with_params("http://x/", [("", text)])
                .ok()
                .and_then(|url| Some(url.query()?.trim_start_matches('=').to_owned()))
        };
        let name = encoded(self.client_id()).unwrap_or_default();
        request.basic_auth(name, encoded(secret.expose())).form(&form)
    }

    /// Redeems a code for the tokens of the person who has signed in.
    async fn tokens(&self, code: &str, attempt: &SignInAttempt) -> Result<Tokens, IdentityError> {
        let metadata = self.metadata().await?;
        let endpoint = metadata
            .token_endpoint
            .as_deref()
            .ok_or_else(|| lacks("token_endpoint"))?;
        let form = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", attempt.return_to.clone()),
            ("code_verifier", attempt.verifier.expose().to_owned()),
        ];
        let answer = ask(self.authenticated(&metadata, endpoint, form)).await?;
        match answer.status {
            StatusCode::OK => answer.json(),
            StatusCode::BAD_REQUEST => Err(refused("the provider does not take the code")),
            StatusCode::UNAUTHORIZED => Err(IdentityError::Unreachable(
                "it does not accept this client: check sign_in.client_id and its secret".to_owned(),
            )),
            status => Err(IdentityError::Unreachable(format!(
                "it answered {status} to a code"
            ))),
        }
    }

    /// What the provider says of the person where the token does not say it.
    async fn described(&self, claims: &mut Claims, tokens: &Tokens) -> Result<(), IdentityError> {
        let metadata = self.metadata().await?;
        let (Some(endpoint), Some(access)) = (&metadata.userinfo_endpoint, &tokens.access_token) else {
            return Ok(());
        };
        claims.add(document(self.client.get(endpoint).bearer_auth(access.expose())).await?)
    }
}

/// What comes for a code.
#[derive(Deserialize)]
struct Tokens {
    id_token: SecretString,
    access_token: Option<SecretString>,
}

#[async_trait]
impl IdentityProvider for OidcProvider {
    fn name(&self) -> &str {
        &self.config.provider_name
    }

    fn signs_in(&self) -> bool {
        self.config.client_id.is_some()
    }

    async fn sign_in_url(&self, attempt: &SignInAttempt) -> Result<String, IdentityError> {
        let metadata = self.metadata().await?;
        let endpoint = metadata.authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| lacks("authorization_endpoint"))?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(attempt.verifier.expose()));
        let mut scopes = vec!["openid"];
        scopes.extend(self.config.request_scopes.iter().map(String::as_str));
        let mut url = parsed(endpoint)?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id())
            .append_pair("redirect_uri", &attempt.return_to)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    async fn redeem(
        &self,
        answer: &SignInAnswer<'_>,
        attempt: &SignInAttempt,
    ) -> Result<SignedIn, IdentityError> {
        let must_name_issuer = self
            .metadata()
            .await?
            .authorization_response_iss_parameter_supported;
        match answer.issuer {
            None if !must_name_issuer => {}
            Some(issuer) if issuer == self.issuer => {}
            _ => return Err(refused("the code is of another issuer")),
        }
        let tokens = self.tokens(answer.code, attempt).await?;
        let mut claims = self
            .claims(tokens.id_token.expose(), Use::SignIn, self.client_id())
            .await?;
        if claims.text("nonce") != Some(attempt.nonce.as_str()) {
            return Err(refused("the token is of another sign-in"));
        }
        let party = claims.0.get("azp");
        if party.is_some_and(|party| party.as_str() != Some(self.client_id())) {
            return Err(refused("the token was given to another client"));
        }
        if claims.at(&self.config.roles_claim).is_none() {
            self.described(&mut claims, &tokens).await?;
        }
        Ok(SignedIn {
            bearer: claims.principal(&self.config.roles_claim, &self.rights_by_role, None)?,
            id_token: tokens.id_token,
        })
    }

    async fn recognise(&self, token: &str) -> Result<Principal, IdentityError> {
        let Some(audience) = &self.config.audience else {
            return Err(refused("this node accepts no access tokens"));
        };
        let claims = self.claims(token, Use::Access, audience).await?;
        // An ID token that names the audience beside its client is no access token.
        if claims.0.contains_key("nonce") {
            return Err(refused("the token is of another kind"));
        }
        let expires_at = claims.0.get("exp").and_then(serde_json::Value::as_f64);
        let expires_at = expires_at.map(|seconds| (seconds * 1000.0) as u64);
        claims.principal(&self.config.roles_claim, &self.rights_by_role, expires_at)
    }

    async fn sign_out_url(&self, id_token: &SecretString, return_to: &str) -> Option<String> {
        let metadata = self.metadata.known()?;
        let mut url = parsed(metadata.end_session_endpoint.as_deref()?).ok()?;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", self.client_id())
            .append_pair("post_logout_redirect_uri", return_to);
        if id_token.expose().len() <= MAX_HINT {
            query.append_pair("id_token_hint", id_token.expose());
        }
        drop(query);
        Some(url.into())
    }
}

fn parsed(endpoint: &str) -> Result<Url, IdentityError> {
    Url::parse(endpoint).map_err(|error| IdentityError::Unreachable(error.to_string()))
}

fn lacks(name: &str) -> IdentityError {
    IdentityError::Unreachable(format!("its discovery document has no {name}"))
}

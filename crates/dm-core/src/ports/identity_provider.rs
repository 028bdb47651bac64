use async_trait::async_trait;

use crate::{api_key::Principal, secret::SecretString};

/// Knows the people of a company, who sign in there and not here.
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// What people call it; empty where the operator gives no name.
    fn name(&self) -> &str;

    /// Whether browsers can sign in with it; else it only recognises tokens.
    fn signs_in(&self) -> bool;

    /// Where a browser signs in.
    ///
    /// # Errors
    /// [`IdentityError::Unreachable`].
    async fn sign_in_url(&self, attempt: &SignInAttempt) -> Result<String, IdentityError>;

    /// Who has signed in, by what the browser has brought back.
    ///
    /// # Errors
    /// [`IdentityError`]; nobody is signed in then.
    async fn redeem(
        &self,
        answer: &SignInAnswer<'_>,
        attempt: &SignInAttempt,
    ) -> Result<SignedIn, IdentityError>;

    /// Whose access token this is.
    ///
    /// # Errors
    /// [`IdentityError`].
    async fn recognise(&self, token: &str) -> Result<Principal, IdentityError>;

    /// Where a browser ends its session at the provider and comes back to `return_to`; `None`
    /// where the provider has no such page, or it is not known now.
    async fn sign_out_url(&self, id_token: &SecretString, return_to: &str) -> Option<String>;
}

/// One attempt of a browser to sign in. Only that browser and this node know it.
#[derive(Debug, Clone)]
pub struct SignInAttempt {
    /// Where the provider sends the browser back to.
    pub return_to: String,
    /// Comes back with the browser.
    pub state: String,
    /// Stands in the token of this attempt.
    pub nonce: String,
    /// Proves to the provider that the code is redeemed by whom it was asked for (PKCE).
    pub verifier: SecretString,
}

/// What a browser has brought back from the provider.
#[derive(Debug, Clone, Copy)]
pub struct SignInAnswer<'a> {
    /// The provider gives a token for it, once.
    pub code: &'a str,
    /// Who says that it has given the code, if it is said.
    pub issuer: Option<&'a str>,
}

/// A person who has signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who, and what they may do.
    pub bearer: Principal,
    /// Tells the provider whose session is to end.
    pub id_token: SecretString,
}

/// Why nobody is recognised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It does not answer, or not as such a provider does.
    #[error("the identity provider cannot be asked: {0}")]
    Unreachable(String),
    /// The code or token counts for nothing.
    #[error("{0}")]
    Refused(String),
    /// The provider knows the person, but none of their roles opens anything here.
    #[error("no role of {0} opens anything on this node")]
    NoRole(String),
}

//! [`MemoryIdentityProvider`]: an identity provider that exists in memory only.

#![allow(clippy::unwrap_used)]

use std::{collections::HashMap, sync::Mutex};

use async_trait::async_trait;
use dm_core::{
    api_key::Principal,
    ports::{IdentityError, IdentityProvider, SignInAnswer, SignInAttempt, SignedIn},
    secret::SecretString,
};

/// Signs in whom a test says, and knows the tokens that a test gives out.
#[derive(Default)]
pub struct MemoryIdentityProvider {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By code: who signs in with it, and with which nonce and verifier it was asked for.
    codes: HashMap<String, (Principal, String, String)>,
    tokens: HashMap<String, Principal>,
    is_away: bool,
}

impl MemoryIdentityProvider {
    /// Where browsers sign in.
    pub const PAGE: &str = "https://login.example/authorize";
    /// Where browsers sign out.
    pub const SIGN_OUT: &str = "https://login.example/end";

    /// A provider that knows nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a code to the attempt whose page is at this address, for this person.
    pub fn give_code(&self, page: &str, person: Principal) -> String {
        let value = |name: &str| {
            let (_, rest) = page.split_once(&format!("{name}=")).unwrap();
            rest.split('&').next().unwrap().to_owned()
        };
        let mut state = self.state.lock().unwrap();
        let code = format!("code-{}", state.codes.len());
        let meant = (person, value("nonce"), value("verifier"));
        state.codes.insert(code.clone(), meant);
        code
    }

    /// Lets a token be this person's.
    pub fn give_token(&self, token: &str, person: Principal) {
        self.state.lock().unwrap().tokens.insert(token.to_owned(), person);
    }

    /// Lets the provider be away, or come back.
    pub fn set_away(&self, is_away: bool) {
        self.state.lock().unwrap().is_away = is_away;
    }

    fn ensure_there(&self) -> Result<(), IdentityError> {
        match self.state.lock().unwrap().is_away {
            true => Err(IdentityError::Unreachable("away".to_owned())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl IdentityProvider for MemoryIdentityProvider {
    fn name(&self) -> &str {
        "Example"
    }

    fn signs_in(&self) -> bool {
        true
    }

    async fn sign_in_url(&self, attempt: &SignInAttempt) -> Result<String, IdentityError> {
        self.ensure_there()?;
        Ok(format!(
            "{}?state={}&nonce={}&verifier={}&redirect_uri={}",
            Self::PAGE,
            attempt.state,
            attempt.nonce,
            attempt.verifier.expose(),
            attempt.return_to
        ))
    }

    async fn redeem(
        &self,
        answer: &SignInAnswer<'_>,
        attempt: &SignInAttempt,
    ) -> Result<SignedIn, IdentityError> {
        self.ensure_there()?;
        let known = self.state.lock().unwrap().codes.remove(answer.code);
        match known {
            Some((bearer, nonce, verifier))
                if nonce == attempt.nonce && verifier == attempt.verifier.expose() =>
            {
                Ok(SignedIn {
                    bearer,
                    id_token: SecretString::new("an ID token"),
                })
            }
            _ => Err(IdentityError::Refused(
                "the code is not of this attempt".to_owned(),
            )),
        }
    }

    async fn recognise(&self, token: &str) -> Result<Principal, IdentityError> {
        self.ensure_there()?;
        let known = self.state.lock().unwrap().tokens.get(token).cloned();
        known.ok_or_else(|| IdentityError::Refused("nobody's token".to_owned()))
    }

    async fn sign_out_url(&self, _: &SecretString, return_to: &str) -> Option<String> {
        Some(format!("{}?back={return_to}", Self::SIGN_OUT))
    }
}

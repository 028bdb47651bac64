//! Attempts to sign in with an account: which browser has made one, and that it counts once.
//!
//! Nothing is kept of an attempt while the person is at the provider, so that any number of them
//! costs nothing. The state that comes back says of itself which browser has it from here:
//! it was made from the secret in that browser's cookie with a key that only this process has.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use dm_core::{ports::SignInAttempt, secret::SecretString};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How long a person may take at the provider, in seconds.
pub(super) const PATIENCE_SECS: u64 = 10 * 60;
/// Most used attempts that are remembered; the provider takes no code twice, either.
const MAX_USED: usize = 4096;
const RANDOM: usize = 16;
const HEAD: usize = RANDOM + 8;
const LENGTH: usize = HEAD + 32;

/// The attempts of one server; cheap to clone.
#[derive(Clone)]
pub(super) struct Attempts {
    /// Knows the key.
    mac: Hmac<Sha256>,
    used: Arc<Mutex<VecDeque<[u8; 32]>>>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            mac: Hmac::new(&rand::random::<[u8; 64]>().into()),
            used: Arc::default(),
        }
    }
}

/// A fresh secret for a browser's cookie.
pub(super) fn fresh_secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// Whether a cookie holds what [`fresh_secret`] makes.
pub(super) fn is_secret(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Attempts {
    /// A new attempt of the browser with this secret; `now` in seconds since the Unix epoch.
    pub(super) fn begin(&self, browser: &str, return_to: &str, now: u64) -> SignInAttempt {
        let mut head = [0; HEAD];
        head[..RANDOM].copy_from_slice(&rand::random::<[u8; RANDOM]>());
        head[RANDOM..].copy_from_slice(&(now + PATIENCE_SECS).to_be_bytes());
        self.attempt(browser, head, return_to)
    }

    /// The attempt of this browser with this state, once, and before its time is over.
    pub(super) fn take_up(
        &self,
        browser: &str,
        state: &str,
        return_to: &str,
        now: u64,
    ) -> Option<SignInAttempt> {
        let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(state).ok()?.try_into().ok()?;
        let (head, mac) = bytes.split_at(HEAD);
        let (head, mac): ([u8; HEAD], [u8; 32]) = (head.try_into().ok()?, mac.try_into().ok()?);
        self.mac("state", browser, &head).verify_slice(&mac).ok()?;
        let ends_at = u64::from_be_bytes(head[RANDOM..].try_into().ok()?);
        let is_new = now < ends_at && self.note_use(mac);
        is_new.then(|| self.attempt(browser, head, return_to))
    }

    fn attempt(&self, browser: &str, head: [u8; HEAD], return_to: &str) -> SignInAttempt {
        let derived = |label| self.mac(label, browser, &head).finalize().into_bytes();
        let state = [&head[..], &derived("state")].concat();
        SignInAttempt {
            return_to: return_to.to_owned(),
            state: URL_SAFE_NO_PAD.encode(state),
            nonce: URL_SAFE_NO_PAD.encode(derived("nonce")),
            verifier: SecretString::new(URL_SAFE_NO_PAD.encode(derived("verifier"))),
        }
    }

    fn mac(&self, label: &str, browser: &str, head: &[u8; HEAD]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for part in [label.as_bytes(), b"\0", browser.as_bytes(), b"\0", head] {
            mac.update(part);
        }
        mac
    }

    /// Notes that an attempt is used; `false` where it was.
    fn note_use(&self, mac: [u8; 32]) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains(&mac) {
            return false;
        }
        if used.len() == MAX_USED {
            used.pop_front();
        }
        used.push_back(mac);
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    const BACK: &str = "http://127.0.0.1/back";

    #[test]
    fn an_attempt_counts_once_for_its_browser_and_in_its_time() {
        let attempts = Attempts::default();
        let (browser, other) = (fresh_secret(), fresh_secret());
        let begun = attempts.begin(&browser, BACK, 1000);
        let take_up = |browser: &str, state: &str, now| attempts.take_up(browser, state, BACK, now);
        assert!(take_up(&other, &begun.state, 1000).is_none(), "another browser");
        assert!(take_up("", &begun.state, 1000).is_none(), "no browser");
        assert!(
            take_up(&browser, &begun.state, 1000 + PATIENCE_SECS).is_none(),
            "too late"
        );
        assert!(
            Attempts::default()
                .take_up(&browser, &begun.state, BACK, 1000)
                .is_none()
        );
        let taken = take_up(&browser, &begun.state, 1000).unwrap();
        assert_eq!(
            (&taken.nonce, taken.verifier.expose()),
            (&begun.nonce, begun.verifier.expose())
        );
        assert!(take_up(&browser, &begun.state, 1000).is_none(), "again");
    }

    #[test]
    fn a_state_that_was_changed_counts_for_nothing() {
        let attempts = Attempts::default();
        let browser = fresh_secret();
        let state = attempts.begin(&browser, BACK, 1000).state;
        let bytes = URL_SAFE_NO_PAD.decode(&state).unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert!(
                attempts.take_up(&browser, &changed, BACK, 1000).is_none(),
                "{place}"
            );
        }
        for state in ["", "AAAA", "\u{e4}", &state[1..]] {
            assert!(attempts.take_up(&browser, state, BACK, 1000).is_none(), "{state}");
        }
    }

    #[test]
    fn tabs_of_one_browser_have_attempts_of_their_own() {
        let attempts = Attempts::default();
        let browser = fresh_secret();
        assert!(is_secret(&browser) && !is_secret("") && !is_secret(&"x".repeat(64)));
        let [first, second] = [1, 2].map(|_| attempts.begin(&browser, BACK, 0));
        assert!(first.state != second.state && first.nonce != second.nonce);
        assert!(first.verifier.expose() != second.verifier.expose());
        assert!(attempts.take_up(&browser, &second.state, BACK, 1).is_some());
        assert!(attempts.take_up(&browser, &first.state, BACK, 1).is_some());
    }

    #[test]
    fn attempts_that_are_made_up_cost_a_bounded_memory() {
        let attempts = Attempts::default();
        let browser = fresh_secret();
        for _ in 0..10_000 {
            let state = attempts.begin(&browser, BACK, 0).state;
            assert!(attempts.take_up(&browser, &state, BACK, 0).is_some());
        }
        assert_eq!(attempts.used.lock().unwrap().len(), MAX_USED);
    }
}

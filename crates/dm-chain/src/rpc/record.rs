//! What is known of an endpoint by what it answered last to each method.

use std::{collections::BTreeMap, time::Duration};

use dm_core::clock::now_ms;
use tokio::time::Instant;

use super::error_origin::Objection;

/// How long an endpoint that does not serve is asked only where no other answers.
const REST: Duration = Duration::from_secs(30);

/// What an endpoint did not answer when it was asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MethodFailure {
    /// Why, without a secret of the URL.
    pub(crate) reason: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub(crate) since: u64,
    /// Of which kind the reason is.
    pub(crate) cause: Cause,
}

/// Why an endpoint does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It gives no answer that makes sense.
    Silence,
    /// It belongs to another chain.
    OtherChain,
    /// It says why.
    Objection(Objection),
}

/// The failure of one method, and until when the endpoint is asked last for it.
struct Noted {
    failure: MethodFailure,
    until: Instant,
}

/// What an endpoint answered.
#[derive(Default)]
pub(super) struct Record {
    failures: BTreeMap<&'static str, Noted>,
    answers: BTreeMap<&'static str, Instant>,
    /// Until when it is asked last, whatever for, and why.
    rest: Option<(String, Instant)>,
}

impl Record {
    /// It served the method, if only by a reason against the request.
    pub(super) fn answered(&mut self, method: &'static str) {
        self.failures.remove(method);
        self.answers.insert(method, Instant::now());
        self.rest = None;
    }

    /// It did not serve the method. Whether that is new.
    pub(super) fn refused(&mut self, method: &'static str, reason: String, cause: Cause) -> bool {
        let until = Instant::now() + REST;
        let before = self.failures.get(method).map(|noted| &noted.failure);
        let is_new = before.is_none_or(|before| before.reason != reason);
        if concerns_everything(cause) {
            self.rest = Some((reason.clone(), until));
        }
        let failure = MethodFailure {
            reason,
            since: before.map_or_else(now_ms, |before| before.since),
            cause,
        };
        self.failures.insert(method, Noted { failure, until });
        is_new
    }

    /// Whether others are to be asked first for this.
    pub(super) fn avoids(&self, method: &str) -> bool {
        let now = Instant::now();
        let noted = self.failures.get(method).map(|noted| noted.until);
        let rest = self.rest.as_ref().map(|(_, until)| *until);
        noted.into_iter().chain(rest).any(|until| until > now)
    }

    /// What it does not serve of this.
    pub(super) fn failure(&self, method: &str) -> Option<&MethodFailure> {
        self.failures.get(method).map(|noted| &noted.failure)
    }

    /// Why it is not used at present.
    pub(super) fn problem(&self) -> Option<String> {
        let noted = || Some(self.failures.values().next()?.failure.reason.clone());
        let rest = self.rest.as_ref().map(|(reason, _)| reason.clone());
        rest.or_else(noted)
    }

    /// Whether nobody knows any more what it would answer to this: it refused, and
    /// rested since, or was not asked for so long.
    pub(super) fn is_unknown(&self, method: &str, after: Duration) -> bool {
        let now = Instant::now();
        match (self.failures.get(method), self.answers.get(method)) {
            (Some(noted), _) => noted.until <= now,
            (None, Some(answered)) => now.duration_since(*answered) >= after,
            (None, None) => true,
        }
    }
}

/// Whether the endpoint is to be asked last for other methods, too.
fn concerns_everything(cause: Cause) -> bool {
    !matches!(cause, Cause::Objection(Objection::NotOffered))
}

//! Who is signed in: in memory, bounded, and not for ever.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dm_core::secret::SecretString;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// Most sessions at once; for a further one the session ends that was idle for longest.
const CAPACITY: usize = 1024;
/// How long a session lasts at most.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a session lasts that nobody uses.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// One browser that is signed in; cheap to clone.
#[derive(Clone)]
pub(crate) struct Session {
    /// The API key with which it was opened, and with which its requests are made.
    pub(crate) key: Arc<SecretString>,
    /// What a request that changes something must show: a foreign page cannot know it.
    pub(crate) csrf_token: Arc<str>,
    /// Cancelled when it ends before its time.
    pub(crate) ended: CancellationToken,
    opened: Instant,
    used: Instant,
}

impl Session {
    /// Whether this is its token.
    pub(crate) fn has_csrf_token(&self, token: &[u8]) -> bool {
        self.csrf_token.as_bytes().ct_eq(token).into()
    }

    /// When it ends, however much it is used.
    pub(crate) fn remaining(&self) -> Duration {
        LIFETIME.saturating_sub(self.opened.elapsed())
    }

    fn lasts(&self, now: Instant) -> bool {
        now.duration_since(self.opened) < LIFETIME && now.duration_since(self.used) < IDLE
    }
}

type ById = HashMap<[u8; 32], Session>;

/// The sessions of one server, by the SHA-256 of their ids; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<ById>>);

impl Sessions {
    /// Opens a session and returns its id, for the browser's cookie.
    pub(crate) fn open(&self, key: &str) -> (String, Session) {
        self.open_at(key, Instant::now())
    }

    /// The session with this id, if it lasts still.
    pub(crate) fn find(&self, id: &str) -> Option<Session> {
        self.find_at(id, Instant::now())
    }

    /// Ends a session, and what is under way for it.
    pub(crate) fn end(&self, id: &str) {
        if let Some(session) = self.lock().remove(&digest(id)) {
            session.ended.cancel();
        }
    }

    fn open_at(&self, key: &str, now: Instant) -> (String, Session) {
        let id = hex::encode(rand::random::<[u8; 32]>());
        let session = Session {
            key: Arc::new(SecretString::new(key)),
            csrf_token: hex::encode(rand::random::<[u8; 32]>()).into(),
            ended: CancellationToken::new(),
            opened: now,
            used: now,
        };
        let mut sessions = self.lock();
        if sessions.len() >= CAPACITY {
            make_room(&mut sessions, now);
        }
        sessions.insert(digest(&id), session.clone());
        (id, session)
    }

    fn find_at(&self, id: &str, now: Instant) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions
            .get_mut(&digest(id))
            .filter(|session| session.lasts(now))?;
        session.used = now;
        Some(session.clone())
    }

    fn lock(&self) -> MutexGuard<'_, ById> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the sessions that are over, else the one that was idle for longest.
fn make_room(sessions: &mut ById, now: Instant) {
    sessions.retain(|_, session| {
        session.lasts(now) || {
            session.ended.cancel();
            false
        }
    });
    if sessions.len() < CAPACITY {
        return;
    }
    let idlest = sessions.iter().min_by_key(|(_, session)| session.used);
    if let Some(id) = idlest.map(|(id, _)| *id)
        && let Some(session) = sessions.remove(&id)
    {
        session.ended.cancel();
    }
}

fn digest(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_idle_and_when_its_time_is_over() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let (id, _) = sessions.open_at("key", begin);
        assert!(sessions.find_at("another", begin).is_none());
        let mut now = begin;
        while now - begin < LIFETIME {
            assert!(sessions.find_at(&id, now).is_some());
            now += IDLE / 2;
        }
        assert!(sessions.find_at(&id, now).is_none(), "its time is over");
        let (id, _) = sessions.open_at("key", begin);
        assert!(
            sessions.find_at(&id, begin + IDLE).is_none(),
            "nobody has used it"
        );
    }

    #[test]
    fn the_number_of_sessions_is_bounded_and_the_idlest_ends_first() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let at = |second| begin + Duration::from_secs(second);
        let (first, _) = sessions.open_at("key", at(0));
        let (second, idle) = sessions.open_at("key", at(1));
        for _ in 2..CAPACITY {
            sessions.open_at("key", at(2));
        }
        assert!(sessions.find_at(&first, at(3)).is_some());
        sessions.open_at("key", at(4));
        assert_eq!(sessions.lock().len(), CAPACITY);
        assert!(sessions.find_at(&first, at(5)).is_some());
        assert!(sessions.find_at(&second, at(5)).is_none());
        assert!(idle.ended.is_cancelled());
    }

    #[test]
    fn an_ended_session_is_found_no_more_and_tells_what_is_under_way() {
        let sessions = Sessions::default();
        let (id, session) = sessions.open("key");
        assert!(session.has_csrf_token(session.csrf_token.as_bytes()));
        assert!(!session.has_csrf_token(b""));
        sessions.end(&id);
        assert!(sessions.find(&id).is_none() && session.ended.is_cancelled());
    }
}

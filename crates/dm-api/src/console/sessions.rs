//! Who is signed in: in memory, bounded, and not for ever.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use dm_core::{api_key::Principal, clock::now_ms, person::Person, secret::SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// Most sessions at once; for a further one the session ends that was idle for longest.
const CAPACITY: usize = 1024;
/// Most sessions of one API key or person; for a further one their own idlest ends.
const CAPACITY_OF_ONE: usize = 64;
/// How long a session lasts at most.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a session lasts that nobody uses.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Whose session it is.
#[derive(Clone)]
pub(crate) enum Holder {
    /// Whoever has this API key, with which its requests are made.
    Key {
        /// Id of the key.
        id: Arc<str>,
        /// The key.
        key: Arc<SecretString>,
    },
    /// A person, with what their roles opened at sign-in.
    Person {
        /// Who.
        bearer: Principal,
        /// For sign-out at the identity provider.
        id_token: Arc<SecretString>,
    },
}

impl Holder {
    /// Id of the API key, or of the person.
    pub(crate) fn id(&self) -> &Arc<str> {
        match self {
            Self::Key { id, .. } => id,
            Self::Person { bearer, .. } => &bearer.key_id,
        }
    }

    /// The person, where it is one.
    pub(crate) fn person(&self) -> Option<&Arc<Person>> {
        match self {
            Self::Key { .. } => None,
            Self::Person { bearer, .. } => bearer.person.as_ref(),
        }
    }
}

/// One browser that is signed in; cheap to clone.
#[derive(Clone)]
pub(crate) struct Session {
    /// Names it for operators; whoever knows it cannot use it.
    pub(crate) name: Arc<str>,
    /// Whose it is.
    pub(crate) holder: Holder,
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

    /// When it was opened, in milliseconds since the Unix epoch.
    pub(crate) fn opened_at(&self) -> u64 {
        ago(self.opened)
    }

    /// When it was last used, in milliseconds since the Unix epoch.
    pub(crate) fn used_at(&self) -> u64 {
        ago(self.used)
    }

    /// When it ends, however much it is used, in milliseconds since the Unix epoch.
    pub(crate) fn ends_at(&self) -> u64 {
        let remaining = u64::try_from(self.remaining().as_millis()).unwrap_or_default();
        now_ms().saturating_add(remaining)
    }

    fn lasts(&self, now: Instant) -> bool {
        now.duration_since(self.opened) < LIFETIME && now.duration_since(self.used) < IDLE
    }
}

fn ago(at: Instant) -> u64 {
    let elapsed = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
    now_ms().saturating_sub(elapsed)
}

type ById = HashMap<[u8; 32], Session>;

/// The sessions of the console, by the SHA-256 of their ids; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<ById>>);

impl Sessions {
    /// Opens a session and returns its id, for the browser's cookie.
    pub(crate) fn open(&self, holder: Holder) -> (String, Session) {
        self.open_at(holder, Instant::now())
    }

    /// The session with this id, if it lasts still.
    pub(crate) fn find(&self, id: &str) -> Option<Session> {
        self.find_at(id, Instant::now())
    }

    /// Ends a session, and what is under way for it.
    pub(crate) fn end(&self, id: &str) -> Option<Session> {
        remove(&mut self.lock(), &digest(id))
    }

    /// Ends the session with this name, and what is under way for it.
    pub(crate) fn end_named(&self, name: &str) -> Option<Session> {
        let mut sessions = self.lock();
        let (id, _) = sessions.iter().find(|(_, session)| &*session.name == name)?;
        let id = *id;
        remove(&mut sessions, &id)
    }

    /// The sessions that last still, the one that was opened last first.
    pub(crate) fn list(&self) -> Vec<Session> {
        let now = Instant::now();
        let sessions = self.lock();
        let mut lasting: Vec<_> = sessions
            .values()
            .filter(|session| session.lasts(now))
            .cloned()
            .collect();
        lasting.sort_by_key(|session| std::cmp::Reverse(session.opened));
        lasting
    }

    fn open_at(&self, holder: Holder, now: Instant) -> (String, Session) {
        let id = hex::encode(rand::random::<[u8; 32]>());
        let session = Session {
            name: hex::encode(rand::random::<[u8; 8]>()).into(),
            holder,
            csrf_token: hex::encode(rand::random::<[u8; 32]>()).into(),
            ended: CancellationToken::new(),
            opened: now,
            used: now,
        };
        let mut sessions = self.lock();
        make_room(&mut sessions, session.holder.id(), now);
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

/// Removes the sessions that are over, where there are many, and else those that were idle for
/// longest.
fn make_room(sessions: &mut ById, holder: &str, now: Instant) {
    if sessions.len() >= CAPACITY {
        sessions.retain(|_, session| {
            session.lasts(now) || {
                session.ended.cancel();
                false
            }
        });
    }
    let is_own = |session: &Session| &**session.holder.id() == holder;
    if sessions.values().filter(|session| is_own(session)).count() >= CAPACITY_OF_ONE {
        remove_idlest(sessions, is_own);
    }
    if sessions.len() >= CAPACITY {
        remove_idlest(sessions, |_| true);
    }
}

fn remove_idlest(sessions: &mut ById, is_meant: impl Fn(&Session) -> bool) {
    let meant = sessions.iter().filter(|(_, session)| is_meant(session));
    let idlest = meant.min_by_key(|(_, session)| session.used).map(|(id, _)| *id);
    if let Some(id) = idlest {
        remove(sessions, &id);
    }
}

fn remove(sessions: &mut ById, id: &[u8; 32]) -> Option<Session> {
    let session = sessions.remove(id)?;
    session.ended.cancel();
    Some(session)
}

fn digest(id: &str) -> [u8; 32] {
    Sha256::digest(id.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(id: &str) -> Holder {
        Holder::Key {
            id: id.into(),
            key: Arc::new(SecretString::new("key")),
        }
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_when_its_time_is_over() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let (id, _) = sessions.open_at(holder("a"), begin);
        assert!(sessions.find_at("another", begin).is_none());
        let mut now = begin;
        while now - begin < LIFETIME {
            assert!(sessions.find_at(&id, now).is_some());
            now += IDLE / 2;
        }
        assert!(sessions.find_at(&id, now).is_none(), "its time is over");
        let (id, _) = sessions.open_at(holder("a"), begin);
        assert!(
            sessions.find_at(&id, begin + IDLE).is_none(),
            "nobody has used it"
        );
    }

    #[test]
    fn the_number_of_sessions_is_bounded_and_the_idlest_ends_first() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let at = |second| begin + Duration::from_secs(second);
        let (first, _) = sessions.open_at(holder("a"), at(0));
        let (second, idle) = sessions.open_at(holder("b"), at(1));
        for number in 2..CAPACITY {
            sessions.open_at(holder(&number.to_string()), at(2));
        }
        assert!(sessions.find_at(&first, at(3)).is_some());
        sessions.open_at(holder("c"), at(4));
        assert_eq!(sessions.lock().len(), CAPACITY);
        assert!(sessions.find_at(&first, at(5)).is_some());
        assert!(sessions.find_at(&second, at(5)).is_none());
        assert!(idle.ended.is_cancelled());
    }

    #[test]
    fn who_signs_in_ten_thousand_times_ends_no_session_of_others() {
        let (sessions, begin) = (Sessions::default(), Instant::now());
        let (of_another, _) = sessions.open_at(holder("another"), begin);
        for _ in 0..10_000 {
            sessions.open_at(holder("busy"), begin + Duration::from_secs(1));
        }
        assert_eq!(sessions.lock().len(), CAPACITY_OF_ONE + 1);
        assert!(sessions.find_at(&of_another, begin).is_some());
    }

    #[test]
    fn an_ended_session_is_found_no_more_and_tells_what_is_under_way() {
        let sessions = Sessions::default();
        let (id, session) = sessions.open(holder("a"));
        assert!(session.has_csrf_token(session.csrf_token.as_bytes()));
        assert!(!session.has_csrf_token(b""));
        assert!(sessions.end(&id).is_some());
        assert!(sessions.find(&id).is_none() && session.ended.is_cancelled());
        let (id, session) = sessions.open(holder("a"));
        assert!(sessions.end_named(&id).is_none());
        assert!(sessions.end_named(&session.name).is_some());
        assert!(sessions.find(&id).is_none() && sessions.list().is_empty());
    }
}

//! People who sign in with an account of their company: who knows them, and what they do. What is
//! done with API keys is noted beside it.

use std::sync::Arc;

use dm_core::{
    act::Act, api_key::Principal, bus::EventBus, news::News, person::Person, ports::IdentityProvider,
};

/// Knows who recognises people, and has acts in the log and among the events; cheap to clone.
#[derive(Clone)]
pub struct People {
    provider: Option<Arc<dyn IdentityProvider>>,
    bus: EventBus,
}

impl People {
    /// Without a provider nobody signs in with an account.
    pub fn new(provider: Option<Arc<dyn IdentityProvider>>, bus: EventBus) -> Self {
        Self { provider, bus }
    }

    /// Who recognises people, if anybody does.
    pub fn provider(&self) -> Option<&Arc<dyn IdentityProvider>> {
        self.provider.as_ref()
    }

    /// Tells that a person has signed in.
    pub fn signed_in(&self, person: &Person, session: &str) {
        tracing::info!(
            subject = person.subject,
            name = person.name,
            session,
            "a person has signed in"
        );
        self.bus.publish(News::PersonSignedIn {
            person: person.clone(),
            session: session.to_owned(),
        });
    }

    /// Tells that the session of a person was ended.
    pub fn signed_out(&self, person: &Person, session: &str) {
        tracing::info!(
            subject = person.subject,
            name = person.name,
            session,
            "the session of a person was ended"
        );
        self.bus.publish(News::PersonSignedOut {
            person: person.clone(),
            session: session.to_owned(),
        });
    }

    /// Tells that a person has asked for a change.
    pub fn acted(&self, person: &Person, act: Act) {
        tracing::info!(
            subject = person.subject,
            name = person.name,
            method = act.method,
            path = act.path,
            status = act.status,
            request = act.request_id,
            "a person has acted"
        );
        self.bus.publish(News::PersonActed {
            person: person.clone(),
            act,
        });
    }

    /// Tells that the bearer of an API key has asked for a change. What programs do all day stays
    /// out of the events: it has others, which speak of the data.
    pub fn key_acted(&self, bearer: &Principal, act: Act, is_administration: bool) {
        tracing::info!(
            key = &*bearer.key_id,
            name = &*bearer.name,
            method = act.method,
            path = act.path,
            status = act.status,
            request = act.request_id,
            "the bearer of an API key has acted"
        );
        if is_administration {
            self.bus.publish(News::ApiKeyActed {
                key_id: bearer.key_id.clone(),
                name: bearer.name.clone(),
                act,
            });
        }
    }
}

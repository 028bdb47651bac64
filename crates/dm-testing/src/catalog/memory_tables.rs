//! The small tables of a [`MemoryCatalog`]: API keys, peers, tokens,
//! authorised users and used statements.

use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{
    Address, B256,
    api_key::{ApiKeyRecord, KeyUsage},
    news::News,
    order::TokenRecord,
    peer::PeerRecord,
    ports::{ApiKeyCatalog, AuthorizedUsers, CatalogError, PeerCatalog, TokenCatalog, UsedMandates},
    token::TokenInfo,
    user::{AuthorizedUser, UserId},
};

use super::MemoryCatalog;

#[async_trait]
impl ApiKeyCatalog for MemoryCatalog {
    async fn insert_api_key(&self, key: &ApiKeyRecord) -> Result<(), CatalogError> {
        let mut state = self.state();
        if state.api_keys.iter().any(|kept| kept.id == key.id) {
            return Err(CatalogError::Conflict(format!(
                "there is an API key {} already",
                key.id
            )));
        }
        state.api_keys.push(key.clone());
        state.api_key_generation += 1;
        Ok(())
    }

    async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, CatalogError> {
        Ok(self.state().api_keys.iter().find(|key| key.id == id).cloned())
    }

    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, CatalogError> {
        let mut keys = self.state().api_keys.clone();
        keys.sort_by_key(|key| key.created_at);
        Ok(keys)
    }

    async fn revoke_api_key(&self, id: &str, now: u64) -> Result<bool, CatalogError> {
        let mut state = self.state();
        let Some(key) = state.api_keys.iter_mut().find(|key| key.id == id) else {
            return Ok(false);
        };
        key.revoked_at.get_or_insert(now);
        state.api_key_generation += 1;
        Ok(true)
    }

    async fn add_api_key_usage(
        &self,
        usage: &[(Arc<str>, KeyUsage)],
    ) -> Result<Vec<(Arc<str>, KeyUsage)>, CatalogError> {
        let mut state = self.state();
        let mut kept = Vec::new();
        for (id, usage) in usage {
            if let Some(key) = state.api_keys.iter_mut().find(|key| *key.id == **id) {
                key.usage.bytes_used += usage.bytes_used;
                key.usage.last_used_at = key.usage.last_used_at.max(usage.last_used_at);
                kept.push((id.clone(), key.usage));
            }
        }
        Ok(kept)
    }

    async fn api_key_generation(&self) -> Result<u64, CatalogError> {
        Ok(self.state().api_key_generation)
    }
}

#[async_trait]
impl PeerCatalog for MemoryCatalog {
    async fn put_peers(&self, peers: &[PeerRecord]) -> Result<(), CatalogError> {
        let lines = peers.iter().map(|peer| (peer.peer_id.clone(), peer.clone()));
        self.state().peers.extend(lines);
        Ok(())
    }

    async fn peers(&self) -> Result<Vec<PeerRecord>, CatalogError> {
        let mut peers: Vec<PeerRecord> = self.state().peers.values().cloned().collect();
        peers.sort_by_key(|peer| std::cmp::Reverse(peer.last_seen));
        Ok(peers)
    }

    async fn remove_peers(&self, peer_ids: &[String]) -> Result<(), CatalogError> {
        self.state()
            .peers
            .retain(|peer_id, _| !peer_ids.contains(peer_id));
        Ok(())
    }
}

#[async_trait]
impl TokenCatalog for MemoryCatalog {
    async fn add_token(&self, token: &TokenRecord) -> Result<bool, CatalogError> {
        let mut state = self.state();
        let address = token.info.address;
        let is_new = state.tokens.iter().all(|kept| kept.info.address != address);
        if is_new {
            state.tokens.push(token.clone());
            state.journal.append(&News::of_token(token));
        }
        Ok(is_new)
    }

    async fn update_token(&self, facts: &TokenInfo) -> Result<bool, CatalogError> {
        let mut state = self.state();
        let mut tokens = state.tokens.iter_mut();
        let kept = tokens.find(|token| token.info.address == facts.address);
        Ok(kept.map(|token| token.info = facts.clone()).is_some())
    }

    async fn token(&self, address: Address) -> Result<Option<TokenRecord>, CatalogError> {
        let state = self.state();
        let mut tokens = state.tokens.iter();
        Ok(tokens.find(|token| token.info.address == address).cloned())
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, CatalogError> {
        Ok(self.state().tokens.clone())
    }
}

#[async_trait]
impl AuthorizedUsers for MemoryCatalog {
    async fn insert_user(&self, user: &AuthorizedUser) -> Result<(), CatalogError> {
        let mut state = self.state();
        if state.users.contains_key(&user.id) {
            return Err(CatalogError::Conflict(format!(
                "there is a user {} already",
                user.id
            )));
        }
        state.users.insert(user.id.clone(), user.clone());
        Ok(())
    }

    async fn user(&self, id: &UserId) -> Result<Option<AuthorizedUser>, CatalogError> {
        Ok(self.state().users.get(id).cloned())
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<AuthorizedUser>, CatalogError> {
        let state = self.state();
        let users = state.users.values();
        let rest = users.filter(|user| after.is_none_or(|after| user.id > *after));
        Ok(rest.take(limit).cloned().collect())
    }

    async fn remove_user(&self, id: &UserId) -> Result<bool, CatalogError> {
        Ok(self.state().users.remove(id).is_some())
    }
}

#[async_trait]
impl UsedMandates for MemoryCatalog {
    async fn is_mandate_used(&self, digest: B256) -> Result<bool, CatalogError> {
        Ok(self.state().mandates.contains_key(&digest))
    }

    async fn forget_mandates(&self, now: u64) -> Result<(), CatalogError> {
        let mut state = self.state();
        let needed = state.unrecorded_mandates();
        state
            .mandates
            .retain(|digest, kept| kept.expires_at >= now || needed.contains(digest));
        Ok(())
    }
}

//! The subscriptions of a [`MemoryCatalog`].

use async_trait::async_trait;
use dm_core::{
    ports::{CatalogError, MAX_DEAD_LETTERS, SubscriptionCatalog},
    subscription::{DeadLetter, Progress, Subscription, SubscriptionId, SubscriptionState},
};

use super::{MemoryCatalog, memory::State};

impl State {
    fn subscription(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|kept| kept.id == id)
    }

    fn set_progress(&mut self, id: SubscriptionId, progress: &Progress) -> bool {
        let kept = self.subscription(id);
        kept.map(|kept| kept.progress = progress.clone()).is_some()
    }

    fn add_letter(&mut self, id: SubscriptionId, letter: &DeadLetter) {
        self.dead_letters.insert((id, letter.position), letter.clone());
        let of_this = (id, 0)..=(id, u64::MAX);
        if self.dead_letters.range(of_this.clone()).count() as u64 > MAX_DEAD_LETTERS
            && let Some(oldest) = self.dead_letters.range(of_this).next().map(|(key, _)| *key)
        {
            self.dead_letters.remove(&oldest);
        }
    }
}

#[async_trait]
impl SubscriptionCatalog for MemoryCatalog {
    async fn insert_subscription(&self, subscription: &Subscription) -> Result<(), CatalogError> {
        self.write(|state| {
            let is_taken =
                |kept: &Subscription| (kept.id == subscription.id) || (kept.name == subscription.name);
            if state.subscriptions.iter().any(is_taken) {
                return Err(CatalogError::Conflict("there is such a subscription".to_owned()));
            }
            state.subscriptions.push(subscription.clone());
            Ok(())
        })
    }

    async fn subscriptions(&self) -> Result<Vec<Subscription>, CatalogError> {
        Ok(self.read()?.subscriptions.clone())
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, CatalogError> {
        Ok(self.read()?.subscription(id).cloned())
    }

    async fn set_subscription_state(
        &self,
        id: SubscriptionId,
        new: SubscriptionState,
    ) -> Result<bool, CatalogError> {
        self.write(|state| Ok(state.subscription(id).map(|kept| kept.state = new).is_some()))
    }

    async fn set_progress(
        &self,
        id: SubscriptionId,
        from: u64,
        progress: &Progress,
        given_up: Option<&DeadLetter>,
    ) -> Result<bool, CatalogError> {
        self.write(|state| {
            if state
                .subscription(id)
                .is_none_or(|kept| kept.progress.read_to != from)
            {
                return Ok(false);
            }
            state.set_progress(id, progress);
            if let Some(letter) = given_up {
                state.add_letter(id, letter);
            }
            Ok(true)
        })
    }

    async fn rewind(&self, id: SubscriptionId, read_to: u64) -> Result<bool, CatalogError> {
        self.write(|state| {
            state
                .dead_letters
                .retain(|(of, position), _| *of != id || *position <= read_to);
            let begin = Progress {
                read_to,
                ..Progress::default()
            };
            Ok(state.set_progress(id, &begin))
        })
    }

    async fn dead_letters(
        &self,
        id: SubscriptionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, CatalogError> {
        let state = self.read()?;
        let of_this = state.dead_letters.range((id, 0)..=(id, u64::MAX));
        let later = of_this.filter(|((_, position), _)| *position > after);
        Ok(later.take(limit).map(|(_, letter)| letter.clone()).collect())
    }

    async fn remove_subscription(&self, id: SubscriptionId) -> Result<bool, CatalogError> {
        self.write(|state| {
            let before = state.subscriptions.len();
            state.subscriptions.retain(|kept| kept.id != id);
            state.dead_letters.retain(|(of, _), _| *of != id);
            Ok(state.subscriptions.len() < before)
        })
    }
}

//! Those who ask how far a transaction is.

use dm_core::operation::OperationId;
use tokio::time::Instant;

use super::{Answer, Key, Queue, Subject, Ticket, item::Phase};

/// Somebody who asks.
pub(super) struct Ask {
    ticket: Ticket,
    subject: Subject,
    wish: Wish,
    /// The answer rests on a look of this number or a later one.
    round: u64,
}

/// What somebody wants.
#[derive(Clone, Copy)]
enum Wish {
    /// The state now.
    State,
    /// The state once it is mined, or at this time.
    Mined(Instant),
    /// That it is forgotten.
    Forget,
}

impl Queue {
    pub(super) fn asked(&mut self, ticket: Ticket, subject: Subject, until: Option<Instant>) {
        let wish = until.map_or(Wish::State, Wish::Mined);
        let phase = self
            .find(subject)
            .and_then(|key| self.items.get(&key))
            .map(|item| &item.phase);
        match phase {
            // A look would not change the answer.
            None | Some(Phase::Final(_) | Phase::Refused) => self.answer_state(ticket, subject),
            Some(_) => self.ask(ticket, subject, wish),
        }
    }

    pub(super) fn concluded(&mut self, ticket: Ticket, id: OperationId) {
        let subject = Subject::Operation(id);
        match self.find(subject) {
            Some(key) if !self.forget_final(key) => self.ask(ticket, subject, Wish::Forget),
            _ => self.answer(ticket, Answer::Concluded),
        }
    }

    /// Whether somebody's answer needs a look that has not been begun.
    pub(super) fn asks_need_look(&self) -> bool {
        self.asks.iter().any(|ask| ask.round > self.watch.round())
    }

    /// The earliest time at which somebody waits no longer.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.asks.iter().filter_map(|ask| match ask.wish {
            Wish::Mined(until) => Some(until),
            _ => None,
        });
        deadlines.min()
    }

    /// Answers those whose look has ended.
    pub(super) fn answer_asks(&mut self) {
        let round = self.watch.round();
        for ask in std::mem::take(&mut self.asks) {
            let key = self.find(ask.subject);
            match ask.wish {
                _ if ask.round > round => self.asks.push(ask),
                Wish::Forget => {
                    key.map(|key| self.forget_final(key));
                    self.answer(ask.ticket, Answer::Concluded);
                }
                Wish::Mined(_) if key.is_some_and(|key| !self.is_in_block(key)) => self.asks.push(ask),
                _ => self.answer_state(ask.ticket, ask.subject),
            }
        }
    }

    /// Answers those who wait no longer.
    pub(super) fn answer_late_asks(&mut self, now: Instant) {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        for ask in std::mem::take(&mut self.asks) {
            match ask.wish {
                Wish::Mined(until) if until <= now => self.answer_state(ask.ticket, ask.subject),
                _ => self.asks.push(ask),
            }
        }
    }

    fn ask(&mut self, ticket: Ticket, subject: Subject, wish: Wish) {
        self.asks.push(Ask {
            ticket,
            subject,
            wish,
            round: self.watch.round() + 1,
        });
    }

    fn answer_state(&mut self, ticket: Ticket, subject: Subject) {
        let item = self.find(subject).and_then(|key| self.items.get(&key));
        let state = item.and_then(|item| item.state(self.config.account));
        self.answer(ticket, Answer::State(state));
    }

    /// Forgets one if it is final.
    fn forget_final(&mut self, key: Key) -> bool {
        let is_final = self.items.get(&key).is_some_and(super::item::Item::is_over);
        if is_final && let Some(id) = self.remove(key).and_then(|item| item.id) {
            self.dirty.insert(id, None);
        }
        is_final
    }

    fn is_in_block(&self, key: Key) -> bool {
        let phase = self.items.get(&key).map(|item| &item.phase);
        matches!(phase, Some(Phase::Mined(_) | Phase::Final(_) | Phase::Refused))
    }

    fn find(&self, subject: Subject) -> Option<Key> {
        match subject {
            Subject::Operation(id) => self.ids.get(&id).copied(),
            Subject::Hash(hash) => self.hashes.get(&hash).copied(),
        }
    }
}

//! Those who ask how far a transaction is. Their answers rest on a look that began after
//! they asked.

use dm_core::operation::OperationId;
use tokio::time::Instant;

use super::{Answer, Subject, Ticket, item::Phase, ledger::Ledger};

/// Those who wait for an answer.
#[derive(Default)]
pub(super) struct Asks(Vec<Ask>);

/// Somebody who asks.
struct Ask {
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

impl Asks {
    /// Somebody asks, after the look of this number began, how far a transaction is: now,
    /// or when it is mined, but no later than `until`.
    pub(super) fn ask(
        &mut self,
        ledger: &mut Ledger,
        ticket: Ticket,
        subject: Subject,
        until: Option<Instant>,
        round: u64,
    ) {
        match phase(ledger, subject) {
            // A look would not change the answer.
            None | Some(Phase::Final(_) | Phase::Refused) => ledger.answer_state(ticket, subject),
            Some(_) => {
                let wish = until.map_or(Wish::State, Wish::Mined);
                self.wait(ticket, subject, wish, round);
            }
        }
    }

    /// Somebody needs an operation no more, after the look of this number began.
    pub(super) fn conclude(&mut self, ledger: &mut Ledger, ticket: Ticket, id: OperationId, round: u64) {
        let subject = Subject::Operation(id);
        match ledger.items.find(subject) {
            Some(key) if !ledger.forget_final(key) => self.wait(ticket, subject, Wish::Forget, round),
            _ => ledger.answer(ticket, Answer::Concluded),
        }
    }

    fn wait(&mut self, ticket: Ticket, subject: Subject, wish: Wish, round: u64) {
        self.0.push(Ask {
            ticket,
            subject,
            wish,
            round: round + 1,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether somebody's answer needs a later look than that of this number.
    pub(super) fn need_look_after(&self, round: u64) -> bool {
        self.0.iter().any(|ask| ask.round > round)
    }

    /// The earliest time at which somebody waits no longer.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.0.iter().filter_map(|ask| match ask.wish {
            Wish::Mined(until) => Some(until),
            _ => None,
        });
        deadlines.min()
    }

    /// Answers those who have waited for the look of this number, which has ended.
    pub(super) fn answer(&mut self, ledger: &mut Ledger, round: u64) {
        for ask in std::mem::take(&mut self.0) {
            match ask.wish {
                _ if ask.round > round => self.0.push(ask),
                Wish::Forget => {
                    if let Some(key) = ledger.items.find(ask.subject) {
                        ledger.forget_final(key);
                    }
                    ledger.answer(ask.ticket, Answer::Concluded);
                }
                Wish::Mined(_) if phase(ledger, ask.subject).is_some_and(waits) => self.0.push(ask),
                _ => ledger.answer_state(ask.ticket, ask.subject),
            }
        }
    }

    /// Answers those who wait no longer.
    pub(super) fn answer_late(&mut self, ledger: &mut Ledger, now: Instant) {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        for ask in std::mem::take(&mut self.0) {
            match ask.wish {
                Wish::Mined(until) if until <= now => ledger.answer_state(ask.ticket, ask.subject),
                _ => self.0.push(ask),
            }
        }
    }
}

fn phase(ledger: &Ledger, subject: Subject) -> Option<&Phase> {
    let key = ledger.items.find(subject)?;
    ledger.items.get(key).map(|item| &item.phase)
}

/// Whether no block has it.
fn waits(phase: &Phase) -> bool {
    matches!(phase, Phase::Queued | Phase::Staged | Phase::Sending(_))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transactions::queue::tests::fixtures::{config, order, subject};

    /// A ledger in which an operation waits for a nonce.
    fn ledger(now: Instant) -> Ledger {
        let mut ledger = Ledger::new(&config());
        order(&mut ledger, 0, now);
        ledger
    }

    #[test]
    fn an_answer_rests_on_a_look_that_began_after_the_question() {
        let (mut asks, mut ledger) = (Asks::default(), ledger(Instant::now()));
        asks.ask(&mut ledger, 7, subject(0), None, 3);
        asks.answer(&mut ledger, 3);
        assert!(asks.need_look_after(3) && ledger.take_answers().is_empty());
        asks.answer(&mut ledger, 4);
        assert_eq!(ledger.take_answers(), [(7, Answer::State(None))]);
        assert!(asks.is_empty());
    }

    #[test]
    fn nobody_waits_for_what_is_not_known() {
        let (mut asks, mut ledger) = (Asks::default(), ledger(Instant::now()));
        asks.ask(&mut ledger, 7, subject(1), None, 3);
        assert_eq!(ledger.take_answers(), [(7, Answer::State(None))]);
    }

    #[test]
    fn who_waits_for_a_block_waits_until_the_deadline() {
        let now = Instant::now();
        let (mut asks, mut ledger) = (Asks::default(), ledger(now));
        let until = now + Duration::from_secs(5);
        asks.ask(&mut ledger, 7, subject(0), Some(until), 3);
        asks.answer(&mut ledger, 9);
        asks.answer_late(&mut ledger, now);
        assert!(ledger.take_answers().is_empty());
        assert_eq!(asks.next_deadline(), Some(until));
        asks.answer_late(&mut ledger, until);
        assert_eq!(ledger.take_answers(), [(7, Answer::State(None))]);
    }
}

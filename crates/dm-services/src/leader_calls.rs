//! What only the leader may do, for requests that any instance serves: they ask for it in a
//! namespace that all instances share, and the leader answers there.
//!
//! Whoever asks has written down before what is to be done. So nothing is lost where the leader
//! is killed before it answers: the next one finds the question, and whoever asks does it in a
//! way that does no harm twice.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    ports::{KeyValueStore, StoreError, WriteBatch},
};
use futures::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::Notify, time::Instant};

use crate::ServiceError;

/// Begins the keys of questions.
const QUESTION: u8 = b'q';
/// Begins the keys of answers, which have the same end.
const ANSWER: u8 = b'a';
/// Between two looks for questions, and for an answer.
const PAUSE: Duration = Duration::from_millis(200);
/// Questions that the leader deals with at the same time.
const AT_ONCE: usize = 256;
/// Answers for which nobody has come for so long are forgotten, in milliseconds.
const KEPT_MS: u64 = 10 * 60 * 1000;

/// Why the leader did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// There is no such refund.
    UnknownRefund,
    /// Nothing is left to do for the refund.
    RefundSettled(String),
    /// Something behind the node is away.
    Unavailable(String),
    /// Anything else.
    Fault(String),
}

#[derive(Serialize, Deserialize)]
struct Answer<T> {
    /// In milliseconds since the Unix epoch.
    at: u64,
    result: Result<T, Refusal>,
}

/// Asks the leader, and answers where this instance leads. Cheap to clone.
#[derive(Clone)]
pub struct LeaderCalls {
    store: Arc<dyn KeyValueStore>,
    /// Rings in this process when something was asked or answered.
    news: Arc<Notify>,
}

impl LeaderCalls {
    /// Asks and answers in this namespace, which all instances have.
    pub fn new(store: Arc<dyn KeyValueStore>) -> Self {
        Self {
            store,
            news: Arc::default(),
        }
    }

    /// Asks the leader, and waits for its answer; `None` where there is none in time.
    pub(crate) async fn ask<Q: Serialize, T: DeserializeOwned>(
        &self,
        question: &Q,
        patience: Duration,
    ) -> Result<Option<Result<T, Refusal>>, ServiceError> {
        let (deadline, id) = (Instant::now() + patience, rand::random::<[u8; 16]>());
        let (question_key, answer_key) = (key(QUESTION, &id), key(ANSWER, &id));
        let mut batch = WriteBatch::new();
        batch.put(question_key.clone(), encode(question)?);
        self.store.commit(batch).await?;
        self.news.notify_waiters();
        let answer = loop {
            if let Some(answer) = self.store.get(&answer_key).await? {
                break Some(decode::<Answer<T>>(&answer)?.result);
            }
            if Instant::now() >= deadline {
                break None;
            }
            // That nobody rang is no failure.
            let _ = tokio::time::timeout(PAUSE, self.news.notified()).await;
        };
        let mut batch = WriteBatch::new();
        batch.delete(question_key).delete(answer_key);
        if let Err(error) = self.store.commit(batch).await {
            tracing::debug!(%error, "an answer of the leader is forgotten later");
        }
        Ok(answer)
    }

    /// Answers what is asked, for as long as it is polled: to be run by the leader alone.
    ///
    /// # Errors
    /// Faults of the store.
    pub(crate) async fn answer_all<Q, T, Answering>(
        &self,
        answer: impl Fn(Q) -> Answering,
    ) -> Result<(), ServiceError>
    where
        Q: DeserializeOwned,
        T: Serialize,
        Answering: Future<Output = Result<T, Refusal>>,
    {
        self.forget_old().await?;
        let (mut under_way, mut answers) = (HashSet::new(), FuturesUnordered::new());
        loop {
            for (key, question) in self.store.scan(&[QUESTION], None, AT_ONCE).await? {
                if under_way.len() < AT_ONCE && under_way.insert(key.clone()) {
                    let answering = decode(&question).map(&answer);
                    answers.push(async move {
                        let result = match answering {
                            Ok(answering) => answering.await,
                            Err(error) => Err(Refusal::Fault(error.to_string())),
                        };
                        (key, result)
                    });
                }
            }
            tokio::select! {
                Some((key, result)) = answers.next() => {
                    self.note(&key, result).await?;
                    under_way.remove(&key);
                }
                () = self.news.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Puts an answer in the place of its question, unless nobody waits for it any more.
    async fn note<T: Serialize>(
        &self,
        question: &Bytes,
        result: Result<T, Refusal>,
    ) -> Result<(), ServiceError> {
        let Some(asked) = self.store.get(question).await? else {
            return Ok(());
        };
        let answer = encode(&Answer { at: now_ms(), result })?;
        let mut batch = WriteBatch::new();
        batch.expect(question.clone(), Some(asked));
        batch.delete(question.clone());
        batch.put(key(ANSWER, question.get(1..).unwrap_or_default()), answer);
        match self.store.commit(batch).await {
            Ok(()) | Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        self.news.notify_waiters();
        Ok(())
    }

    /// Forgets answers for which nobody has come.
    async fn forget_old(&self) -> Result<(), ServiceError> {
        let now = now_ms();
        let mut batch = WriteBatch::new();
        for (key, answer) in self.store.scan(&[ANSWER], None, AT_ONCE).await? {
            let is_kept = decode::<Answer<serde_json::Value>>(&answer)
                .is_ok_and(|answer| now.abs_diff(answer.at) < KEPT_MS);
            if !is_kept {
                batch.delete(key);
            }
        }
        match batch.changes.is_empty() {
            true => Ok(()),
            false => Ok(self.store.commit(batch).await?),
        }
    }
}

fn key(tag: u8, id: &[u8]) -> Bytes {
    [&[tag], id].concat().into()
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, ServiceError> {
    let json = serde_json::to_vec(value).map_err(|error| ServiceError::Fault(error.into()))?;
    Ok(json.into())
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ServiceError> {
    serde_json::from_slice(bytes).map_err(|error| ServiceError::Fault(error.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use dm_testing::key_value::MemoryKeyValueStore;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    async fn double(number: u64) -> Result<u64, Refusal> {
        match number {
            0 => Err(Refusal::RefundSettled("nothing is left".to_owned())),
            number => Ok(2 * number),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_leader_answers_other_instances_and_nothing_of_it_is_left() {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let (leader, other) = (LeaderCalls::new(store.clone()), LeaderCalls::new(store.clone()));
        let leading = tokio::spawn(async move { leader.answer_all(double).await });
        let asked = (0..9_u64).map(|number| {
            let other = other.clone();
            async move { other.ask::<_, u64>(&number, PATIENCE).await.unwrap().unwrap() }
        });
        let answers = futures::future::join_all(asked).await;
        assert_eq!(
            answers[0],
            Err(Refusal::RefundSettled("nothing is left".to_owned()))
        );
        assert!((1..9).all(|number| answers[number as usize] == Ok(2 * number)));
        assert!(store.scan(b"", None, 9).await.unwrap().is_empty());
        leading.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_outlives_a_leader_and_not_who_asks() {
        let store: Arc<dyn KeyValueStore> = Arc::new(MemoryKeyValueStore::new());
        let calls = LeaderCalls::new(store.clone());
        let asking = calls.clone();
        let asking = tokio::spawn(async move { asking.ask::<_, u64>(&4_u64, PATIENCE).await.unwrap() });
        let deaf = calls.answer_all(|_: u64| std::future::pending::<Result<u64, Refusal>>());
        assert!(tokio::time::timeout(5 * PAUSE, deaf).await.is_err());
        let next = calls.clone();
        let leading = tokio::spawn(async move { next.answer_all(double).await });
        assert_eq!(asking.await.unwrap(), Some(Ok(8)));
        leading.abort();

        assert_eq!(calls.ask::<_, u64>(&4_u64, PATIENCE).await.unwrap(), None);
        assert!(store.scan(b"", None, 9).await.unwrap().is_empty());
    }
}

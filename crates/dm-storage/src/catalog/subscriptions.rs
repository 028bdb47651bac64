//! Subscriptions and their dead letters.

use async_trait::async_trait;
use dm_core::{
    journal::Topics,
    ports::{CatalogError, MAX_DEAD_LETTERS, SubscriptionCatalog},
    subscription::{DeadLetter, Progress, Subscription, SubscriptionId, SubscriptionState},
};

use super::{
    SqliteCatalog,
    change::{Outcome, SingleChange},
    columns::{Columns, bound, storable},
    error::{corrupt, failed, from_sqlx},
    pages::Source,
    sql::{self, Connection, Row},
};

const SUBSCRIPTIONS: Source = Source::new("subscriptions", "id");
const LETTERS: Source = Source::new("dead_letters", "position");

const INSERT: &str = "INSERT INTO subscriptions
    (id, name, url, topics, filter, sealed_secret, created_at, state, read_to, attempts, next_try, last_error, missed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
pub(super) const GET: &str = "SELECT * FROM subscriptions WHERE id = ?";
const LIST: &str = "SELECT * FROM subscriptions ORDER BY ordinal";
pub(super) const SET_STATE: &str = "UPDATE subscriptions SET state = ? WHERE id = ?";
pub(super) const SET_PROGRESS: &str = "UPDATE subscriptions
    SET read_to = ?, attempts = ?, next_try = ?, last_error = ?, missed = ? WHERE id = ? AND read_to = ?";
pub(super) const REWIND: &str = "UPDATE subscriptions
    SET read_to = ?, attempts = 0, next_try = 0, last_error = NULL, missed = 0 WHERE id = ?";
const ADD_LETTER: &str = "INSERT INTO dead_letters
    (subscription, position, topic, attempts, failed_at, reason) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (subscription, position) DO UPDATE SET topic = excluded.topic,
        attempts = excluded.attempts, failed_at = excluded.failed_at, reason = excluded.reason";
pub(super) const TRIM: &str = "DELETE FROM dead_letters WHERE subscription = ?1 AND position <= (
    SELECT position FROM dead_letters WHERE subscription = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2)";
pub(super) const FORGET_BEYOND: &str = "DELETE FROM dead_letters WHERE subscription = ? AND position > ?";
pub(super) const DEAD_LETTERS: &str = "SELECT * FROM dead_letters
    WHERE subscription = ? AND position > ? ORDER BY position LIMIT +?";
pub(super) const REMOVE: &str = "DELETE FROM subscriptions WHERE id = ?";

pub(super) async fn insert(
    connection: &mut Connection<'_>,
    subscription: &Subscription,
) -> Result<Outcome, CatalogError> {
    let progress = &subscription.progress;
    let query = sql::query(INSERT)
        .bind(subscription.id.0.to_vec())
        .bind(subscription.name.clone())
        .bind(subscription.url.clone())
        .bind(json(subscription.topics.names())?)
        .bind(json(&subscription.filter)?)
        .bind(subscription.sealed_secret.clone())
        .bind(storable(subscription.created_at)?)
        .bind(subscription.state.as_str())
        .bind(storable(progress.read_to)?)
        .bind(progress.attempts)
        .bind(storable(progress.next_try)?)
        .bind(progress.last_error.clone())
        .bind(storable(progress.missed)?);
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(match done {
        0 => Outcome::Refused(format!("there is a subscription {:?}", subscription.name)),
        _ => Outcome::Done,
    })
}

pub(super) async fn set_state(
    connection: &mut Connection<'_>,
    id: SubscriptionId,
    state: SubscriptionState,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(SET_STATE).bind(state.as_str()).bind(id.0.to_vec());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

pub(super) async fn set_progress(
    connection: &mut Connection<'_>,
    id: SubscriptionId,
    from: u64,
    progress: &Progress,
    given_up: Option<&DeadLetter>,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(SET_PROGRESS)
        .bind(storable(progress.read_to)?)
        .bind(progress.attempts)
        .bind(storable(progress.next_try)?)
        .bind(progress.last_error.clone())
        .bind(storable(progress.missed)?)
        .bind(id.0.to_vec())
        .bind(bound(from));
    let done = query.execute(&mut *connection).await.map_err(from_sqlx)?;
    let existed = done > 0;
    if let Some(letter) = given_up.filter(|_| existed) {
        add_letter(connection, id, letter).await?;
    }
    Ok(Outcome::Existed(existed))
}

async fn add_letter(
    connection: &mut Connection<'_>,
    id: SubscriptionId,
    letter: &DeadLetter,
) -> Result<(), CatalogError> {
    let query = sql::query(ADD_LETTER)
        .bind(id.0.to_vec())
        .bind(storable(letter.position)?)
        .bind(letter.topic.clone())
        .bind(letter.attempts)
        .bind(storable(letter.failed_at)?)
        .bind(letter.reason.clone());
    query.execute(&mut *connection).await.map_err(from_sqlx)?;
    let query = sql::query(TRIM)
        .bind(id.0.to_vec())
        .bind(storable(MAX_DEAD_LETTERS)?);
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

pub(super) async fn rewind(
    connection: &mut Connection<'_>,
    id: SubscriptionId,
    read_to: u64,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(FORGET_BEYOND)
        .bind(id.0.to_vec())
        .bind(storable(read_to)?);
    query.execute(&mut *connection).await.map_err(from_sqlx)?;
    let query = sql::query(REWIND).bind(storable(read_to)?).bind(id.0.to_vec());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

pub(super) async fn remove(
    connection: &mut Connection<'_>,
    id: SubscriptionId,
) -> Result<Outcome, CatalogError> {
    let letters = sql::query(FORGET_BEYOND).bind(id.0.to_vec()).bind(-1);
    letters.execute(&mut *connection).await.map_err(from_sqlx)?;
    let query = sql::query(REMOVE).bind(id.0.to_vec());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, CatalogError> {
    serde_json::to_string(value).map_err(|_| failed("a subscription has no JSON form"))
}

fn read(row: &Row) -> Result<Subscription, CatalogError> {
    let topics: Vec<String> = serde_json::from_str(row.value("topics")?)
        .map_err(|_| corrupt("the topics of a subscription are no JSON array of texts"))?;
    let topics = Topics::new(topics.iter().map(String::as_str))
        .map_err(|error| corrupt(format_args!("a topic of a subscription {error}")))?;
    let state = match row.value("state")? {
        "active" => SubscriptionState::Active,
        "paused" => SubscriptionState::Paused,
        "ended" => SubscriptionState::Ended,
        _ => return Err(corrupt("a subscription is in no known state")),
    };
    Ok(Subscription {
        id: SubscriptionId(row.bytes("id")?),
        name: row.value("name")?,
        url: row.value("url")?,
        topics,
        filter: serde_json::from_str(row.value("filter")?)
            .map_err(|_| corrupt("the filter of a subscription cannot be read"))?,
        sealed_secret: row.value("sealed_secret")?,
        created_at: row.number("created_at")?,
        state,
        progress: Progress {
            read_to: row.number("read_to")?,
            attempts: row.small_number("attempts")?,
            next_try: row.number("next_try")?,
            last_error: row.value("last_error")?,
            missed: row.number("missed")?,
        },
    })
}

fn letter(row: &Row) -> Result<DeadLetter, CatalogError> {
    Ok(DeadLetter {
        position: row.number("position")?,
        topic: row.value("topic")?,
        attempts: row.small_number("attempts")?,
        failed_at: row.number("failed_at")?,
        reason: row.value("reason")?,
    })
}

#[async_trait]
impl SubscriptionCatalog for SqliteCatalog {
    async fn insert_subscription(&self, subscription: &Subscription) -> Result<(), CatalogError> {
        self.make(SingleChange::InsertSubscription(Box::new(subscription.clone())))
            .await
    }

    async fn subscriptions(&self) -> Result<Vec<Subscription>, CatalogError> {
        self.all(SUBSCRIPTIONS, sql::query(LIST), read).await
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, CatalogError> {
        let query = sql::query(GET).bind(id.0.to_vec());
        let row = query.fetch_optional(&self.reads).await.map_err(from_sqlx)?;
        row.as_ref().map(read).transpose()
    }

    async fn set_subscription_state(
        &self,
        id: SubscriptionId,
        state: SubscriptionState,
    ) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::SetSubscriptionState { id, state })
            .await
    }

    async fn set_progress(
        &self,
        id: SubscriptionId,
        from: u64,
        progress: &Progress,
        given_up: Option<&DeadLetter>,
    ) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::SetProgress {
            id,
            from,
            progress: progress.clone(),
            given_up: given_up.cloned(),
        })
        .await
    }

    async fn rewind(&self, id: SubscriptionId, read_to: u64) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::Rewind { id, read_to }).await
    }

    async fn dead_letters(
        &self,
        id: SubscriptionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, CatalogError> {
        let query = |rows| {
            sql::query(DEAD_LETTERS)
                .bind(id.0.to_vec())
                .bind(bound(after))
                .bind(rows)
        };
        self.page(LETTERS, limit, query, letter).await
    }

    async fn remove_subscription(&self, id: SubscriptionId) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::RemoveSubscription(id)).await
    }
}

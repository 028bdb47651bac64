//! The lease of the leader, and who had it before.
//!
//! Whoever changes it, or writes by its right, holds the lock that all writers take first.
//! So the newest row stays what it is from where it is read to the commit.

use std::time::Duration;

use async_trait::async_trait;
use dm_core::{
    instance::InstanceId,
    lease::{Epoch, Lease},
    ports::{CatalogError, KEPT_LEASES, Leases},
};

use super::{
    SqliteCatalog,
    change::{LeaseChange, OrderedChange, Outcome},
    clock::with_now,
    columns::{Columns, bound, storable},
    error::{failed, from_sqlx},
    pages::Source,
    sql::{self, Connection, Dialects, Row, Target},
};

const LEASES: Source = Source::new("leases", "epoch");

/// The newest lease, if there is one.
pub(super) const NEWEST: Dialects = with_now!(
    ", l.* FROM (SELECT max(epoch) AS epoch FROM leases) n LEFT JOIN leases l ON l.epoch = n.epoch"
);
/// Waits for transactions that the leader makes beside the lock of all writers, on its objects: they
/// have looked at this row.
pub(super) const SETTLE: Dialects = Dialects {
    sqlite: "SELECT 1 FROM leases WHERE epoch = (SELECT max(epoch) FROM leases)",
    postgres: "SELECT 1 FROM leases WHERE epoch = (SELECT max(epoch) FROM leases) FOR UPDATE",
};
pub(super) const PUT: &str = "INSERT INTO leases (epoch, instance, taken_at, renewed_at, ends_at)
    VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (epoch) DO UPDATE SET renewed_at = excluded.renewed_at, ends_at = excluded.ends_at";
pub(super) const FORGET: &str = "DELETE FROM leases WHERE epoch <= ?";
pub(super) const PAGE: &str = "SELECT * FROM leases WHERE epoch > ? ORDER BY epoch LIMIT +?";

/// Makes a change of the lease.
pub(super) async fn change(
    connection: &mut Connection<'_>,
    change: LeaseChange,
) -> Result<Outcome, CatalogError> {
    if let LeaseChange::Take { .. } = change {
        let settling = sql::query(SETTLE).fetch_optional(&mut *connection).await;
        settling.map_err(from_sqlx)?;
    }
    let (now, newest) = newest(&mut *connection).await?;
    let changed = match change {
        LeaseChange::Take { instance, lasts } => {
            let (ended, begun) = Lease::take(newest, instance, lasts, now);
            for lease in ended.iter().chain(&begun) {
                put(connection, lease).await?;
            }
            if let Some(begun) = begun {
                forget(connection, begun.epoch.0.saturating_sub(KEPT_LEASES)).await?;
            }
            return Ok(Outcome::Lease(begun.map(|lease| lease.epoch)));
        }
        LeaseChange::Renew { epoch, lasts } => newest.and_then(|lease| lease.renew(epoch, lasts, now)),
        LeaseChange::GiveBack(epoch) => newest.and_then(|lease| lease.give_back(epoch, now)),
    };
    if let Some(lease) = &changed {
        put(connection, lease).await?;
    }
    Ok(Outcome::Existed(changed.is_some()))
}

/// Whether the lease is of that epoch and has not ended, within a transaction that writes.
pub(super) async fn is_of(connection: &mut Connection<'_>, epoch: Epoch) -> Result<bool, CatalogError> {
    let (now, newest) = newest(connection).await?;
    Ok(newest.is_some_and(|lease| lease.is_valid(epoch, now)))
}

/// Whether that instance was the last to have the lease, within a transaction that writes.
pub(super) async fn was_last(
    connection: &mut Connection<'_>,
    instance: InstanceId,
) -> Result<bool, CatalogError> {
    let (_, newest) = newest(connection).await?;
    Ok(newest.is_some_and(|lease| lease.instance == instance))
}

async fn newest<'c>(target: impl Into<Target<'c>>) -> Result<(u64, Option<Lease>), CatalogError> {
    let row = sql::query(NEWEST).fetch_one(target).await.map_err(from_sqlx)?;
    let newest = row.optional_number("epoch")?.map(|_| read(&row)).transpose()?;
    Ok((row.number("now")?, newest))
}

async fn put(connection: &mut Connection<'_>, lease: &Lease) -> Result<(), CatalogError> {
    let query = sql::query(PUT)
        .bind(storable(lease.epoch.0)?)
        .bind(lease.instance.0.to_vec())
        .bind(storable(lease.taken_at)?)
        .bind(storable(lease.renewed_at)?)
        .bind(storable(lease.ends_at)?);
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

async fn forget(connection: &mut Connection<'_>, up_to: u64) -> Result<(), CatalogError> {
    if up_to == 0 {
        return Ok(());
    }
    let query = sql::query(FORGET).bind(storable(up_to)?);
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

fn read(row: &Row) -> Result<Lease, CatalogError> {
    Ok(Lease {
        epoch: Epoch(row.number("epoch")?),
        instance: InstanceId(row.bytes("instance")?),
        taken_at: row.number("taken_at")?,
        renewed_at: row.number("renewed_at")?,
        ends_at: row.number("ends_at")?,
    })
}

#[async_trait]
impl Leases for SqliteCatalog {
    async fn take_lease(&self, instance: InstanceId, lasts: Duration) -> Result<Option<Epoch>, CatalogError> {
        let take = OrderedChange::ChangeLease(LeaseChange::Take { instance, lasts });
        match self.writer.write(take).await? {
            Outcome::Lease(epoch) => Ok(epoch),
            _ => Err(failed("a lease has no such outcome")),
        }
    }

    async fn renew_lease(&self, epoch: Epoch, lasts: Duration) -> Result<bool, CatalogError> {
        let renew = LeaseChange::Renew { epoch, lasts };
        self.make_if_there(OrderedChange::ChangeLease(renew)).await
    }

    async fn give_back_lease(&self, epoch: Epoch) -> Result<bool, CatalogError> {
        self.make_if_there(OrderedChange::ChangeLease(LeaseChange::GiveBack(epoch)))
            .await
    }

    async fn lease(&self) -> Result<Option<Lease>, CatalogError> {
        let (now, newest) = newest(&self.reads).await?;
        Ok(newest.filter(|lease| lease.is_current_at(now)))
    }

    async fn leases(&self, after: Epoch, limit: usize) -> Result<Vec<Lease>, CatalogError> {
        let query = |rows| sql::query(PAGE).bind(bound(after.0)).bind(rows);
        self.page(LEASES, limit, query, read).await
    }
}

impl SqliteCatalog {
    /// The same catalog, which changes nothing any more once another instance has had the
    /// lease: for an instance whose data directory holds what others lack. Takes and keeps
    /// the lease as before, until another one has it. Writes that come too late fail with
    /// [`CatalogError::Unavailable`].
    #[must_use]
    pub fn while_last_leader(&self, instance: InstanceId) -> Self {
        Self {
            writer: self.writer.while_last_leader(instance),
            ..self.clone()
        }
    }
}

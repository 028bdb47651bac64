//! One transaction that writes.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use bytes::Bytes;
use dm_core::{lease::Epoch, ports::StoreError};
use sqlx::{
    PgConnection, Postgres, Row,
    postgres::{PgArguments, PgRow},
};
use tokio::runtime::Handle;

use super::{
    super::{Change, Reads, Table},
    lost, part, store_error, wait,
};
use crate::{
    catalog::{error::from_sqlx, postgres::answers::answered, sql::Statements},
    error::failed,
};

const FIND: &str = "SELECT e.part, e.key, e.value FROM object_entries e
    JOIN unnest($1::bigint[], $2::bytea[]) AS wanted (part, key) ON e.part = wanted.part AND e.key = wanted.key";
const PUT: &str = "INSERT INTO object_entries (part, key, value)
    SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])
    ON CONFLICT (part, key) DO UPDATE SET value = excluded.value";
const DELETE: &str =
    "DELETE FROM object_entries e USING unnest($1::bigint[], $2::bytea[]) AS gone (part, key)
    WHERE e.part = gone.part AND e.key = gone.key";
/// Whoever takes the lease waits for this lock.
const LEASE: &str = "SELECT epoch, ends_at FROM leases ORDER BY epoch DESC LIMIT 1 FOR KEY SHARE";
const NOW: &str = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// A transaction in which nobody else writes.
pub(super) struct Session {
    handle: Handle,
    /// There, but while a statement runs.
    connection: Cell<Option<PgConnection>>,
    statements: Statements,
    /// What was read.
    known: RefCell<HashMap<(Table, Bytes), Option<Bytes>>>,
    /// The epoch of the lease of the leader, where it was asked for and is held.
    led_in: Cell<Option<Option<Epoch>>>,
}

impl Session {
    pub(super) fn new(handle: Handle, connection: PgConnection, statements: Statements) -> Self {
        Self {
            handle,
            connection: Cell::new(Some(connection)),
            statements,
            known: RefCell::default(),
            led_in: Cell::default(),
        }
    }

    /// The connection, where no statement of it has failed without an answer.
    pub(super) fn into_connection(self) -> Option<PgConnection> {
        self.connection.into_inner()
    }

    /// Makes the changes, at most one to a key.
    pub(super) fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (mut put, mut deleted) = ((vec![], vec![], vec![]), (vec![], vec![]));
        for Change { table, key, value } in changes {
            match value {
                Some(value) => {
                    put.0.push(part(table));
                    put.1.push(key.to_vec());
                    put.2.push(value.to_vec());
                }
                None => {
                    deleted.0.push(part(table));
                    deleted.1.push(key.to_vec());
                }
            }
        }
        if !put.0.is_empty() {
            self.fetch(sqlx::query(PUT).bind(put.0).bind(put.1).bind(put.2))?;
        }
        if !deleted.0.is_empty() {
            self.fetch(sqlx::query(DELETE).bind(deleted.0).bind(deleted.1))?;
        }
        Ok(())
    }

    /// Runs a statement, and waits for its rows.
    fn fetch(
        &self,
        query: sqlx::query::Query<'static, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let Some(mut connection) = self.connection.take() else {
            return Err(lost());
        };
        let query = query.persistent(self.statements == Statements::Kept);
        let asked = answered(async move {
            let rows = query.fetch_all(&mut connection).await;
            Ok((rows.map_err(from_sqlx), connection))
        });
        let (rows, connection) = wait(&self.handle, asked)?.map_err(store_error)?;
        self.connection.set(Some(connection));
        rows.map_err(store_error)
    }

    fn find(&self, keys: &[(Table, Bytes)]) -> Result<(), StoreError> {
        let parts: Vec<i64> = keys.iter().map(|(table, _)| part(*table)).collect();
        let bytes: Vec<Vec<u8>> = keys.iter().map(|(_, key)| key.to_vec()).collect();
        let rows = self.fetch(sqlx::query(FIND).bind(parts).bind(bytes))?;
        let mut known = self.known.borrow_mut();
        known.extend(keys.iter().map(|key| (key.clone(), None)));
        for row in rows {
            let entry = || Ok((row.try_get::<i64, _>(0)?, row.try_get(1)?, row.try_get(2)?));
            let (part, key, value): (i64, Vec<u8>, Vec<u8>) =
                entry().map_err(|error| store_error(from_sqlx(error)))?;
            let table = Table::ALL.into_iter().find(|table| *table as i64 == part);
            known.extend(table.map(|table| ((table, key.into()), Some(value.into()))));
        }
        Ok(())
    }
}

impl Reads for Session {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let key = (table, Bytes::copy_from_slice(key));
        if !self.known.borrow().contains_key(&key) {
            self.find(std::slice::from_ref(&key))?;
        }
        Ok(self.known.borrow().get(&key).cloned().flatten())
    }

    fn expect(&self, keys: &[(Table, Bytes)]) -> Result<(), StoreError> {
        self.find(keys)
    }

    fn is_led_in(&self, epoch: Epoch) -> Result<bool, StoreError> {
        if let Some(known) = self.led_in.get() {
            return Ok(known == Some(epoch));
        }
        let rows = self.fetch(sqlx::query(LEASE))?;
        let now = self.now_ms()?;
        let lease = rows.first().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let lease: Option<(i64, i64)> = lease.transpose().map_err(|error| store_error(from_sqlx(error)))?;
        let held = lease.filter(|(_, ends_at)| now < ends_at.unsigned_abs());
        let led_in = held.map(|(epoch, _)| Epoch(epoch.unsigned_abs()));
        self.led_in.set(Some(led_in));
        Ok(led_in == Some(epoch))
    }

    fn now_ms(&self) -> Result<u64, StoreError> {
        let rows = self.fetch(sqlx::query(NOW))?;
        let row = rows
            .first()
            .ok_or_else(|| failed("the database does not say what time it is"))?;
        let now: i64 = row.try_get(0).map_err(|error| store_error(from_sqlx(error)))?;
        Ok(now.unsigned_abs())
    }
}

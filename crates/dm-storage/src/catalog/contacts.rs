//! Contacts.

use async_trait::async_trait;
use dm_core::{
    Address,
    contact::{Contact, ContactName, RecordChange, SeenRecord},
    ports::{CatalogError, ContactBook},
};

use super::{
    SqliteCatalog,
    change::{Outcome, SingleChange},
    columns::{Columns, storable},
    error::{corrupt, from_sqlx},
    pages::Source,
    sql::{self, Connection, Pool, Row},
};

const CONTACTS: Source = Source::new("contacts", "name");

/// Whether another contact has the address.
pub(super) const IS_TAKEN: &str = "SELECT 1 FROM contacts WHERE address = ? AND name <> ?";
pub(super) const PUT: &str = "INSERT INTO contacts
    (name, address, trust, note, added_at, confirmed_key, confirmed_peer, changed_at, changed_key, changed_peer)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET address = excluded.address, trust = excluded.trust,
        note = excluded.note, added_at = excluded.added_at, confirmed_key = excluded.confirmed_key,
        confirmed_peer = excluded.confirmed_peer, changed_at = excluded.changed_at,
        changed_key = excluded.changed_key, changed_peer = excluded.changed_peer";
pub(super) const REMOVE: &str = "DELETE FROM contacts WHERE name = ?";
pub(super) const GET: &str = "SELECT * FROM contacts WHERE name = ?";
pub(super) const AT: &str = "SELECT * FROM contacts WHERE address = ?";
/// No name is empty, so that all come after the empty one.
pub(super) const PAGE: &str = "SELECT * FROM contacts WHERE name > ? ORDER BY name LIMIT +?";
const COUNT: &str = "SELECT count(*) FROM contacts";

pub(super) async fn put(connection: &mut Connection<'_>, contact: &Contact) -> Result<Outcome, CatalogError> {
    let taken = sql::query(IS_TAKEN)
        .bind(contact.address.to_vec())
        .bind(contact.name.as_str().to_owned());
    let taken = taken.fetch_optional(&mut *connection).await.map_err(from_sqlx)?;
    if taken.is_some() {
        return Ok(Outcome::Refused(format!(
            "another contact has the address {}",
            contact.address
        )));
    }
    let (confirmed, changed) = (contact.confirmed.as_ref(), contact.changed.as_ref());
    let query = sql::query(PUT)
        .bind(contact.name.as_str().to_owned())
        .bind(contact.address.to_vec())
        .bind(contact.trust.as_str())
        .bind(contact.note.clone())
        .bind(storable(contact.added_at)?)
        .bind(confirmed.map(|record| record.hpke_public_key.to_vec()))
        .bind(confirmed.map(|record| record.peers.join(" ")))
        .bind(changed.map(|change| storable(change.at)).transpose()?)
        .bind(changed.map(|change| change.record.hpke_public_key.to_vec()))
        .bind(changed.map(|change| change.record.peers.join(" ")));
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Done)
}

pub(super) async fn remove(
    connection: &mut Connection<'_>,
    name: &ContactName,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(REMOVE).bind(name.as_str().to_owned());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

async fn at(pool: &Pool, address: Address) -> Result<Option<Contact>, CatalogError> {
    let query = sql::query(AT).bind(address.to_vec());
    let row = query.fetch_optional(pool).await.map_err(from_sqlx)?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Contact, CatalogError> {
    let (name, trust): (&str, &str) = (row.value("name")?, row.value("trust")?);
    let changed = match row.optional_number("changed_at")? {
        None => None,
        Some(at) => record(row, "changed_key", "changed_peer")?.map(|record| RecordChange { at, record }),
    };
    Ok(Contact {
        name: name.parse().map_err(|_| corrupt("a contact has no valid name"))?,
        address: row.address("address")?,
        trust: trust
            .parse()
            .map_err(|_| corrupt("a contact has an unknown degree of trust"))?,
        note: row.value("note")?,
        added_at: row.number("added_at")?,
        confirmed: record(row, "confirmed_key", "confirmed_peer")?,
        changed,
    })
}

/// What an address record said, if there was one.
fn record(row: &Row, key: &str, peers: &str) -> Result<Option<SeenRecord>, CatalogError> {
    let (key, peers): (Option<[u8; 32]>, Option<String>) = (row.optional_bytes(key)?, row.value(peers)?);
    Ok(key.zip(peers).map(|(hpke_public_key, peers)| SeenRecord {
        hpke_public_key,
        peers: peers.split(' ').map(str::to_owned).collect(),
    }))
}

#[async_trait]
impl ContactBook for SqliteCatalog {
    async fn put_contact(&self, contact: &Contact) -> Result<(), CatalogError> {
        self.make(SingleChange::PutContact(Box::new(contact.clone())))
            .await
    }

    async fn contact(&self, name: &ContactName) -> Result<Option<Contact>, CatalogError> {
        let query = sql::query(GET).bind(name.as_str().to_owned());
        let row = query.fetch_optional(&self.reads).await.map_err(from_sqlx)?;
        row.as_ref().map(read).transpose()
    }

    async fn contact_at(&self, address: Address) -> Result<Option<Contact>, CatalogError> {
        let load = at(&self.reads, address);
        self.caches.contacts.get_or_load(address, load).await
    }

    async fn contacts(
        &self,
        after: Option<&ContactName>,
        limit: usize,
    ) -> Result<Vec<Contact>, CatalogError> {
        let after = after.map_or("", ContactName::as_str).to_owned();
        let query = |rows| sql::query(PAGE).bind(after.clone()).bind(rows);
        self.page(CONTACTS, limit, query, read).await
    }

    async fn count_contacts(&self) -> Result<u64, CatalogError> {
        let count: i64 = sql::query_scalar(COUNT)
            .fetch_one(&self.reads)
            .await
            .map_err(from_sqlx)?;
        Ok(count.unsigned_abs())
    }

    async fn remove_contact(&self, name: &ContactName) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::RemoveContact(name.clone()))
            .await
    }
}

//! Authorised users.

use async_trait::async_trait;
use dm_core::{
    ports::{AuthorizedUsers, CatalogError},
    user::{AuthorizedUser, UserId},
};

use super::{
    SqliteCatalog,
    change::{Outcome, SingleChange},
    columns::{Columns, storable},
    error::{corrupt, from_sqlx},
    pages::Source,
    sql::{self, Connection, Row},
};

const USERS: Source = Source::new("authorized_users", "id");

pub(super) const INSERT: &str = "INSERT INTO authorized_users (id, kind, public_key, fingerprint, added_at)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING";
pub(super) const REMOVE: &str = "DELETE FROM authorized_users WHERE id = ?";
pub(super) const GET: &str = "SELECT * FROM authorized_users WHERE id = ?";
/// No id is empty, so that all come after the empty one.
pub(super) const PAGE: &str = "SELECT * FROM authorized_users WHERE id > ? ORDER BY id LIMIT +?";

pub(super) async fn insert(
    connection: &mut Connection<'_>,
    user: &AuthorizedUser,
) -> Result<Outcome, CatalogError> {
    let query = sql::query(INSERT)
        .bind(user.id.as_str().to_owned())
        .bind(user.kind.as_str())
        .bind(user.public_key.clone())
        .bind(user.fingerprint.clone())
        .bind(storable(user.added_at)?);
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(match done {
        0 => Outcome::Refused(format!("there is a user {} already", user.id)),
        _ => Outcome::Done,
    })
}

pub(super) async fn remove(connection: &mut Connection<'_>, id: &UserId) -> Result<Outcome, CatalogError> {
    let query = sql::query(REMOVE).bind(id.as_str().to_owned());
    let done = query.execute(connection).await.map_err(from_sqlx)?;
    Ok(Outcome::Existed(done > 0))
}

fn read(row: &Row) -> Result<AuthorizedUser, CatalogError> {
    let (id, kind): (&str, &str) = (row.value("id")?, row.value("kind")?);
    Ok(AuthorizedUser {
        id: id.parse().map_err(|_| corrupt("a user has no valid id"))?,
        kind: kind
            .parse()
            .map_err(|_| corrupt("a user has a key of an unknown kind"))?,
        public_key: row.value("public_key")?,
        fingerprint: row.value("fingerprint")?,
        added_at: row.number("added_at")?,
    })
}

#[async_trait]
impl AuthorizedUsers for SqliteCatalog {
    async fn insert_user(&self, user: &AuthorizedUser) -> Result<(), CatalogError> {
        self.make(SingleChange::InsertUser(user.clone())).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<AuthorizedUser>, CatalogError> {
        let query = sql::query(GET).bind(id.as_str().to_owned());
        let row = query.fetch_optional(&self.reads).await.map_err(from_sqlx)?;
        row.as_ref().map(read).transpose()
    }

    async fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<AuthorizedUser>, CatalogError> {
        let after = after.map_or("", UserId::as_str).to_owned();
        let query = |rows| sql::query(PAGE).bind(after.clone()).bind(rows);
        self.page(USERS, limit, query, read).await
    }

    async fn remove_user(&self, id: &UserId) -> Result<bool, CatalogError> {
        self.make_if_there(SingleChange::RemoveUser(id.clone())).await
    }
}

//! Where each share stands: rows that begin with a share and outlive it.

use std::sync::LazyLock;

use dm_core::{
    Address,
    acknowledgement::SignedAcknowledgement,
    clock::now_ms,
    hash::{DataHash, Locator},
    inbox::Term,
    ports::{CatalogError, ErasureCause},
    sent::{SentState, ShareListing},
    share::NewShare,
};

use super::{
    bulk::BulkStatement,
    columns::{Columns, bound, storable},
    error::from_sqlx,
    sql::{self, Connection, Row},
};

pub(super) const LAST: &str = "SELECT coalesce(max(number), 0) AS last FROM sent";
pub(super) const FORGET: &str = "DELETE FROM sent WHERE locator = ? AND recipient = ? AND state < 3";
pub(super) const SET_GRANTED: &str =
    "UPDATE sent SET granted_at = CASE WHEN ?1 = 0 THEN coalesce(granted_at, ?2) END
    WHERE locator = ?3 AND recipient = ?4 AND state < 3";
pub(super) const NOTIFY: &str =
    "UPDATE sent SET notified_at = ?, state = CASE WHEN state < 1 THEN 1 ELSE state END
    WHERE locator = ? AND recipient = ? AND state < 3 AND notified_at IS NULL";
pub(super) const ACKNOWLEDGE: &str = "UPDATE sent
    SET state = 2, fetched_at = ?, acknowledged_at = ?, delivery_index = ?
    WHERE locator = ? AND recipient = ? AND state < 2";
/// The + keeps SQLite from looking for one share of the data among those of its recipient.
pub(super) const END: &str = "UPDATE sent SET state = ?1, ended_at = ?2, event_index =
        (SELECT event_index FROM shares h WHERE h.locator = sent.locator AND h.recipient = sent.recipient)
    WHERE locator = ?3 AND recipient = ?4 AND state < 3";
pub(super) const END_ALL: &str = "UPDATE sent SET state = ?1, ended_at = ?2, event_index =
        (SELECT event_index FROM shares h WHERE h.locator = sent.locator AND h.recipient = sent.recipient)
    WHERE locator = ?3 AND state < 3";
pub(super) const RELIST: &str =
    "UPDATE sent SET descriptor = ? WHERE locator = ? AND state < 3 RETURNING number, recipient, state";
pub(super) const REMOVE_TERMS: &str = "DELETE FROM sent_terms WHERE number = ?";

static INSERT: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "INSERT INTO sent
            (number, locator, recipient, data_hash, created_at, descriptor, state, granted_at)
         SELECT column1, column2, column3, column4, column5, column6, 0, column7 FROM",
        7,
        "",
    )
});

static ADD_TERMS: LazyLock<BulkStatement> = LazyLock::new(|| {
    BulkStatement::new(
        "INSERT INTO sent_terms (term, state, number) SELECT * FROM",
        3,
        "ON CONFLICT DO NOTHING",
    )
});

/// A term of a share: with its state and number.
type TermRow = (Term, i64, i64);

/// The term by which shares with a recipient are found.
pub(super) fn term_of(recipient: Address) -> Term {
    let mut term = [0; 16];
    term.copy_from_slice(&recipient[..16]);
    Term(term)
}

/// The state as a number, by which states are ordered.
pub(super) fn number_of(state: SentState) -> i64 {
    match state {
        SentState::Shared => 0,
        SentState::Notified => 1,
        SentState::Acknowledged => 2,
        SentState::Revoked => 3,
        SentState::Erased => 4,
        SentState::Expired => 5,
    }
}

/// Lists shares that are new.
pub(super) async fn begin(connection: &mut Connection<'_>, shares: &[&NewShare]) -> Result<(), CatalogError> {
    if shares.is_empty() {
        return Ok(());
    }
    let row = sql::query(LAST).fetch_one(&mut *connection).await;
    let first = row.map_err(from_sqlx)?.value::<i64>("last")? + 1;
    let numbered: Vec<(i64, &NewShare)> = (first..).zip(shares.iter().copied()).collect();
    for (sql, run) in INSERT.runs(&numbered) {
        let mut query = sql::query(sql);
        for (number, share) in run {
            let (record, made) = (
                &share.record,
                (!share.grant_owed).then_some(share.record.created_at),
            );
            query = query
                .bind(*number)
                .bind(record.data_hash.locator().as_bytes().to_vec())
                .bind(record.recipient.to_vec())
                .bind(record.data_hash.as_bytes().to_vec())
                .bind(storable(record.created_at)?)
                .bind(share.listing.as_ref().map(|listing| listing.descriptor.to_vec()))
                .bind(made.map(storable).transpose()?);
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    let terms = numbered.iter().flat_map(|(number, share)| {
        let listed = share
            .listing
            .iter()
            .flat_map(|listing| listing.terms.iter().copied());
        let all = std::iter::once(term_of(share.record.recipient)).chain(listed);
        all.map(|term| (term, number_of(SentState::Shared), *number))
    });
    add_terms(connection, &terms.collect::<Vec<_>>()).await
}

async fn add_terms(connection: &mut Connection<'_>, terms: &[TermRow]) -> Result<(), CatalogError> {
    for (sql, run) in ADD_TERMS.runs(terms) {
        let mut query = sql::query(sql);
        for (Term(term), state, number) in run {
            query = query.bind(term.to_vec()).bind(*state).bind(*number);
        }
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// A share was taken back.
pub(super) async fn forget(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<(), CatalogError> {
    let query = sql::query(FORGET)
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// The recipient's grant is owed, or it was made.
pub(super) async fn set_grant_owed(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
    owed: bool,
) -> Result<(), CatalogError> {
    let query = sql::query(SET_GRANTED)
        .bind(owed)
        .bind(bound(now_ms()))
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

pub(super) async fn note_notified(
    connection: &mut Connection<'_>,
    told: &[(Locator, Address)],
    now: u64,
) -> Result<(), CatalogError> {
    for (locator, recipient) in told {
        let query = sql::query(NOTIFY)
            .bind(storable(now)?)
            .bind(locator.as_bytes().to_vec())
            .bind(recipient.to_vec());
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
    }
    Ok(())
}

/// A delivery of own data was recorded at this position of the log.
pub(super) async fn acknowledge(
    connection: &mut Connection<'_>,
    statement: &SignedAcknowledgement,
    position: u64,
) -> Result<(), CatalogError> {
    let query = sql::query(ACKNOWLEDGE)
        .bind(bound(statement.fetched_at))
        .bind(bound(statement.made_at))
        .bind(storable(position)?)
        .bind(statement.object.locator.as_bytes().to_vec())
        .bind(statement.recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// The recipient's access is withdrawn; its share is still there.
pub(super) async fn revoke(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    recipient: Address,
) -> Result<(), CatalogError> {
    let query = sql::query(END)
        .bind(number_of(SentState::Revoked))
        .bind(bound(now_ms()))
        .bind(data_hash.locator().as_bytes().to_vec())
        .bind(recipient.to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// The data is erased; its shares are still there.
pub(super) async fn end_all(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    cause: ErasureCause,
) -> Result<(), CatalogError> {
    let query = sql::query(END_ALL)
        .bind(number_of(SentState::of_erasure(cause)))
        .bind(bound(now_ms()))
        .bind(data_hash.locator().as_bytes().to_vec());
    query.execute(connection).await.map(|_| ()).map_err(from_sqlx)
}

/// Keeps what is said of the data now.
pub(super) async fn relist(
    connection: &mut Connection<'_>,
    data_hash: &DataHash,
    listing: &ShareListing,
) -> Result<(), CatalogError> {
    let query = sql::query(RELIST)
        .bind(listing.descriptor.to_vec())
        .bind(data_hash.locator().as_bytes().to_vec());
    let rows = query.fetch_all(&mut *connection).await.map_err(from_sqlx)?;
    for row in &rows {
        let (number, terms) = terms_of(row, listing)?;
        let query = sql::query(REMOVE_TERMS).bind(number);
        query.execute(&mut *connection).await.map_err(from_sqlx)?;
        add_terms(connection, &terms).await?;
    }
    Ok(())
}

fn terms_of(row: &Row, listing: &ShareListing) -> Result<(i64, Vec<TermRow>), CatalogError> {
    let (number, state) = (row.value("number")?, row.value("state")?);
    let recipient = term_of(row.address("recipient")?);
    let all = std::iter::once(recipient).chain(listing.terms.iter().copied());
    Ok((number, all.map(|term| (term, state, number)).collect()))
}

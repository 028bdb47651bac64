//! Orders as rows of their table.

use dm_core::{
    Address,
    hash::DataHash,
    idempotency::IdempotencyKey,
    operation::OperationId,
    order::{OrderRecord, OrderState, Purpose, Tries},
    ports::{CatalogError, NumberedOrder},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    columns::Columns,
    error::{corrupt, failed},
    sql::Row,
};

/// What makes up an [`OrderRecord`], and its number.
macro_rules! order_columns {
    () => {
        "o.number, o.id, o.content, o.purpose, o.data_hash, o.recipient, o.refund_of, o.client,
         o.idempotency_key, o.created_at, o.state, o.tries, o.event_index"
    };
}
pub(super) use order_columns;

/// The columns of an order's purpose besides its name: the locator, data hash
/// and recipient of the share that it pays for, and the payment that it gives back.
#[derive(Default)]
pub(super) struct PurposeColumns {
    pub(super) locator: Option<Vec<u8>>,
    pub(super) data_hash: Option<Vec<u8>>,
    pub(super) recipient: Option<Vec<u8>>,
    pub(super) refund_of: Option<Vec<u8>>,
}

impl From<Purpose> for PurposeColumns {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Request => Self::default(),
            Purpose::Payment { data_hash, recipient } => Self {
                locator: Some(data_hash.locator().as_bytes().to_vec()),
                data_hash: Some(data_hash.as_bytes().to_vec()),
                recipient: Some(recipient.to_vec()),
                refund_of: None,
            },
            Purpose::Refund { of } => Self {
                refund_of: Some(of.as_bytes().to_vec()),
                ..Self::default()
            },
        }
    }
}

/// Attempts as they are kept: nothing where there were none.
pub(super) fn tries_column(tries: &Tries) -> Result<Option<String>, CatalogError> {
    match *tries == Tries::default() {
        true => Ok(None),
        false => to_json(tries).map(Some),
    }
}

/// An order or a state as it is kept.
pub(super) fn to_json(value: &impl Serialize) -> Result<String, CatalogError> {
    serde_json::to_string(value).map_err(|_| failed("an order has no JSON form"))
}

pub(super) fn read(row: &Row) -> Result<OrderRecord, CatalogError> {
    let client: Option<String> = row.value("client")?;
    let key: Option<String> = row.value("idempotency_key")?;
    Ok(OrderRecord {
        id: OperationId::from_bytes(row.bytes("id")?),
        order: from_json(row, "content")?,
        purpose: purpose(row)?,
        idempotency_key: client
            .zip(key)
            .map(|(client, key)| IdempotencyKey { client, key }),
        created_at: row.number("created_at")?,
        state: from_json::<OrderState>(row, "state")?,
        tries: tries(row)?,
        event_index: row.optional_number("event_index")?,
    })
}

pub(super) fn read_numbered(row: &Row) -> Result<NumberedOrder, CatalogError> {
    Ok((row.number("number")?, read(row)?))
}

fn purpose(row: &Row) -> Result<Purpose, CatalogError> {
    let name: &str = row.value("purpose")?;
    let data_hash = row.optional_bytes("data_hash")?.map(DataHash::from_bytes);
    let recipient = row.optional_bytes("recipient")?.map(Address::new);
    let refund_of = row.optional_bytes("refund_of")?.map(OperationId::from_bytes);
    let purpose = match (data_hash, recipient, refund_of) {
        (None, None, None) => Some(Purpose::Request),
        (Some(data_hash), Some(recipient), None) => Some(Purpose::Payment { data_hash, recipient }),
        (None, None, Some(of)) => Some(Purpose::Refund { of }),
        _ => None,
    };
    purpose
        .filter(|purpose| purpose.as_str() == name)
        .ok_or_else(|| corrupt("an order's purpose contradicts itself"))
}

/// What came of attempts, where there were some.
fn tries(row: &Row) -> Result<Tries, CatalogError> {
    match row.value::<Option<&str>>("tries")? {
        Some(_) => from_json(row, "tries"),
        None => Ok(Tries::default()),
    }
}

fn from_json<T: DeserializeOwned>(row: &Row, column: &str) -> Result<T, CatalogError> {
    let json: &str = row.value(column)?;
    serde_json::from_str(json).map_err(|_| corrupt(format_args!("an order's {column} cannot be read")))
}

//! Domain types as columns, in both directions.

use super::{
    error::{corrupt, failed, from_sqlx},
    sql::{FromColumn, Row},
};
use dm_core::{Address, ports::CatalogError};

/// Reads the columns of a row.
pub(super) trait Columns {
    /// The value of a column as it is kept.
    fn value<'r, T: FromColumn<'r>>(&'r self, column: &str) -> Result<T, CatalogError>;

    /// A blob of exactly `N` bytes.
    fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N], CatalogError>;

    /// A blob of exactly `N` bytes, or NULL.
    fn optional_bytes<const N: usize>(&self, column: &str) -> Result<Option<[u8; N]>, CatalogError>;

    /// A number that is not negative.
    fn number(&self, column: &str) -> Result<u64, CatalogError>;

    /// A number that fits 32 bits.
    fn small_number(&self, column: &str) -> Result<u32, CatalogError>;

    /// A number that is not negative, or NULL.
    fn optional_number(&self, column: &str) -> Result<Option<u64>, CatalogError>;

    /// An address.
    fn address(&self, column: &str) -> Result<Address, CatalogError> {
        self.bytes(column).map(Address::from)
    }
}

impl Columns for Row {
    fn value<'r, T: FromColumn<'r>>(&'r self, column: &str) -> Result<T, CatalogError> {
        self.get(column).map_err(from_sqlx)
    }

    fn bytes<const N: usize>(&self, column: &str) -> Result<[u8; N], CatalogError> {
        exactly(self.value(column)?, column)
    }

    fn optional_bytes<const N: usize>(&self, column: &str) -> Result<Option<[u8; N]>, CatalogError> {
        let blob: Option<&[u8]> = self.value(column)?;
        blob.map(|blob| exactly(blob, column)).transpose()
    }

    fn number(&self, column: &str) -> Result<u64, CatalogError> {
        not_negative(self.value(column)?, column)
    }

    fn small_number(&self, column: &str) -> Result<u32, CatalogError> {
        u32::try_from(self.number(column)?).map_err(|_| corrupt(format_args!("{column} is out of range")))
    }

    fn optional_number(&self, column: &str) -> Result<Option<u64>, CatalogError> {
        let number: Option<i64> = self.value(column)?;
        number.map(|number| not_negative(number, column)).transpose()
    }
}

fn exactly<const N: usize>(blob: &[u8], column: &str) -> Result<[u8; N], CatalogError> {
    blob.try_into()
        .map_err(|_| corrupt(format_args!("{column} has {} bytes instead of {N}", blob.len())))
}

fn not_negative(number: i64, column: &str) -> Result<u64, CatalogError> {
    u64::try_from(number).map_err(|_| corrupt(format_args!("{column} is negative")))
}

/// A number to be kept. SQLite's integers have 63 bits for what is not negative.
pub(super) fn storable(number: u64) -> Result<i64, CatalogError> {
    i64::try_from(number).map_err(|_| failed("a number above 2^63 - 1 cannot be kept"))
}

/// A number to compare with: above 2^63 - 1 there is nothing.
pub(super) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count of rows.
pub(super) fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

//! Values of parameters.

use std::{borrow::Cow, convert::identity};

use sqlx::{Arguments, error::BoxDynError, sqlite::SqliteArguments};

/// A value of one of the kinds that the catalog keeps; NULL has a kind as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Number(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Text(Option<Cow<'static, str>>),
}

impl Value {
    pub(super) fn add_to_sqlite(self, arguments: &mut SqliteArguments) -> Result<(), BoxDynError> {
        match self {
            Self::Number(value) => arguments.add(value),
            Self::Bytes(value) => arguments.add(value),
            Self::Text(value) => arguments.add(value.map(Cow::into_owned)),
        }
    }
}

#[cfg(feature = "postgres")]
impl Value {
    pub(super) fn add_to_postgres(
        &self,
        arguments: &mut sqlx::postgres::PgArguments,
    ) -> Result<(), BoxDynError> {
        match self {
            Self::Number(value) => arguments.add(value),
            Self::Bytes(value) => arguments.add(value.as_deref()),
            Self::Text(value) => arguments.add(value.as_deref()),
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(value) => *value,
            _ => None,
        }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(value) => value.as_deref(),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => value.as_deref(),
            _ => None,
        }
    }
}

macro_rules! values {
    ($($kind:ty => $variant:ident($convert:expr),)*) => {
        $(
            impl From<$kind> for Value {
                fn from(value: $kind) -> Self {
                    Self::$variant(Some($convert(value)))
                }
            }

            impl From<Option<$kind>> for Value {
                fn from(value: Option<$kind>) -> Self {
                    Self::$variant(value.map($convert))
                }
            }
        )*
    };
}

values! {
    i64 => Number(identity),
    i32 => Number(i64::from),
    u32 => Number(i64::from),
    u8 => Number(i64::from),
    bool => Number(i64::from),
    Vec<u8> => Bytes(identity),
    String => Text(Cow::Owned),
    &'static str => Text(Cow::Borrowed),
}

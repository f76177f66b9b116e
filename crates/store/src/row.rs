//! From rows to values. What this program never wrote is [`Error::Inconsistent`].

use std::str::FromStr;

use model::clock::Timestamp;
use model::secret::TokenHash;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::error::Error;

/// What a row of a table, or a part of it, says.
pub(crate) trait Row: Sized + Send + 'static {
    /// The table.
    const TABLE: &'static str;
    /// The column that says which row it is, and may be printed.
    const KEY: &'static str;

    /// Reads it.
    fn read(row: &Record<'_>) -> Result<Self, Error>;
}

/// A row with what it takes to complain about it.
pub(crate) struct Record<'a> {
    row: &'a AnyRow,
    table: &'static str,
    key: &'static str,
}

impl<'a> Record<'a> {
    /// What a row says.
    pub(crate) fn read<T: Row>(row: &'a AnyRow) -> Result<T, Error> {
        T::read(&Self {
            row,
            table: T::TABLE,
            key: T::KEY,
        })
    }

    /// The part of the row that is of another table.
    pub(crate) fn part<T: Row>(&self) -> Result<T, Error> {
        Self::read(self.row)
    }

    pub(crate) fn inconsistent(&self, column: &'static str) -> Error {
        let hash = || {
            self.row
                .try_get::<Vec<u8>, _>(self.key)
                .ok()?
                .try_into()
                .ok()
        };
        Error::Inconsistent {
            table: self.table,
            column,
            id: match self.row.try_get(self.key) {
                Ok(text) => text,
                Err(_) => {
                    hash().map_or_else(String::new, |hash| TokenHash::from_bytes(hash).to_string())
                }
            },
        }
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, Error> {
        self.row
            .try_get(column)
            .map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn optional_text(&self, column: &'static str) -> Result<Option<String>, Error> {
        self.row
            .try_get(column)
            .map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn parse<T: FromStr>(&self, column: &'static str) -> Result<T, Error> {
        self.text(column)?
            .parse()
            .map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn integer(&self, column: &'static str) -> Result<i64, Error> {
        self.row
            .try_get(column)
            .map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, Error> {
        self.row
            .try_get(column)
            .map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn count(&self, column: &'static str) -> Result<u32, Error> {
        u32::try_from(self.integer(column)?).map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, Error> {
        match self.integer(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.inconsistent(column)),
        }
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, Error> {
        self.integer(column).map(Timestamp::from_millis)
    }

    pub(crate) fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>, Error> {
        Ok(self.optional_integer(column)?.map(Timestamp::from_millis))
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, Error> {
        self.row
            .try_get(column)
            .map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn optional_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>, Error> {
        self.row
            .try_get(column)
            .map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn optional_hash(&self, column: &'static str) -> Result<Option<TokenHash>, Error> {
        let bytes = self.optional_bytes(column)?;
        let hash = bytes.map(|bytes| bytes.try_into().map(TokenHash::from_bytes));
        hash.transpose().map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn parse_optional<T: FromStr>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, Error> {
        let text = self.optional_text(column)?;
        text.map(|text| text.parse())
            .transpose()
            .map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn array<const N: usize>(&self, column: &'static str) -> Result<[u8; N], Error> {
        self.bytes(column)?
            .try_into()
            .map_err(|_| self.inconsistent(column))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, Error> {
        serde_json::from_str(&self.text(column)?).map_err(|_| self.inconsistent(column))
    }
}

/// The members of a value that is an object as JSON: of strings and numbers, which always is one.
pub(crate) fn members<T: Serialize>(value: &T) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    }
}

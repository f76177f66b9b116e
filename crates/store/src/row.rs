//! From rows to values. What this program never wrote is [`Error::Inconsistent`].

use std::str::FromStr;

use model::clock::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::error::Error;

/// A row with what it takes to complain about it.
pub(crate) struct Record<'a> {
    pub(crate) row: &'a AnyRow,
    pub(crate) table: &'static str,
    /// The key of the row, if it may be printed.
    pub(crate) id: String,
}

impl Record<'_> {
    pub(crate) fn inconsistent(&self, column: &'static str) -> Error {
        Error::Inconsistent {
            table: self.table,
            column,
            id: self.id.clone(),
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

//! From rows to values. What this program never wrote is [`Error::Inconsistent`].

use std::str::FromStr;

use model::clock::Timestamp;
use oauth::redirect_uri::RedirectUri;
use serde::Serialize;
use serde::de::DeserializeOwned;
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

/// A row struct as it is stored. These structs hold strings and numbers only, which always serialize.
pub(crate) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A stored redirect URI. It was verified before it was stored, so that whatever scheme it has was allowed.
pub(crate) fn redirect_uri(text: &str) -> Option<RedirectUri> {
    let scheme = text
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    RedirectUri::parse_with_schemes(text, &[scheme.as_str()]).ok()
}

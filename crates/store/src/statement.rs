//! One statement of [`query`](crate::query) with its arguments: it can be run again, as a transaction may be. What only one
//! statement does is [`Store::one`], [`Store::many`] or [`Store::execute`]; a transaction runs several on its connection.

use model::clock::Timestamp;
use model::id::Id;
use model::password::PasswordHash;
use model::secret::TokenHash;
use sqlx::AnyConnection;
use sqlx::any::{Any, AnyArguments};
use sqlx::query::Query;

use crate::Store;
use crate::error::Error;
use crate::row::{Record, Row};

/// A statement and what it is about.
#[derive(Clone)]
pub(crate) struct Statement {
    sql: &'static str,
    arguments: Vec<Argument>,
}

/// What stands in a column.
#[derive(Clone)]
pub(crate) enum Argument {
    Text(Option<String>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
}

/// This statement, with no argument yet.
pub(crate) const fn sql(sql: &'static str) -> Statement {
    Statement {
        sql,
        arguments: Vec::new(),
    }
}

impl Statement {
    /// The next argument: `$1`, `$2`, ….
    pub(crate) fn bind(mut self, argument: impl Into<Argument>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    fn query(&self) -> Query<'static, Any, AnyArguments> {
        let query = sqlx::query(self.sql);
        self.arguments
            .iter()
            .cloned()
            .fold(query, |query, argument| match argument {
                Argument::Text(text) => query.bind(text),
                Argument::Integer(integer) => query.bind(integer),
                Argument::Bytes(bytes) => query.bind(bytes),
            })
    }

    /// How many rows it changed.
    pub(crate) async fn execute(&self, connection: &mut AnyConnection) -> Result<u64, Error> {
        Ok(self.query().execute(connection).await?.rows_affected())
    }

    /// The row that it finds.
    pub(crate) async fn one<T: Row>(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<Option<T>, Error> {
        let found = self.query().fetch_optional(connection).await?;
        found.as_ref().map(Record::read).transpose()
    }

    /// The row that it always finds.
    pub(crate) async fn the_one<T: Row>(&self, connection: &mut AnyConnection) -> Result<T, Error> {
        Record::read(&self.query().fetch_one(connection).await?)
    }

    /// All rows that it finds.
    pub(crate) async fn many<T: Row>(
        &self,
        connection: &mut AnyConnection,
    ) -> Result<Vec<T>, Error> {
        let found = self.query().fetch_all(connection).await?;
        found.iter().map(Record::read).collect()
    }
}

impl Store {
    /// The row that a statement finds, which changes nothing.
    pub(crate) async fn one<T: Row>(&self, statement: Statement) -> Result<Option<T>, Error> {
        self.backend()
            .read(&statement, |statement, connection| {
                Box::pin(statement.one(connection))
            })
            .await
    }

    /// Whether a statement finds a row, which changes nothing. Nothing of it is read.
    pub(crate) async fn exists(&self, statement: Statement) -> Result<bool, Error> {
        self.backend()
            .read(&statement, |statement, connection| {
                Box::pin(async move {
                    Ok(statement
                        .query()
                        .fetch_optional(connection)
                        .await?
                        .is_some())
                })
            })
            .await
    }

    /// All rows that a statement finds, which changes nothing.
    pub(crate) async fn many<T: Row>(&self, statement: Statement) -> Result<Vec<T>, Error> {
        self.backend()
            .read(&statement, |statement, connection| {
                Box::pin(statement.many(connection))
            })
            .await
    }

    /// Runs a statement as a transaction of its own: how many rows it changed.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<u64, Error> {
        self.backend()
            .write(statement, |statement, connection| {
                Box::pin(statement.execute(connection))
            })
            .await
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&String> for Argument {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Option<String>> for Argument {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl<T> From<Id<T>> for Argument {
    fn from(id: Id<T>) -> Self {
        id.to_string().into()
    }
}

impl From<&PasswordHash> for Argument {
    fn from(hash: &PasswordHash) -> Self {
        hash.as_str().into()
    }
}

impl From<i64> for Argument {
    fn from(integer: i64) -> Self {
        Self::Integer(Some(integer))
    }
}

impl From<u32> for Argument {
    fn from(integer: u32) -> Self {
        i64::from(integer).into()
    }
}

impl From<bool> for Argument {
    fn from(flag: bool) -> Self {
        i64::from(flag).into()
    }
}

impl From<Timestamp> for Argument {
    fn from(time: Timestamp) -> Self {
        time.millis().into()
    }
}

impl From<Option<Timestamp>> for Argument {
    fn from(time: Option<Timestamp>) -> Self {
        Self::Integer(time.map(Timestamp::millis))
    }
}

impl From<Option<u32>> for Argument {
    fn from(integer: Option<u32>) -> Self {
        Self::Integer(integer.map(i64::from))
    }
}

impl From<Vec<u8>> for Argument {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

impl From<&[u8]> for Argument {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<TokenHash> for Argument {
    fn from(hash: TokenHash) -> Self {
        hash.as_bytes().as_slice().into()
    }
}

impl From<Option<TokenHash>> for Argument {
    fn from(hash: Option<TokenHash>) -> Self {
        Self::Bytes(hash.map(|hash| hash.as_bytes().to_vec()))
    }
}

/// What has one spelling, and is stored in it.
macro_rules! spelled {
    ($($kind:ty),*) => {$(
        impl From<&$kind> for Argument {
            fn from(value: &$kind) -> Self {
                value.to_string().into()
            }
        }
    )*};
}

spelled!(
    model::realm::RealmName,
    model::user::Username,
    oauth::client_id::ClientId,
    oauth::scope::ScopeSet
);
